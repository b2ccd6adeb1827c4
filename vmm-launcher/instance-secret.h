/* SPDX-License-Identifier: Apache-2.0 */
/* The secret of an instance: what its guest derives its keys from, the same at each start and on no
 * other host. Pure; host-secret.h finds the secret of the host. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "protocol/launch-spec.h"
#include "vmm-launcher/boot-archive.h"

#define INSTANCE_SECRET_SIZE 64

/* The file that the guest's first program finds in the root directory, reads and removes. */
#define INSTANCE_SECRET_FILE "instance-secret"

#define INSTANCE_ARCHIVE_SIZE BOOT_ARCHIVE_BLOCK_SIZE

/* HKDF-SHA512 (RFC 5869) of the host's secret, without salt; the info is "virtualizationd instance
 * secret", no NUL, and @instance_id. -ENOMEM when there is no memory; the caller wipes @ret_secret.
 */
int instance_secret_derive(const uint8_t *host_secret,
                           size_t host_secret_size,
                           const uint8_t instance_id[static LAUNCH_SPEC_INSTANCE_ID_SIZE],
                           uint8_t ret_secret[static INSTANCE_SECRET_SIZE]);

/* The same, as the archive to put before the guest's initrd. The caller wipes @ret_archive. */
int instance_secret_make_archive(const uint8_t *host_secret,
                                 size_t host_secret_size,
                                 const uint8_t instance_id[static LAUNCH_SPEC_INSTANCE_ID_SIZE],
                                 uint8_t ret_archive[static INSTANCE_ARCHIVE_SIZE]);
