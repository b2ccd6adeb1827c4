/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's settings: INI files with the sections [Daemon] and [Limits], as
 * virtualizationd.conf(5) describes them. What the limits mean is quota.h's. */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "virtualizationd/quota.h"
#include "virtualizationd/settings-files.h"

typedef struct Settings {
    char *user;                /* User=: whom the daemon runs as when it is started by root */
    char *group;               /* Group=: may do what root may where there is no polkit */
    uint64_t orphan_sec;       /* OrphanSec=: how long a client's VM lives without a daemon */
    uint64_t death_record_sec; /* DeathRecordSec=: how long a dead VM stays readable */
    QuotaLimits limits;        /* [Limits] */
} Settings;

/* Sets the defaults, then what the files in @places say, the later ones over the earlier. What is
 * unknown or not valid is an error that names file and value. */
int settings_load(const SettingsPlaces *places, Settings *ret_settings, Error *error);
void settings_deinit(Settings *settings);
