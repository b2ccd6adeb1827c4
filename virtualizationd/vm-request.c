/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask of a VM. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "virtualizationd/kill-point.h"
#include "virtualizationd/launcher.h"
#include "virtualizationd/state-file.h"
#include "virtualizationd/vm-app.h"
#include "virtualizationd/vm-directory.h"
#include "virtualizationd/vm-follow.h"
#include "virtualizationd/vm-launch.h"

/* What a guest keeps at least: below, its kernel ends processes for want of memory. */
#define GUEST_MEMORY_MIN (UINT64_C(32) << 20)

int vm_refuse_state(const Vm *vm, const char *what, Error *error)
{
    return error_set(error, ERROR_INVALID_STATE, "VM '%s' cannot be %s: it is in the state '%s'",
                     vm->name, what, vm_state_to_string(vm->state));
}

static int vm_send_value(Vm *vm, SupervisorMessageType type, uint32_t value, Error *error)
{
    const SupervisorMessage message = { .type = type, .value = value };

    return vm_send(vm, &message, -EBADF, error);
}

/* Writes down what the next daemon will need. */
static int write_record(const Vm *vm, int directory)
{
    _cleanup_free_ VmRecordImage *images = calloc(vm->files.n_files + 1, sizeof(VmRecordImage));
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    if (!images)
        return -ENOMEM;
    VmRecord record = { .owner = vm->owner,
                        .cid = vm->cid,
                        .cpus = vm->cpus,
                        .memory_bytes = vm->config->memory_bytes,
                        .seccomp_action = vm->seccomp_action,
                        .created_usec = vm->created_usec,
                        .name = vm->name,
                        .client = vm->client ? vm->client : (char[]){ "" },
                        .bus = (char *)(uintptr_t)bus_service_get_guid(vm->daemon->bus),
                        .config = vm->config_json,
                        .images = images };
    memcpy(record.id, vm->id, sizeof(record.id));
    for (size_t i = 0; i < vm->files.n_files; i++) {
        const VmFile *file = &vm->files.files[i];

        if (file->use == VM_FILE_DISK && file->is_there)
            images[record.n_images++] = (VmRecordImage){ .key = file->key,
                                                         .mode = file->status.st_mode,
                                                         .device = file->status.st_dev,
                                                         .inode = file->status.st_ino,
                                                         .rdevice = file->status.st_rdev };
    }
    int r = vm_record_encode(&record, &bytes, &size);
    return r < 0 ? r : state_file_write(directory, VM_DIRECTORY_RECORD, bytes, size, false);
}

/* Makes the VM's directory and what is in it. The caller closes the sockets. */
static int make_directory(Vm *vm, VmLaunchSockets *ret_sockets, Error *error)
{
    _cleanup_close_ int directory = -EBADF, stub = -EBADF, supervisor = -EBADF;

    int r = vm_directory_make(vm->daemon->vms_fd, vm->id, &directory);
    kill_point(KILL_DIRECTORY_MADE);
    if (r >= 0)
        r = write_record(vm, directory);
    kill_point(KILL_RECORD_WRITTEN);
    if (r >= 0)
        r = vm_directory_listen(directory, VM_DIRECTORY_STUB, SOCK_STREAM, &stub);
    if (r >= 0)
        r = vm_directory_listen(directory, VM_DIRECTORY_SUPERVISOR, SOCK_SEQPACKET, &supervisor);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot make the VM's directory");

    *ret_sockets = (VmLaunchSockets){ .stub = take_fd(&stub), .supervisor = take_fd(&supervisor) };
    return 0;
}

/* Hands the VM to a new launcher, to which @ret_connection is. */
static int launch(Vm *vm, int *ret_connection, Error *error)
{
    _cleanup_close_ int connection = -EBADF;
    VmLaunchSockets sockets = { .stub = -EBADF, .supervisor = -EBADF };

    int r = launcher_connect(vm->daemon->launcher_socket, &connection, error);
    if (r < 0)
        return r;
    r = make_directory(vm, &sockets, error);
    kill_point(KILL_SPEC_UNSENT);
    if (r >= 0)
        r = vm_launch_send(vm, connection, &sockets, error);
    (void)fd_close(sockets.stub);
    (void)fd_close(sockets.supervisor);
    kill_point(KILL_SPEC_SENT);
    if (r < 0)
        return r;
    *ret_connection = take_fd(&connection);
    return 0;
}

int vm_check_complete(const Vm *vm, Error *error)
{
    const char *missing = vm_files_find_missing(&vm->files);

    if (missing)
        return error_set(error, ERROR_INVALID_FILE,
                         "the file '%s', which the configuration names, was not passed", missing);
    return 0;
}

bool vm_is_being_started(const Vm *vm)
{
    return vm->state == VM_NOT_STARTED && (vm->connection >= 0 || vm->boot_check.check);
}

/* Nothing is left of it on an error. */
static int launch_and_follow(Vm *vm, Error *error)
{
    int connection = -EBADF;

    int r = launch(vm, &connection, error);
    if (r >= 0) {
        r = vm_follow(vm, connection);
        if (r < 0) {
            r = error_set_errno(error, ERROR_FAILED, r, "cannot watch the launcher");
            vm_directory_end(vm->daemon->vms_fd, vm->id);
            (void)fd_close(connection);
        }
    }
    if (r < 0) {
        vm_directory_remove(vm->daemon->vms_fd, vm->id);
        return r;
    }
    vm->is_recorded = true;
    return 0;
}

