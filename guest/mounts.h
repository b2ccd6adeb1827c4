/* SPDX-License-Identifier: Apache-2.0 */
/* The file systems that a system needs before anything else can run. */
#pragma once

#include "common/error.h"

/* Mounts proc, sysfs, devtmpfs, and tmpfs on /run and /tmp. */
int mounts_set_up(Error *error);
