/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM back end gives the launcher and the supervisor: how to start its VMM, and its control
 * protocol. Everything passes by argument and descriptor; the control connection carries a handful
 * of short commands. One file per back end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/error.h"
#include "protocol/launch-spec.h"

/* A descriptor handed to a process stands at VMM_FIRST_FD plus its index. */
#define VMM_FIRST_FD 3
#define VMM_FDS_MAX  1000
/* QEMU takes two for each descriptor of a disk, of which there may be nearly as many. */
#define VMM_ARGS_MAX (2 * VMM_FDS_MAX + 128)

/* An argument vector and the descriptors that go with it; both owned. */
typedef struct VmmCommand {
    char *argv[VMM_ARGS_MAX + 1]; /* NULL-terminated */
    size_t n_args;
    int fds[VMM_FDS_MAX];
    size_t n_fds;
} VmmCommand;

void vmm_command_deinit(VmmCommand *command);

/* Appends an argument. -ENOMEM, or -E2BIG when there are too many. */
int vmm_command_add(VmmCommand *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes @fd, whether it succeeds or not; @ret_number is its number in the VMM. */
int vmm_command_take_fd(VmmCommand *command, int fd, int *ret_number);

/* What the launcher has made for the VMM. The back end moves the descriptors into the command. */
typedef struct VmmMachine {
    const LaunchSpec *spec;
    int *fds; /* the request's descriptors by index, re-opened as the spec needs them */
    /* Paths in the box; NULL for what there is not. */
    const char *kernel, *initrd, *bootloader;
    bool use_kvm;
    int control;     /* VMM's end of the control connection */
    int console;     /* VMM's end of the console stream */
    int vhost_vsock; /* VMM's end of the vhost-user connection to vsock-device */
} VmmMachine;

/* How a VMM says that it ends. */
typedef enum VmmEnd {
    VMM_END_UNSAID, /* it did not say */
    VMM_END_GUEST_SHUTDOWN,
    VMM_END_GUEST_RESET,
    VMM_END_GUEST_PANIC,
    VMM_END_HOST_SIGNAL,
} VmmEnd;

typedef struct VmmControlHandlers {
    /* Everything is set up, and no vCPU has run: negative when none must. */
    int (*ready)(void *userdata);
    /* The vCPUs were released for the first time, or would have been if not for "paused". */
    void (*running)(void *userdata);
    /* A suspend or resume that was asked for has been done. */
    void (*suspended)(void *userdata);
    void (*resumed)(void *userdata);
    /* The control connection broke, or carries what it must not. */
    void (*failed)(void *userdata, const char *sentence);
} VmmControlHandlers;

typedef struct VmmControl VmmControl;

typedef struct VmmBackend {
    const char *name;
    const char *path; /* of the VMM, in the box: the launcher starts nothing else */

    /* What the VM's processes may need besides the guest's memory. */
    uint64_t (*get_overhead_bytes)(const LaunchSpec *spec, bool use_kvm);
    int (*build_command)(VmmMachine *machine, VmmCommand *command, Error *error);

    /* Takes @fd; @handlers outlives the result. */
    int (*control_new)(sd_event *event,
                       int fd,
                       bool paused,
                       const VmmControlHandlers *handlers,
                       void *userdata,
                       VmmControl **ret_control);
    VmmControl *(*control_free)(VmmControl *control);
    void (*suspend)(VmmControl *control);
    void (*resume)(VmmControl *control);
    void (*power_button)(VmmControl *control);
    /* How much of its memory the guest is to keep; with a balloon only. */
    void (*set_guest_memory)(VmmControl *control, uint64_t bytes);
    /* Reads what the VMM has said up to now, and how it said that it ends. */
    VmmEnd (*drain)(VmmControl *control);
    /* The signal that ended the VMM though it exited in an orderly way, out of the last lines it
     * wrote to stderr; 0 when they do not tell. */
    int (*find_signal)(const char *last_lines);
} VmmBackend;

extern const VmmBackend vmm_backend_qemu;
