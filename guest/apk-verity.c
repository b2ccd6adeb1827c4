/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/apk-verity.h"

#include <inttypes.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "guest/loop-device.h"

/* The tree is on a loop device of its own. */
#define HASH_START_BLOCK 0

static int hash_header(ApkVerity *verity, Error *error)
{
    /* Without hardware that can fail it never does, but it says so. */
    if (mbedtls_sha256_ret(verity->idsig_header, verity->idsig_header_size,
                           verity->idsig_header_hash, 0) != 0)
        return error_set(error, ERROR_FAILED, "cannot hash the idsig");
    return 0;
}

/* As idsig_check_size(), but a partition may go on behind the tree. */
static int check_tree(const Idsig *idsig, uint64_t idsig_size, uint64_t apk_size, Error *error)
{
    if (apk_size == 0 || apk_size % MERKLE_BLOCK_SIZE != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK's partition has %" PRIu64 " bytes, no multiple of %d", apk_size,
                         MERKLE_BLOCK_SIZE);
    if (idsig_size - idsig->tree_offset < idsig->tree_size)
        return error_set(error, ERROR_IMAGE_INVALID, "the idsig ends within its tree");
    return idsig_check_tree_size(idsig, apk_size, error);
}

int apk_verity_read_idsig(const ByteSource *idsig,
                          uint64_t apk_size,
                          ApkVerity *ret_verity,
                          Error *error)
{
    size_t size = idsig->size < IDSIG_HEADER_MAX ? (size_t)idsig->size : IDSIG_HEADER_MAX;
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    Idsig decoded;

    verity.idsig_header = malloc(size ? size : 1);
    if (!verity.idsig_header)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = byte_source_read(idsig, 0, verity.idsig_header, size);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the idsig");
    r = idsig_decode(verity.idsig_header, size, &decoded, error);
    if (r < 0)
        return r;
    r = check_tree(&decoded, idsig->size, apk_size, error);
    if (r < 0)
        return r;

    verity.idsig_header_size = decoded.tree_offset;
    r = hash_header(&verity, error);
    if (r < 0)
        return r;
    memcpy(verity.root, decoded.root, sizeof(verity.root));
    memcpy(verity.salt, decoded.salt.data, decoded.salt.size);
    verity.salt_size = decoded.salt.size > 0 ? sizeof(verity.salt) : 0;
    memcpy(verity.apk_digest, decoded.apk_digest.data, decoded.apk_digest.size);
    verity.apk_digest_size = decoded.apk_digest.size;
    verity.algorithm = decoded.algorithm;
    verity.tree_size = decoded.tree_size;

    *ret_verity = verity;
    verity.idsig_header = NULL;
    return 0;
}

static int open_device(const char *name,
                       const char *apk_device,
                       uint64_t apk_size,
                       int idsig_fd,
                       ApkVerity *verity,
                       Error *error)
{
    VerityTable table = { .data_device = apk_device,
                          .n_data_blocks = apk_size / MERKLE_BLOCK_SIZE,
                          .hash_start_block = HASH_START_BLOCK,
                          .salt = verity->salt,
                          .salt_size = verity->salt_size };
    _cleanup_close_ int loop_fd = -EBADF; /* until the verity device has it open */
    char tree_device[DEVICE_PATH_SIZE];

    memcpy(table.root, verity->root, sizeof(table.root));
    if (verity->tree_size > 0) {
        int r = loop_device_open(idsig_fd, verity->idsig_header_size, verity->tree_size,
                                 tree_device, &loop_fd, error);
        if (r < 0)
            return r;
        table.hash_device = tree_device;
    } else {
        table.hash_device = apk_device; /* there has to be one; it is not read */
    }
    return device_mapper_open_verity(name, &table, verity->path, error);
}

int apk_verity_open(const char *name,
                    const char *apk_device,
                    const char *idsig_device,
                    ApkVerity *ret_verity,
                    Error *error)
{
    _cleanup_(apk_verity_deinit) ApkVerity verity = { 0 };
    ByteSource apk, idsig;

    int r = byte_source_open(apk_device, &apk, error);
    if (r < 0)
        return r;
    (void)fd_close(apk.fd); /* only its size is asked for here */
    r = byte_source_open(idsig_device, &idsig, error);
    if (r < 0)
        return r;
    _cleanup_close_ int idsig_fd = idsig.fd;

    r = apk_verity_read_idsig(&idsig, apk.size, &verity, error);
    if (r < 0)
        return r;
    r = open_device(name, apk_device, apk.size, idsig_fd, &verity, error);
    if (r < 0)
        return r;

    *ret_verity = verity;
    verity.idsig_header = NULL;
    return 0;
}

void apk_verity_deinit(ApkVerity *verity)
{
    free(verity->idsig_header);
    verity->idsig_header = NULL;
}
