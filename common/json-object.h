/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup of json-c's objects, for local variables. */
#pragma once

#include <json-c/json.h>

#include "common/cleanup.h"

DEFINE_CLEANUP(json_object, json_object_put);
DEFINE_CLEANUP(json_tokener, json_tokener_free);
