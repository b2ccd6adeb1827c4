/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata partitions of anybody. What is taken is written, and read again as the same bytes. */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "composite-disk/payload-metadata.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(payload_metadata_freep) PayloadMetadata *metadata = NULL, *again = NULL;
    _cleanup_free_ uint8_t *bytes = NULL, *same = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    size_t bytes_size, same_size;

    if (payload_metadata_decode(data, size, &metadata, &error) < 0) {
        const char *sentence = error_get_message(&error);

        assert(error.kind != ERROR_NONE && !metadata);
        assert(text_is_utf8(sentence, strlen(sentence)) && text_has_no_control(sentence));
        return 0;
    }
    assert(metadata->n_apexes <= PAYLOAD_APEXES_MAX);
    assert(!metadata->config_path != !metadata->binary);
    assert(payload_metadata_encode(metadata, &bytes, &bytes_size, NULL) == 0);
    assert(payload_metadata_decode(bytes, bytes_size, &again, NULL) == 0);
    assert(payload_metadata_encode(again, &same, &same_size, NULL) == 0);
    assert(bytes_size == same_size && memcmp(bytes, same, same_size) == 0);
    return 0;
}
