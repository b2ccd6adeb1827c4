/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/text.h"

#define DIGITS_MAX 20 /* of a 64-bit number */

typedef struct Unit {
    const char *name;
    uint64_t factor;
} Unit;

static const Unit size_units[] = {
    { "", 1 },
    { "B", 1 },
    { "K", UINT64_C(1) << 10 },
    { "M", UINT64_C(1) << 20 },
    { "G", UINT64_C(1) << 30 },
    { "T", UINT64_C(1) << 40 },
};

static const Unit time_units[] = {
    { "", USEC_PER_SEC },
    { "us", 1 },
    { "ms", 1000 },
    { "s", USEC_PER_SEC },
    { "min", 60 * USEC_PER_SEC },
    { "h", 3600 * USEC_PER_SEC },
};

/* Parses a whole number and one of @units. -EINVAL, or -ERANGE for what is too large. */
static int parse(const char *text, const Unit *units, size_t n_units, uint64_t *ret_value)
{
    size_t n_digits = strspn(text, "0123456789");
    char digits[DIGITS_MAX + 1];
    uint64_t number;

    if (n_digits > DIGITS_MAX)
        return -ERANGE;
    (void)snprintf(digits, sizeof(digits), "%.*s", (int)n_digits, text);
    int r = text_parse_u64(digits, UINT64_MAX, &number);
    for (size_t i = 0; r >= 0 && i < n_units; i++) {
        if (strcmp(units[i].name, text + n_digits) == 0)
            return ckd_mul(ret_value, number, units[i].factor) ? -ERANGE : 0;
    }
    return r < 0 ? r : -EINVAL;
}

int quantity_parse_size(const char *text,
                        const char *what,
                        uint64_t min,
                        uint64_t max,
                        uint64_t *ret_bytes,
                        Error *error)
{
    char lowest[QUANTITY_TEXT_SIZE], highest[QUANTITY_TEXT_SIZE];
    uint64_t bytes;

    int r = parse(text, size_units, ELEMENTS_OF(size_units), &bytes);
    if (r == -EINVAL)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "%s is a whole number of bytes, or one with K, M, G or T, not '%s'", what,
                         text);
    if (r < 0 || bytes < min || bytes > max) {
        quantity_print_size(min, lowest);
        quantity_print_size(max, highest);
        return error_set(error, ERROR_INVALID_ARGUMENT, "%s is from %s to %s, not '%s'", what,
                         lowest, highest, text);
    }
    *ret_bytes = bytes;
    return 0;
}

int quantity_parse_time(
    const char *text, const char *what, uint64_t max_usec, uint64_t *ret_usec, Error *error)
{
    char highest[QUANTITY_TEXT_SIZE];
    uint64_t usec;

    int r = parse(text, time_units, ELEMENTS_OF(time_units), &usec);
    if (r == -EINVAL)
        return error_set(
            error, ERROR_INVALID_ARGUMENT,
            "%s is a whole number of seconds, or one with us, ms, s, min or h, not '%s'", what,
            text);
    if (r < 0 || usec > max_usec) {
        quantity_print_span(max_usec, highest);
        return error_set(error, ERROR_INVALID_ARGUMENT, "%s is at most %s, not '%s'", what, highest,
                         text);
    }
    *ret_usec = usec;
    return 0;
}

void quantity_print_size(uint64_t bytes, char text[static QUANTITY_TEXT_SIZE])
{
    size_t unit = 1;

    while (unit + 1 < ELEMENTS_OF(size_units) && bytes >= size_units[unit + 1].factor)
        unit++;
    uint64_t factor = size_units[unit].factor, tenths = bytes % factor * 10 / factor;
    if (tenths == 0)
        (void)snprintf(text, QUANTITY_TEXT_SIZE, "%" PRIu64 "%s", bytes / factor,
                       size_units[unit].name);
    else
        (void)snprintf(text, QUANTITY_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "%s", bytes / factor,
                       tenths, size_units[unit].name);
}

void quantity_print_span(uint64_t usec, char text[static QUANTITY_TEXT_SIZE])
{
    static const Unit units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
    uint64_t seconds = usec / USEC_PER_SEC;

    if (seconds == 0) {
        (void)snprintf(text, QUANTITY_TEXT_SIZE, "%.1gs", (double)usec / (double)USEC_PER_SEC);
        return;
    }
    for (size_t i = 0; i < ELEMENTS_OF(units); i++) {
        uint64_t rest = seconds % units[i].factor;

        if (seconds < units[i].factor)
            continue;
        int n = snprintf(text, QUANTITY_TEXT_SIZE, "%" PRIu64 "%s", seconds / units[i].factor,
                         units[i].name);
        if (i + 1 < ELEMENTS_OF(units) && rest >= units[i + 1].factor)
            (void)snprintf(text + n, QUANTITY_TEXT_SIZE - (size_t)n, " %" PRIu64 "%s",
                           rest / units[i + 1].factor, units[i + 1].name);
        return;
    }
}
