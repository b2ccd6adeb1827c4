/* SPDX-License-Identifier: Apache-2.0 */
/* What json-c does not check: of two equal keys in an object it keeps the last and says nothing,
 * and even in strict mode it takes single-quoted keys and raw control characters in strings. */
#pragma once

#include <stddef.h>

#include "common/error.h"

#define JSON_KEYS_DEPTH_MAX 16

/* Refuses @text, which json-c has parsed before, with @kind when an object has a key twice, a key
 * has an escape (no key of ours needs one), a quote is a single one, a string has a raw control
 * character, there are more than @max_keys keys, or objects and arrays are nested deeper than
 * JSON_KEYS_DEPTH_MAX. The sentence names the place as a JSON pointer (RFC 6901). */
int json_keys_check(const char *text, size_t size, size_t max_keys, ErrorKind kind, Error *error);
