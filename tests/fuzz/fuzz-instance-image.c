/* SPDX-License-Identifier: Apache-2.0 */
/* Instance images: whatever is accepted is a list of records that lie inside, one behind the other,
 * and each payload can be read. */
#include <assert.h>
#include <string.h>

#include "composite-disk/instance-image.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(instance_image_freep) InstanceImage *image = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteSource source = byte_source_from_memory(data, size);
    uint64_t offset = INSTANCE_IMAGE_HEADER_SIZE;

    if (instance_image_read(&source, &image, &error) < 0) {
        assert(!image && error.kind == ERROR_IMAGE_INVALID);
        return 0;
    }
    for (size_t i = 0; i < image->n_records; i++) {
        const InstanceRecord *record = &image->records[i];
        _cleanup_free_ uint8_t *payload = malloc((size_t)record->payload_size + 1);

        assert(record->offset == offset);
        assert(instance_image_find(image, record->uuid) == record);
        assert(payload);
        assert(instance_image_read_payload(&source, record, payload, NULL) == 0);
        assert(memcmp(payload, data + offset + INSTANCE_RECORD_HEADER_SIZE,
                      (size_t)record->payload_size) == 0);
        offset += INSTANCE_RECORD_HEADER_SIZE + (record->payload_size + 511) / 512 * 512;
    }
    assert(image->end_offset == offset && offset + INSTANCE_RECORD_HEADER_SIZE <= size);
    return 0;
}
