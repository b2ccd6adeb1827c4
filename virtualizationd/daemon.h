/* SPDX-License-Identifier: Apache-2.0 */
/* Everything the daemon knows hangs off one Daemon, handed down explicitly. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "dbus/bus-service.h"
#include "virtualizationd/cid-pool.h"
#include "virtualizationd/instance-registry.h"
#include "virtualizationd/os-list.h"
#include "virtualizationd/settings.h"

typedef struct Vm Vm;
typedef struct DiskJob DiskJob;
typedef struct BootCheck BootCheck;
typedef struct Question Question;

/* Supervisors and the bus take turns: priorities are strict, and neither may starve the other. */
#define PRIORITY_BUS 0

typedef struct DaemonOptions {
    const char *bus;             /* "system", "session" or an address */
    const char *runtime_dir;     /* absolute */
    const char *cache_dir;       /* absolute; the launcher's */
    const char *state_dir;       /* absolute; what outlives the machine's run; root's launchers
                                  * have one of that name with "-launcher" */
    const char *launcher_socket; /* absolute, of the service manager that starts launchers; NULL:
                                  * a listener does */
    const char *os_dirs[OS_DIRS_MAX + 1];
    SettingsPlaces settings;
    bool user; /* a user's own daemon: launchers have the user's rights, too */
} DaemonOptions;

/* What is found at the start: host-checks.h. */
typedef struct HostFacts {
    bool has_user_namespaces, has_seccomp_notifications, has_systemd, has_polkit, has_vmm;
} HostFacts;

typedef struct Daemon {
    const DaemonOptions *options;
    Settings settings;
    Quota *quota;
    sd_event *event;
    sd_event_source *sigterm, *sigint, *sighup, *acknowledger;
    BusService *bus;
    BusObject *manager;
    bool is_on_bus;          /* the name is ours: signals reach those who wait for them */
    bool has_unacknowledged; /* some VM's supervisor does not know what clients have been told */
    unsigned n_adopting;     /* supervisors that have not told their VM's state yet */
    bool answers_due;        /* it has waited for them, and does no more */
    LIST_HEAD(, Vm) vms;
    LIST_HEAD(, DiskJob) disk_jobs;
    LIST_HEAD(, BootCheck) boot_checks; /* under way, and the results that are kept */
    LIST_HEAD(, Question) questions;    /* to polkit: authorization.c */
    uint64_t last_question;
    bool has_group;
    gid_t group; /* of the setting Group= */
    CidPool cids;
    char *launcher_socket;
    char *vms_dir;    /* a directory a started VM */
    int vms_fd;       /* the same, open and locked: no second daemon has it */
    int presence;     /* see launcher_ensure(); negative where there is no listener */
    int instances_fd; /* the directory of instances, until they are read */
    InstanceRegistry *instances;
    uint64_t host_memory_bytes;
    uint32_t host_cpus;
    unsigned cgroup_controllers; /* of CgroupController */
    bool has_landlock;
    bool kvm_usable, is_nested;
    const char *kvm_reason;
    HostFacts facts;
} Daemon;

/* Runs the daemon to its end. 0 after SIGTERM or SIGINT. */
int daemon_run(const DaemonOptions *options);
