/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on image files that clients bring, each done by a process that is in a box with nothing but
 * the job's files, under a uid of its own and a seccomp policy without a listener. */
#pragma once

#include <stdbool.h>

#include "vmm-launcher/launch-request.h"
#include "vmm-launcher/template-root.h"

/* Does the job of @request:
 * - INITIALIZE_PARTITION: the file becomes a new partition image, of a PartitionType.
 * - CREATE_IDSIG: the second file becomes the idsig of the APK in the first, unless it is already.
 * - VERIFY_BOOT: kernel and initrd, the second file and the third, are what the vbmeta in the first
 *   says.
 * The job ends when the daemon closes its end of @connection, which is lent. It may be half done
 * then: an idsig without its version, or a partition image without its beginning.
 * @unprivileged: see box_gain_privilege(). The calling process drops its privileges for good.
 * Errors: ERROR_INVALID_ARGUMENT, INVALID_FILE, IMAGE_INVALID, IMAGE_BUSY, and FAILED when the job
 * itself fails. */
int disk_worker_run(const TemplateOptions *options,
                    bool unprivileged,
                    const LaunchRequest *request,
                    int connection,
                    Error *error);
