/* SPDX-License-Identifier: Apache-2.0 */
/* One launch: from the daemon's request to the supervisor's loop. The only code of the project that
 * runs with privilege while VMs are there. */
#pragma once

#include <stdbool.h>

#include "vmm-launcher/host-secret.h"
#include "vmm-launcher/template-root.h"

typedef struct LaunchOptions {
    TemplateOptions template;
    HostSecretOptions host_secret;
    bool own_cgroup;         /* the service manager has made one for this launcher to divide */
    const char *cgroup_name; /* or: of one to make; NULL for none */
} LaunchOptions;

/* Serves @connection, which it takes, to the VM's end. Returns the exit status of the process. */
int launch_serve(int connection, const LaunchOptions *options);
