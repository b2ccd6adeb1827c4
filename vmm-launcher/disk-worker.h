/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on image files that clients bring, each done by a process that is in a box with nothing but
 * the job's file, under a uid of its own and a seccomp policy without a listener. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm-launcher/template-root.h"

/* Makes the file behind @fd, open for reading and writing, a new partition image of @size bytes,
 * rounded up to whole 4 KiB, and the PartitionType @type: empty but for what the type begins with.
 * @unprivileged: see box_gain_privilege().
 * The calling process drops its privileges for good. Errors: ERROR_INVALID_ARGUMENT, INVALID_FILE,
 * IMAGE_BUSY, and FAILED when the job itself fails. */
int disk_worker_initialize_partition(const TemplateOptions *options,
                                     bool unprivileged,
                                     int fd,
                                     uint32_t type,
                                     uint64_t size,
                                     Error *error);
