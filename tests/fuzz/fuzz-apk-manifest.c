/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of an APK from anybody: what is read of it can be written, and read again. */
#include <assert.h>
#include <string.h>

#include "composite-disk/apk-manifest.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint8_t bytes[APK_MANIFEST_ROOM];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    ApkManifest manifest, again;

    if (apk_manifest_decode(data, size, &manifest, &error) < 0) {
        assert(error.kind == ERROR_IMAGE_INVALID);
        return 0;
    }
    assert(manifest.package[0] != '\0');
    int r = apk_manifest_encode(&manifest, &writer);
    assert(r == 0);
    r = apk_manifest_decode(bytes, writer.size, &again, NULL);
    assert(r == 0 && again.version == manifest.version &&
           strcmp(again.package, manifest.package) == 0);
    return 0;
}
