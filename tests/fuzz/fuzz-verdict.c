/* SPDX-License-Identifier: Apache-2.0 */
/* What a verifier says that has been taken over. What is taken is encoded to the same bytes again.
 */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "guest/verdict.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ByteReader reader = byte_reader(data, size);
    uint8_t bytes[VERDICT_SIZE_MAX];
    Verdict verdict;

    for (ByteReader before = reader; verdict_decode(&reader, &verdict) == 0; before = reader) {
        ByteWriter writer = byte_writer(bytes, sizeof(bytes));

        verdict_encode(&verdict, &writer);
        assert(byte_writer_finish(&writer) == 0);
        if (verdict.kind == VERDICT_REFUSAL) /* a backslash is escaped once more */
            assert(text_is_printable(verdict.reason, strlen(verdict.reason)));
        else
            assert(writer.size == before.size - reader.size &&
                   memcmp(bytes, before.data, writer.size) == 0);
    }
    return 0;
}
