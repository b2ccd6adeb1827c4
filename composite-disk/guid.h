/* SPDX-License-Identifier: Apache-2.0 */
/* GUIDs (UUIDs), in memory in the order in which they are written as text; RFC 4122. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define GUID_SIZE        16
#define GUID_STRING_SIZE 37 /* with the final NUL */

/* Lower case, 8-4-4-4-12. */
void guid_to_string(const uint8_t guid[static GUID_SIZE], char ret_text[static GUID_STRING_SIZE]);

/* Of either case; -EINVAL for anything but 8-4-4-4-12 hexadecimal digits. */
int guid_from_string(const char *text, uint8_t ret_guid[static GUID_SIZE]);

/* Makes 16 random bytes a random GUID (version 4). */
void guid_from_random(uint8_t guid[static GUID_SIZE]);

/* To or from the order that the UEFI Specification (appendix A) has on disks: the first three
 * groups are little-endian there. @from and @to may be the same. */
void guid_swap(const uint8_t from[static GUID_SIZE], uint8_t to[static GUID_SIZE]);

bool guid_is_nil(const uint8_t guid[static GUID_SIZE]);
