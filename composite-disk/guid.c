/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/guid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

/* Whether a dash stands before the byte of this number. */
static bool begins_group(unsigned index)
{
    return index == 4 || index == 6 || index == 8 || index == 10;
}

void guid_to_string(const uint8_t guid[static GUID_SIZE], char ret_text[static GUID_STRING_SIZE])
{
    char *at = ret_text;

    for (unsigned i = 0; i < GUID_SIZE; i++)
        at += snprintf(at, 4, begins_group(i) ? "-%02x" : "%02x", guid[i]);
}

int guid_from_string(const char *text, uint8_t ret_guid[static GUID_SIZE])
{
    uint8_t guid[GUID_SIZE];

    for (unsigned i = 0; i < GUID_SIZE; i++) {
        if (begins_group(i) && *text++ != '-')
            return -EINVAL;
        if (text_parse_hex(text, 1, &guid[i]) < 0)
            return -EINVAL;
        text += 2;
    }
    if (*text != '\0')
        return -EINVAL;
    memcpy(ret_guid, guid, GUID_SIZE);
    return 0;
}

void guid_from_random(uint8_t guid[static GUID_SIZE])
{
    guid[6] = (uint8_t)((guid[6] & 0x0f) | 0x40); /* version 4 */
    guid[8] = (uint8_t)((guid[8] & 0x3f) | 0x80); /* RFC 4122 variant */
}

void guid_swap(const uint8_t from[static GUID_SIZE], uint8_t to[static GUID_SIZE])
{
    static const uint8_t order[8] = { 3, 2, 1, 0, 5, 4, 7, 6 };
    uint8_t copy[GUID_SIZE];

    memcpy(copy, from, GUID_SIZE);
    for (unsigned i = 0; i < sizeof(order); i++)
        to[i] = copy[order[i]];
    memcpy(to + sizeof(order), copy + sizeof(order), GUID_SIZE - sizeof(order));
}

bool guid_is_nil(const uint8_t guid[static GUID_SIZE])
{
    static const uint8_t nil[GUID_SIZE];

    return memcmp(guid, nil, GUID_SIZE) == 0;
}
