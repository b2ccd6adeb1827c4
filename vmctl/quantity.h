/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and times as people write them: "512M" is 512 times 2^20 bytes, "90" is 90 seconds, "2min"
 * is two minutes. Whole numbers only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define QUANTITY_TEXT_SIZE 32
#define USEC_PER_SEC       UINT64_C(1000000)

/* ERROR_INVALID_ARGUMENT names @what it is, the value, and what is allowed: @min to @max. */
int quantity_parse_size(const char *text,
                        const char *what,
                        uint64_t min,
                        uint64_t max,
                        uint64_t *ret_bytes,
                        Error *error);
int quantity_parse_time(
    const char *text, const char *what, uint64_t max_usec, uint64_t *ret_usec, Error *error);

/* As "128M" or "1.5G"; without a fraction where there is none. */
void quantity_print_size(uint64_t bytes, char text[static QUANTITY_TEXT_SIZE]);

/* A span of time in its two largest units, as "2min 3s"; "0.2s" below a second. */
void quantity_print_span(uint64_t usec, char text[static QUANTITY_TEXT_SIZE]);