/* The VM may be gone then. */
static void on_boot_checked(void *userdata, const Error *cause)
{
    Vm *vm = userdata;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    int r;

    if (cause->kind != ERROR_NONE)
        r = error_set(&error, cause->kind,
                      "the operating system '%s' is not what was signed, install it again: %s",
                      vm->config->app->os, error_get_message(cause));
    else
        r = launch_and_follow(vm, &error);
    if (r < 0)
        vm_refuse_start(vm, error.kind, error_get_message(&error));
}

/* Launches the VM, or, if it is an app's, as soon as its system is known to be sound. */
static int begin(Vm *vm, Error *error)
{
    int r = 1;

    if (vm->config->app) {
        const BootFiles files = vm_app_get_boot_files(vm->config, &vm->files);

        vm->boot_check.done = on_boot_checked;
        vm->boot_check.userdata = vm;
        r = boot_check_begin(vm->daemon, &files, &vm->boot_check, error);
    }
    return r > 0 ? launch_and_follow(vm, error) : r;
}

int vm_start(Vm *vm, BusCall *call, bool is_new, Error *error)
{
    if (vm->state != VM_NOT_STARTED)
        return vm_refuse_state(vm, "started", error);
    if (vm_is_being_started(vm))
        return error_set(error, ERROR_INVALID_STATE, "VM '%s' is being started already", vm->name);
    int r = vm_check_complete(vm, error);
    if (r < 0)
        return r;

    QuotaCharge charge = { 0 };
    if (call)
        r = quota_charge_call(vm->daemon->quota, bus_call_get_caller(call)->uid, &charge, error);
    if (r >= 0)
        r = begin(vm, error);
    if (r < 0) {
        quota_charge_release(&charge);
        return r;
    }
    vm->start_charge = charge;
    vm->is_new = is_new;
    vm->start_call = bus_call_ref(call);
    return 0;
}

int vm_kill(Vm *vm, DeathInitiator initiator, Error *error)
{
    const DeathRecord record = { .reason = DEATH_KILLED,
                                 .initiator = initiator,
                                 .vmm_exit_code = -1,
                                 .payload_exit_code = -1,
                                 .died_usec = realtime_usec() };

    if (vm->state == VM_DEAD)
        return vm_refuse_state(vm, "killed", error);
    if (vm->adoption == ADOPTION_REFUSED ||
        (vm->adoption != ADOPTION_NONE && vm->daemon->answers_due)) {
        vm_end_unanswered(vm); /* what it speaks does not matter */
    } else if (vm->adoption != ADOPTION_NONE) {
        vm->end_wanted = initiator;
        return 0;
    } else if (vm->connection >= 0) {
        if (vm_send_value(vm, SUPERVISOR_KILL, initiator, error) < 0) {
            log_warning("VM %s: %s", vm->id, error_get_message(error));
            error_clear(error);
            vm_lose_supervisor(vm, "its supervisor does not listen");
        }
        return 0;
    }
    vm_conclude(vm, &record, vm->last_event + 1);
    return 0;
}

int vm_stop(Vm *vm, const StopPlan *plan, Error *error)
{
    const SupervisorMessage message = { .type = SUPERVISOR_STOP, .stop = *plan };

    if (vm->state == VM_DEAD)
        return vm_refuse_state(vm, "stopped", error);
    if (vm->connection < 0)
        return vm_kill(vm, INITIATOR_CLIENT, error);
    return vm_send(vm, &message, -EBADF, error);
}

bool vm_is_running(const Vm *vm)
{
    return vm->started_usec != 0 && vm->state != VM_DEAD;
}

int vm_suspend(Vm *vm, Error *error)
{
    if (!vm_is_running(vm) || vm->state == VM_STOPPING || vm->state == VM_SUSPENDED)
        return vm_refuse_state(vm, "suspended", error);
    return vm_send_value(vm, SUPERVISOR_SUSPEND, 0, error);
}

int vm_resume(Vm *vm, Error *error)
{
    if (vm->state != VM_SUSPENDED)
        return vm_refuse_state(vm, "resumed", error);
    return vm_send_value(vm, SUPERVISOR_RESUME, 0, error);
}

int vm_set_balloon(Vm *vm, uint64_t bytes, Error *error)
{
    const SupervisorMessage message = { .type = SUPERVISOR_SET_BALLOON, .size = bytes };
    uint64_t max = vm->config->memory_bytes > GUEST_MEMORY_MIN
                       ? vm->config->memory_bytes - GUEST_MEMORY_MIN
                       : 0;

    if (!vm->config->balloon)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "VM '%s' has no balloon: its configuration lacks \"balloon\": true",
                         vm->name);
    if (bytes > max)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the balloon of VM '%s' takes at most %" PRIu64 " bytes, not %" PRIu64,
                         vm->name, max, bytes);
    if (!vm_is_running(vm) || vm->state == VM_STOPPING)
        return vm_refuse_state(vm, "given a balloon", error);
    return vm_send(vm, &message, -EBADF, error);
}
