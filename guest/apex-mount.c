/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/apex-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/apex-manifest.h"
#include "composite-disk/byte-source.h"
#include "guest/crypto.h"
#include "guest/device-mapper.h"
#include "guest/loop-device.h"
#include "guest/payload-image.h"

#define PATH_SIZE (sizeof(APEX_DIRECTORY "/") + IDENTITY_NAME_MAX + sizeof("/" APEX_MANIFEST_NAME))

int apex_mount_prepare(Error *error)
{
    if (mount("apex", APEX_DIRECTORY, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755") < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot mount " APEX_DIRECTORY);
    return 0;
}

/* Data and tree are on the same device. */
static int open_device(const char *name,
                       const char *partition,
                       const ApexIdentity *apex,
                       char path[static DEVICE_PATH_SIZE],
                       Error *error)
{
    _cleanup_close_ int loop_fd = -EBADF; /* until the verity device has it open */
    char image[DEVICE_PATH_SIZE];

    _cleanup_close_ int fd = open(partition, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", partition);
    int r = loop_device_open(fd, apex->image_offset, apex->image_size, image, &loop_fd, error);
    if (r < 0)
        return r;
    VerityTable table = { .data_device = image,
                          .hash_device = image,
                          .n_data_blocks = apex->n_data_blocks,
                          .hash_start_block = apex->tree_block,
                          .salt = apex->salt,
                          .salt_size = apex->salt_size };
    _Static_assert(sizeof(table.root) == sizeof(apex->root), "both are of SHA-256");
    memcpy(table.root, apex->root, sizeof(table.root));
    return device_mapper_open_verity(name, &table, path, error);
}

static int check_manifest(const ApexIdentity *apex, Error *error)
{
    char path[PATH_SIZE];
    uint8_t hash[CRYPTO_SHA256_SIZE];
    _cleanup_free_ uint8_t *data = NULL;
    ByteSource source;

    (void)snprintf(path, sizeof(path), APEX_DIRECTORY "/%s/" APEX_MANIFEST_NAME, apex->name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, errno,
                               "cannot open the manifest in the image");
    int r = byte_source_from_fd(fd, APEX_MANIFEST_NAME, &source, error);
    if (r < 0)
        return r;
    r = byte_source_read_all(&source, APEX_MANIFEST_MAX, &data);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r,
                               "cannot read the manifest in the image");
    if (crypto_hash(CRYPTO_SHA256, &(CryptoBytes){ data, (size_t)source.size }, 1, hash) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (memcmp(hash, apex->manifest_hash, sizeof(hash)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the manifest in the image is another than the one beside it");
    return 0;
}

int apex_mount(const char *name, const char *partition, const ApexIdentity *apex, Error *error)
{
    char device[DEVICE_PATH_SIZE], directory[PATH_SIZE];

    (void)snprintf(directory, sizeof(directory), APEX_DIRECTORY "/%s", apex->name);
    int r = open_device(name, partition, apex, device, error);
    if (r >= 0)
        r = payload_image_mount(device, directory, error);
    return r < 0 ? r : check_manifest(apex, error);
}
