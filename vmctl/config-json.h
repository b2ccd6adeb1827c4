/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations that others judge, and vmctl looks into: as strict as these are, so that nobody
 * reads something else in them. */
#pragma once

#include "common/error.h"
#include "common/json-fields.h"

/* The object that @text is. ERROR_INVALID_CONFIG for what is none or has a key twice. The caller
 * puts it. */
int config_json_parse(const char *text, struct json_object **ret_object, Error *error);
