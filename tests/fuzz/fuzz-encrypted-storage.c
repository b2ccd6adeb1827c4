/* SPDX-License-Identifier: Apache-2.0 */
/* Headers that a host has written. What is taken is encoded to the same bytes again. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "guest/encrypted-storage.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[ENCRYPTED_STORAGE_HEADER_SIZE] = { 0 }, again[ENCRYPTED_STORAGE_HEADER_SIZE];
    EncryptedStorageHeader header;

    if (size > 0)
        memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
    int r = encrypted_storage_decode(bytes, &header);
    assert(r == 0 || r == 1 || r == -EBADMSG);
    if (r == 1) {
        encrypted_storage_encode(&header, again);
        assert(memcmp(bytes, again, sizeof(again)) == 0);
    }
    return 0;
}
