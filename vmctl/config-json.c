/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/config-json.h"

#include <string.h>

#include "common/text.h"

int config_json_parse(const char *text, struct json_object **ret_object, Error *error)
{
    size_t size = strlen(text);

    if (size <= JSON_FIELDS_SIZE_MAX && !text_is_utf8(text, size))
        return error_set(error, ERROR_INVALID_CONFIG, "the configuration is no UTF-8");
    return json_fields_parse(text, size, ret_object, error);
}
