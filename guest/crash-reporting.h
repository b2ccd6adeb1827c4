/* SPDX-License-Identifier: Apache-2.0 */
/* What guest-manager does for reports of crashes: has the kernel run crash-reporter for every
 * program that crashes, and finds the report that it leaves. */
#pragma once

#include "common/error.h"

#define CRASH_REPORTER    "/usr/lib/microguest/crash-reporter"
#define CRASH_REPORT_PATH "/run/crash-report"

/* The user that crash-reporter becomes. */
#define CRASH_REPORTER_UID 6003

/* The kernel lets a crashed program's parent know when crash-reporter has ended: once the payload
 * has been reaped, its report is whole. */
int crash_reporting_enable(Error *error);

/* Opens the report of the last crash; the caller owns @ret_fd. -ENOENT when nothing crashed. */
int crash_reporting_open(int *ret_fd);
