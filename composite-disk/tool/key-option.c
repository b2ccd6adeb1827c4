/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/tool/key-option.h"

/* The certificate that is made for a key without one. */
#define COMMON_NAME "composite-disk"

int key_option_load(const ToolCall *call, SigningKey **ret_key, Error *error)
{
    const char *path = tool_get_option(call, "key"), *certificate = tool_get_option(call, "cert");
    _cleanup_(signing_key_freep) SigningKey *key = NULL;
    bool made;

    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'--key=FILE' is missing");
    int r = signing_key_load(path, certificate, &key, error);
    if (r >= 0 && !certificate)
        r = signing_key_complete(key, path, COMMON_NAME, &made, error);
    if (r < 0)
        return r;
    *ret_key = TAKE_PTR(key);
    return 0;
}
