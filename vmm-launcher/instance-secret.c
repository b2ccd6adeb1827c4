/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/instance-secret.h"

#include <assert.h>
#include <errno.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <string.h>

#include "common/bytes.h"

#define LABEL "virtualizationd instance secret"

int instance_secret_derive(const uint8_t *host_secret,
                           size_t host_secret_size,
                           const uint8_t instance_id[static LAUNCH_SPEC_INSTANCE_ID_SIZE],
                           uint8_t ret_secret[static INSTANCE_SECRET_SIZE])
{
    uint8_t info[sizeof(LABEL) - 1 + LAUNCH_SPEC_INSTANCE_ID_SIZE];

    memcpy(info, LABEL, sizeof(LABEL) - 1);
    memcpy(info + sizeof(LABEL) - 1, instance_id, LAUNCH_SPEC_INSTANCE_ID_SIZE);
    /* It wipes what it has of the secret itself, and fails for lack of memory only. */
    return mbedtls_hkdf(mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), NULL, 0, host_secret,
                        host_secret_size, info, sizeof(info), ret_secret, INSTANCE_SECRET_SIZE) == 0
               ? 0
               : -ENOMEM;
}

int instance_secret_make_archive(const uint8_t *host_secret,
                                 size_t host_secret_size,
                                 const uint8_t instance_id[static LAUNCH_SPEC_INSTANCE_ID_SIZE],
                                 uint8_t ret_archive[static INSTANCE_ARCHIVE_SIZE])
{
    uint8_t secret[INSTANCE_SECRET_SIZE];

    int r = instance_secret_derive(host_secret, host_secret_size, instance_id, secret);
    if (r < 0)
        return r;
    ByteWriter writer = byte_writer(ret_archive, INSTANCE_ARCHIVE_SIZE);
    boot_archive_put(&writer, INSTANCE_SECRET_FILE, secret, sizeof(secret));
    explicit_bzero(secret, sizeof(secret));
    assert(byte_writer_finish(&writer) == 0 && writer.size == INSTANCE_ARCHIVE_SIZE);
    return 0;
}
