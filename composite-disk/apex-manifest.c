/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apex-manifest.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "composite-disk/apex-manifest.pb-c.h"

#define SHOWN_SIZE 128 /* how much of a foreign name is shown in a sentence */

typedef ApexManifestWire__ApexManifest WireManifest;

static void free_message(WireManifest **message)
{
    apex_manifest_wire__apex_manifest__free_unpacked(*message, NULL);
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name(const char *text, size_t size)
{
    if (size == 0 || !is_letter_or_digit(text[0]))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!is_letter_or_digit(text[i]) && text[i] != '.' && text[i] != '_' && text[i] != '-')
            return false;
    }
    return true;
}

static int check_name(ProtobufCBinaryData name, Error *error)
{
    const char *text = (const char *)name.data;
    char shown[SHOWN_SIZE];

    if (name.len == 0)
        return error_set(error, ERROR_IMAGE_INVALID, APEX_MANIFEST_NAME ": it has no name");
    if (name.len > APEX_NAME_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         APEX_MANIFEST_NAME ": a name of %zu bytes; at most %d are taken", name.len,
                         APEX_NAME_MAX);
    if (!is_name(text, name.len)) {
        text_escape(text, name.len, shown, sizeof(shown));
        return error_set(error, ERROR_IMAGE_INVALID,
                         APEX_MANIFEST_NAME ": '%s' is no name: it has letters, digits, '.', '_' "
                                            "and '-', with a letter or digit first",
                         shown);
    }
    return 0;
}

int apex_manifest_decode(const uint8_t *data, size_t size, ApexManifest *ret_manifest, Error *error)
{
    _cleanup_(free_message) WireManifest *message = NULL;
    ApexManifest manifest = { .version = 0 };

    if (size > APEX_MANIFEST_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         APEX_MANIFEST_NAME ": %zu bytes; at most %u are taken", size,
                         APEX_MANIFEST_MAX);
    message = apex_manifest_wire__apex_manifest__unpack(NULL, size, data);
    if (!message)
        return error_set(error, ERROR_IMAGE_INVALID, APEX_MANIFEST_NAME ": it is no such message");
    int r = check_name(message->name, error);
    if (r < 0)
        return r;
    if (message->version <= 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         APEX_MANIFEST_NAME ": version %" PRId64 "; it begins with 1",
                         message->version);
    memcpy(manifest.name, message->name.data, message->name.len);
    manifest.version = (uint64_t)message->version;
    *ret_manifest = manifest;
    return 0;
}
