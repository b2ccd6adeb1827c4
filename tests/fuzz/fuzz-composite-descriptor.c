/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: whatever is accepted covers the disk without a gap, and is read the same again from
 * what is written of it. */
#include <assert.h>
#include <string.h>

#include "composite-disk/composite-descriptor.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *first = NULL;
    _cleanup_(composite_descriptor_freep) CompositeDescriptor *second = NULL;
    _cleanup_free_ uint8_t *bytes = NULL;
    uint64_t end = 0;
    size_t n;

    if (composite_descriptor_decode(data, size, &first, NULL) < 0) {
        assert(!first);
        return 0;
    }
    for (size_t i = 0; i < first->n_components; i++) {
        assert(first->components[i].offset == end && first->components[i].size > 0);
        assert(strlen(first->components[i].path) > 0);
        end += first->components[i].size;
    }
    assert(end == first->disk_size);

    int r = composite_descriptor_encode(first, &bytes, &n, NULL);
    assert(r == 0);
    r = composite_descriptor_decode(bytes, n, &second, NULL);
    assert(r == 0 && second->n_components == first->n_components);
    for (size_t i = 0; i < first->n_components; i++) {
        assert(strcmp(first->components[i].path, second->components[i].path) == 0);
        assert(first->components[i].file_offset == second->components[i].file_offset);
        assert(first->components[i].writable == second->components[i].writable);
    }
    return 0;
}
