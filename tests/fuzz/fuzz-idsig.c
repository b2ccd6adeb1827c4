/* SPDX-License-Identifier: Apache-2.0 */
/* Idsig files of anybody. What is taken is encoded to the same bytes again. */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "composite-disk/idsig-signature.h"
#include "composite-disk/idsig.h"
#include "tests/fuzz/fuzz.h"

static void check_sentence(Error *error)
{
    const char *sentence = error_get_message(error);

    assert(error->kind != ERROR_NONE);
    assert(text_is_utf8(sentence, strlen(sentence)) && text_has_no_control(sentence));
    error_clear(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t header[IDSIG_HEADER_MAX], signed_data[IDSIG_SIGNED_DATA_MAX];
    ByteWriter writer = byte_writer(header, sizeof(header));
    ByteWriter signed_writer = byte_writer(signed_data, sizeof(signed_data));
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Idsig idsig;

    if (idsig_decode(data, size < IDSIG_HEADER_MAX ? size : IDSIG_HEADER_MAX, &idsig, &error) < 0) {
        check_sentence(&error);
        return 0;
    }
    assert(idsig.tree_offset <= size);
    assert(idsig_encode(&idsig, &writer) == 0);
    assert(writer.size == idsig.tree_offset && memcmp(header, data, writer.size) == 0);
    assert(idsig_encode_signed_data(&idsig, UINT64_MAX, &signed_writer) == 0);
    if (idsig_check_size(&idsig, size, &error) < 0)
        check_sentence(&error);
    if (idsig_check_tree_size(&idsig, (uint64_t)idsig.tree_size * 128, &error) < 0)
        check_sentence(&error);
    if (idsig_is_signed(&idsig) && idsig_signature_verify(&idsig, size, &error) < 0)
        check_sentence(&error);
    return 0;
}
