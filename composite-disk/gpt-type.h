/* SPDX-License-Identifier: Apache-2.0 */
/* The types of partitions, by name. Names are those of systemd-repart, repart.d(5). Sources of the
 * GUIDs: UAPI Group, "Discoverable Partitions Specification"; UEFI Specification 2.10, table 5.7.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The type that AVF gives every partition. */
extern const uint8_t gpt_type_linux_generic[];

/* The name of a type, or NULL for one that is not in the table. */
const char *gpt_type_to_string(const uint8_t *type);

/* The type of a name, or of a GUID as text. -EINVAL for neither. */
int gpt_type_from_string(const char *name, uint8_t *ret_type);

/* The names one by one; NULL behind the last. */
const char *gpt_type_get_name(size_t index);
