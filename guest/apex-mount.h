/* SPDX-License-Identifier: Apache-2.0 */
/* Shows the files of a module: the image in an APEX, mounted through dm-verity. What is in there is
 * the signer's, whatever the partition becomes; reading a block that was altered fails. */
#pragma once

#include "common/error.h"
#include "guest/verdict.h"

#define APEX_DIRECTORY "/apex"

/* Makes room for modules below APEX_DIRECTORY, where the root is read-only. */
int apex_mount_prepare(Error *error);

/* Mounts the image in the APEX on @partition at APEX_DIRECTORY/NAME; @name is its verity device's.
 * ERROR_IMAGE_INVALID when the manifest in there is another than the one that name and version of
 * @apex are from. */
int apex_mount(const char *name, const char *partition, const ApexIdentity *apex, Error *error);
