/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of an APEX from anybody: a name that is taken may become a directory's, and the same
 * bytes with a field behind them that nobody knows say the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "composite-disk/apex-manifest.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t unknown[] = { 0x9a, 0x3f, 1, 'x' }; /* field 1011 */
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ApexManifest manifest, again;

    if (apex_manifest_decode(data, size, &manifest, &error) < 0) {
        assert(error.kind == ERROR_IMAGE_INVALID);
        return 0;
    }
    assert(manifest.version > 0 && manifest.version <= INT64_MAX);
    assert(manifest.name[0] != '\0' && manifest.name[0] != '.' && !strchr(manifest.name, '/'));
    if (size + sizeof(unknown) > APEX_MANIFEST_MAX)
        return 0;

    _cleanup_free_ uint8_t *longer = malloc(size + sizeof(unknown));
    assert(longer);
    memcpy(longer, data, size);
    memcpy(longer + size, unknown, sizeof(unknown));
    int r = apex_manifest_decode(longer, size + sizeof(unknown), &again, NULL);
    assert(r == 0 && again.version == manifest.version && strcmp(again.name, manifest.name) == 0);
    return 0;
}
