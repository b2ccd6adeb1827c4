/* SPDX-License-Identifier: Apache-2.0 */
/* Has the service check a configuration and tell what would be run: "validate" and --dry-run. */
#pragma once

#include "vmctl/client.h"
#include "vmctl/config-files.h"
#include "vmctl/options.h"

/* Checks @config, whose files are open, and prints the plan. */
int vm_validate(const Options *options, Client *client, const ConfigFiles *config, Error *error);

/* The same, and prints why it is refused. Returns the exit status. */
int vm_validate_report(const Options *options, Client *client, const ConfigFiles *config);
