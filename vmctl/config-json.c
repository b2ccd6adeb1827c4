/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/config-json.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/json-keys.h"
#include "common/text.h"
#include "vmctl/bus-value.h"

#define DEPTH_MAX 8
#define KEYS_MAX  2048

DEFINE_CLEANUP(json_tokener, json_tokener_free);

int config_json_parse(const char *text, struct json_object **ret_object, Error *error)
{
    size_t size = strlen(text);

    if (size > CONFIG_JSON_SIZE_MAX)
        return error_set(error, ERROR_INVALID_CONFIG, "the configuration has more than %d bytes",
                         CONFIG_JSON_SIZE_MAX);
    if (!text_is_utf8(text, size))
        return error_set(error, ERROR_INVALID_CONFIG, "the configuration is no UTF-8");
    _cleanup_(json_tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    /* With the final NUL, so that an unfinished value and text behind a value are errors. */
    _cleanup_(json_object_putp) struct json_object *object =
        json_tokener_parse_ex(tokener, text, (int)size + 1);
    enum json_tokener_error result = json_tokener_get_error(tokener);
    if (result != json_tokener_success || json_tokener_get_parse_end(tokener) < size)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the configuration is no JSON: %s at byte %zu",
                         result == json_tokener_success ? "text behind the value"
                                                        : json_tokener_error_desc(result),
                         json_tokener_get_parse_end(tokener));
    if (!json_object_is_type(object, json_type_object))
        return error_set(error, ERROR_INVALID_CONFIG, "the configuration is no JSON object");

    /* Of two equal keys the service might otherwise judge another than the one opened here. */
    int r = json_keys_check(text, size, KEYS_MAX, ERROR_INVALID_CONFIG, error);
    if (r < 0)
        return r;
    *ret_object = TAKE_PTR(object);
    return 0;
}
