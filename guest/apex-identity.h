/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out who has made an APEX, and where in it the image is and the root that vouches for it.
 * The image itself is not read: dm-verity does that, block by block. Sources: AOSP,
 * packages/modules/Virtualization, libs/apexutil, and system/apex, apexd/apex_file.cpp. */
#pragma once

#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "guest/verdict.h"

/* Verifies the APEX on @partition, which is larger by less than 4096 bytes: its image begins and
 * ends on a block and has a vbmeta structure, which is signed with the key apex_pubkey and has one
 * hash tree. Name and version are those of the manifest beside the image, which nobody has signed:
 * that the one in the image is the same is for the caller to see. ERROR_IMAGE_INVALID says what is
 * wrong. */
int apex_identity_verify(const ByteSource *partition, ApexIdentity *ret_identity, Error *error);
