/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a partition by its GPT label through sysfs: there is no udev in the guest. */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "guest/deadline.h"

#define UEVENT_VALUE_MAX 128

/* Copies the value of @key in the text of a uevent file. -ENOENT when it has none, -ENOBUFS when
 * it is longer than UEVENT_VALUE_MAX. */
int uevent_get(const char *text, const char *key, char value[static UEVENT_VALUE_MAX + 1]);

/* Waits for a partition labelled @label and writes the path of its device into @path. */
int payload_partition_find(
    const char *label, Deadline deadline, char *path, size_t capacity, Error *error);
