/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's settings: an INI file of one section, [Daemon]. */
#pragma once

#include <stdint.h>

#include "common/error.h"

typedef struct Settings {
    char *user;                /* User=: whom the daemon runs as when it is started by root */
    char *group;               /* Group=: may do what root may where there is no polkit */
    uint64_t orphan_sec;       /* OrphanSec=: how long a client's VM lives without a daemon */
    uint64_t death_record_sec; /* DeathRecordSec=: how long a dead VM stays readable */
    uint64_t vms_max;          /* VMsMax=: living VMs at the same time */
} Settings;

/* Sets the defaults, then what @path says; NULL: the default path, which may be missing. What is
 * unknown or not valid is an error that names it. */
int settings_load(const char *path, Settings *ret_settings, Error *error);
void settings_deinit(Settings *settings);
