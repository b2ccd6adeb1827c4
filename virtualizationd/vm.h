/* SPDX-License-Identifier: Apache-2.0 */
/* One VM as the daemon knows it: owner, configuration, files, the bus object, and the connection to
 * its supervisor, whose word on the state it follows. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dbus/bus-service.h"
#include "protocol/event-history.h"
#include "protocol/supervisor-message.h"
#include "virtualizationd/boot-check.h"
#include "virtualizationd/daemon.h"
#include "virtualizationd/vm-channel.h"
#include "virtualizationd/vm-config.h"
#include "virtualizationd/vm-files.h"
#include "virtualizationd/vm-record.h"

/* How far a daemon has got with the supervisor of a VM that it has found. */
typedef enum VmAdoption {
    ADOPTION_NONE, /* it is our own, or adopted */
    ADOPTION_GREETING,
    ADOPTION_STATE,
    ADOPTION_EVENTS,
    ADOPTION_REFUSED, /* see foreign_version */
} VmAdoption;

struct Vm {
    LIST_ENTRY(Vm) link;
    Daemon *daemon;
    BusObject *object;
    char id[LAUNCH_SPEC_ID_SIZE + 1];
    char *name;
    uid_t owner;
    char *client; /* unique bus name whose end is the VM's, or NULL: detached */
    uint32_t cid;
    uint32_t cpus;
    bool start_paused;
    LaunchSeccompAction seccomp_action;
    char *config_json; /* as the client gave it */
    VmConfig *config;
    VmFiles files;
    QuotaCharge charge; /* what its owner has for it: a life's, or a record */

    VmState state, resume_to;
    uint64_t last_event;
    EventHistory history;  /* from the start on: the creation is in created_usec */
    uint64_t announced;    /* what clients have been told */
    uint64_t acknowledged; /* and the supervisor knows that */
    uint64_t created_usec, started_usec;
    uint32_t pid;
    StopStep stop_step;   /* under way */
    DeathRecord *record;  /* once it is dead */
    char *crash_report;   /* which the record borrows */
    uint64_t record_usec; /* when it died; UINT64_MAX once it is to be forgotten */
    sd_event_source *forget_timer;

    int connection; /* to the launcher, then the supervisor; negative: none */
    sd_event_source *connection_io;
    bool accepted;              /* the launcher has taken the job */
    bool is_recorded;           /* its directory has its record, and, once it is dead, its death */
    VmAdoption adoption;        /* by a daemon that found it */
    uint64_t adopted_at;        /* the last event that is history, not news */
    uint32_t foreign_version;   /* of a supervisor that this daemon does not understand */
    DeathInitiator end_wanted;  /* as soon as the supervisor can be told; 0: not */
    BootCheckWaiter boot_check; /* before an app's launch */
    BusCall *start_call;        /* waits for all of that */
    QuotaCharge start_charge;   /* of who waits */
    bool is_new;                /* start_call is CreateVm: the VM goes with its failure */
    VmChannels channels;
};

/* What CreateVm was asked for. */
typedef struct VmRequest {
    const char *config_json;
    uid_t owner;
    const char *client; /* NULL: detached */
    bool paused;
    LaunchSeccompAction seccomp_action;
} VmRequest;

/* Makes a VM in the state "not-started", without its files. The daemon's table owns it. */
int vm_new(Daemon *daemon, const VmRequest *request, Vm **ret_vm, Error *error);

/* Makes a VM of what an earlier daemon has written, in the state "starting". */
int vm_new_from_record(Daemon *daemon, const VmRecord *record, Vm **ret_vm, Error *error);

/* The VM that has the file of this device and inode as an image, or NULL. */
const Vm *vm_find_image_user(const Daemon *daemon, const struct stat *status);

/* Forgets the VM, which is dead or was not started, with its directory. */
Vm *vm_free(Vm *vm);

/* Lets go of the VM, which lives on if it was started: for the end of the daemon. */
Vm *vm_leave(Vm *vm);

/* Looks in the daemon's table; NULL if there is none. */
Vm *vm_find_by_id(Daemon *daemon, const char *id);

/* The same by either. A name is the living VM's, or else that of
 * the last one to die with it. */
Vm *vm_find(Daemon *daemon, const char *name_or_id);

/* After files were brought: that no other VM has them, and that disks can be made of them. */
int vm_check_files(Vm *vm, Error *error);

/* Charges the owner for the files that are open for the VM; giving up some always works. */
int vm_charge_files(Vm *vm, Error *error);

/* That every file that it needs was brought. */
int vm_check_complete(const Vm *vm, Error *error);

/* Gives back what a VM needs while it lives. */
void vm_release_life(Vm *vm);

/* Starts the VM. @call, if not NULL, is answered once the launcher has taken or refused the job:
 * with nothing, or, when @is_new, as CreateVm. */
int vm_start(Vm *vm, BusCall *call, bool is_new, Error *error);

/* Requests to the supervisor; the VM's state decides. */
int vm_stop(Vm *vm, const StopPlan *plan, Error *error);
int vm_kill(Vm *vm, DeathInitiator initiator, Error *error);
int vm_suspend(Vm *vm, Error *error);
int vm_resume(Vm *vm, Error *error);
int vm_forget(Vm *vm, Error *error); /* from the loop, once it is dead */
int vm_set_balloon(Vm *vm, uint64_t bytes, Error *error);

/* Whether it was told to start, and has gone or will go to a launcher. */
bool vm_is_being_started(const Vm *vm);

/* Whether its vCPUs were released, and it is not dead. */
bool vm_is_running(const Vm *vm);

/* ERROR_INVALID_STATE: the VM cannot be @what. */
int vm_refuse_state(const Vm *vm, const char *what, Error *error);

/* The bus interface, and the reply of CreateVm. */
extern const BusInterface vm_interface;
void vm_reply_created(Vm *vm, BusCall *call);
