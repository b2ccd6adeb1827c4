/* SPDX-License-Identifier: Apache-2.0 */
/* vbmeta structures, of their own or where a footer leads to: whatever is accepted lies inside,
 * each descriptor is the same when it is encoded and read again, and none is verified whose
 * signature was not made with the key in it. */
#include <assert.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/avb-footer.h"
#include "composite-disk/avb-partition.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/vbmeta.h"
#include "tests/fuzz/fuzz.h"

#define IMAGE_SIZE_MAX (1 << 16) /* of images that are hashed here */

static void assert_inside(AvbBytes part, AvbBytes whole)
{
    assert(part.data >= whole.data && part.size <= whole.size &&
           (size_t)(part.data - whole.data) <= whole.size - part.size);
}

static void check_bytes(const AvbDescriptor *descriptor, AvbBytes whole)
{
    switch (descriptor->tag) {
    case AVB_PROPERTY:
        assert_inside(descriptor->property.key, whole);
        assert_inside(descriptor->property.value, whole);
        break;
    case AVB_HASHTREE:
        assert_inside(descriptor->hashtree.name, whole);
        assert_inside(descriptor->hashtree.salt, whole);
        assert_inside(descriptor->hashtree.digest, whole);
        assert(descriptor->hashtree.tree_offset + descriptor->hashtree.tree_size <=
               AVB_IMAGE_SIZE_MAX);
        break;
    case AVB_HASH:
        assert_inside(descriptor->hash.name, whole);
        assert_inside(descriptor->hash.salt, whole);
        assert_inside(descriptor->hash.digest, whole);
        break;
    case AVB_KERNEL_CMDLINE:
        assert_inside(descriptor->kernel_cmdline.text, whole);
        break;
    case AVB_CHAIN_PARTITION:
        assert_inside(descriptor->chain_partition.name, whole);
        assert_inside(descriptor->chain_partition.public_key, whole);
        break;
    default:
        assert_inside(descriptor->unknown, whole);
    }
}

/* What is encoded of it is encoded of what is read from that. */
static void check_again(const AvbDescriptor *descriptor)
{
    static uint8_t once[VBMETA_SIZE_MAX + 8], again[VBMETA_SIZE_MAX + 8];
    ByteWriter first = byte_writer(once, sizeof(once)), second = byte_writer(again, sizeof(again));
    AvbDescriptor read;

    assert(avb_descriptor_encode(descriptor, &first, NULL) == 0);
    assert(byte_writer_finish(&first) == 0);
    AvbDescriptorCursor cursor = avb_descriptor_cursor((AvbBytes){ once, first.size });
    assert(avb_descriptor_next(&cursor, &read, NULL) == 1 && cursor.offset == first.size);
    assert(avb_descriptor_encode(&read, &second, NULL) == 0);
    assert(second.size == first.size && memcmp(once, again, first.size) == 0);
}

static void check_descriptors(AvbBytes descriptors, const ByteSource *image)
{
    AvbDescriptorCursor cursor = avb_descriptor_cursor(descriptors);
    AvbDescriptor descriptor;

    while (avb_descriptor_next(&cursor, &descriptor, NULL) > 0) {
        check_bytes(&descriptor, descriptors);
        check_again(&descriptor);
        if (image->size > IMAGE_SIZE_MAX)
            continue;
        if (descriptor.tag == AVB_HASH)
            (void)avb_partition_verify_hash(&descriptor.hash, image, NULL, NULL);
        else if (descriptor.tag == AVB_HASHTREE && descriptor.hashtree.image_size <= image->size)
            (void)avb_partition_verify_hashtree(&descriptor.hashtree, image, NULL, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ByteSource image = byte_source_from_memory(data, size);
    _cleanup_free_ uint8_t *loaded = NULL, *der = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    size_t loaded_size, der_size;
    uint64_t offset;
    Vbmeta vbmeta;

    check_descriptors((AvbBytes){ data, size < VBMETA_SIZE_MAX ? size : VBMETA_SIZE_MAX }, &image);
    if (vbmeta_load(&image, &loaded, &loaded_size, &offset, &error) < 0) {
        assert(error.kind == ERROR_IMAGE_INVALID);
        return 0;
    }
    if (vbmeta_parse(loaded, loaded_size, &vbmeta, &error) < 0) {
        assert(error.kind == ERROR_IMAGE_INVALID);
        return 0;
    }
    assert(vbmeta.data.data == loaded && vbmeta.data.size <= loaded_size);
    assert_inside(vbmeta.hash, vbmeta.data);
    assert_inside(vbmeta.signature, vbmeta.data);
    assert_inside(vbmeta.public_key, vbmeta.data);
    assert_inside(vbmeta.public_key_metadata, vbmeta.data);
    assert_inside(vbmeta.descriptors, vbmeta.data);
    check_descriptors(vbmeta.descriptors, &image);
    if (vbmeta_verify(&vbmeta, NULL, &error) == 0)
        assert(avb_public_key_to_der(vbmeta.public_key.data, vbmeta.public_key.size, &der,
                                     &der_size, NULL) == 0);
    return 0;
}
