/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/avb-boot.h"

#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/avb-partition.h"
#include "composite-disk/vbmeta.h"

#define KERNEL_NAME "boot"

static const char *const initrd_names[AVB_BOOT_INITRD_MAX] = {
    [AVB_BOOT_INITRD_NORMAL] = "initrd_normal",
    [AVB_BOOT_INITRD_DEBUG] = "initrd_debug",
};

/* Puts @what before the sentence in @cause. */
static int refuse(const char *what, const Error *cause, Error *error)
{
    return error_set(error, cause->kind, "%s: %s", what, error_get_message(cause));
}

static int check_hash(const AvbHash *hash, const ByteSource *image, Error *error)
{
    /* More than that would run unverified. */
    if (image->size != hash->image_size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%" PRIu64 " bytes, and vbmeta has the hash of %" PRIu64, image->size,
                         hash->image_size);
    return avb_partition_verify_hash(hash, image, NULL, error);
}

/* All that vbmeta says of @name, which is something, must be true of @image. */
static int check_image(
    const Vbmeta *vbmeta, const char *name, const char *what, const ByteSource *image, Error *error)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(vbmeta->descriptors);
    _cleanup_(error_clear) Error cause = ERROR_INIT;
    AvbDescriptor descriptor;
    bool found = false;
    int r;

    while ((r = avb_descriptor_next(&cursor, &descriptor, &cause)) > 0) {
        if (descriptor.tag != AVB_HASH ||
            !avb_bytes_equal(descriptor.hash.name, avb_bytes_from_string(name)))
            continue;
        found = true;
        r = check_hash(&descriptor.hash, image, &cause);
        if (r < 0)
            return refuse(what, &cause, error);
    }
    if (r < 0)
        return refuse("vbmeta", &cause, error);
    if (!found)
        return error_set(error, ERROR_IMAGE_INVALID, "vbmeta: there is no hash of '%s', the %s",
                         name, what);
    return 0;
}

static int check_vbmeta(const Vbmeta *vbmeta, Error *error)
{
    if (vbmeta->flags & (VBMETA_FLAG_HASHTREE_DISABLED | VBMETA_FLAG_VERIFICATION_DISABLED))
        return error_set(error, ERROR_IMAGE_INVALID, "its flags switch verification off");
    return vbmeta_verify(vbmeta, NULL, error);
}

static int load_vbmeta(const ByteSource *source,
                       uint8_t **ret_data,
                       Vbmeta *ret_vbmeta,
                       Error *error)
{
    uint64_t offset;
    size_t size;

    int r = vbmeta_load(source, ret_data, &size, &offset, error);
    if (r >= 0)
        r = vbmeta_parse(*ret_data, size, ret_vbmeta, error);
    if (r >= 0)
        r = check_vbmeta(ret_vbmeta, error);
    return r;
}

int avb_boot_verify(const AvbBoot *boot, Error *error)
{
    _cleanup_(error_clear) Error cause = ERROR_INIT;
    _cleanup_free_ uint8_t *data = NULL;
    Vbmeta vbmeta;

    int r = load_vbmeta(&boot->vbmeta, &data, &vbmeta, &cause);
    if (r < 0)
        return refuse("vbmeta", &cause, error);
    r = check_image(&vbmeta, KERNEL_NAME, "kernel", &boot->kernel, error);
    if (r >= 0)
        r = check_image(&vbmeta, initrd_names[boot->initrd_kind], "initrd", &boot->initrd, error);
    return r;
}
