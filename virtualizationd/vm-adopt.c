/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/journal.h"
#include "common/log-fields.h"
#include "common/log.h"
#include "virtualizationd/kill-point.h"
#include "virtualizationd/state-file.h"
#include "virtualizationd/vm-directory.h"
#include "virtualizationd/vm-follow.h"
#include "virtualizationd/vm.h"

/* A supervisor that has not answered by then is one that hangs; its own alarm ends it. */
#define ANSWER_USEC (5 * USEC_PER_SEC)

/* The events of a VM that was dead before: 1, 0 if it is not, or negative. */
static int read_death(int directory, EventHistory *ret_history, bool *ret_told)
{
    const size_t size_max = EVENT_HISTORY_MAX * (sizeof(uint32_t) + SUPERVISOR_MESSAGE_SIZE_MAX);
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    int r = state_file_read(directory, VM_DIRECTORY_DEATH_TOLD, size_max, &bytes, &size);
    *ret_told = r >= 0;
    if (r == -ENOENT)
        r = state_file_read(directory, VM_DIRECTORY_DEATH, size_max, &bytes, &size);
    if (r == -ENOENT)
        return 0;
    if (r >= 0)
        r = vm_record_decode_events(bytes, size, ret_history);
    return r < 0 ? r : 1;
}

/* A client that left while nobody looked takes its VM along. */
static int watch_client(Vm *vm, const VmRecord *record, Error *error)
{
    BusService *bus = vm->daemon->bus;

    if (!vm->client)
        return 0;
    if (strcmp(record->bus, bus_service_get_guid(bus)) == 0)
        return bus_service_watch_peer(bus, vm->client, error);
    log_info("VM %s: its client was on a bus that is gone", vm->id);
    return vm_kill(vm, INITIATOR_CLIENT, error);
}

static void find_supervisor(Vm *vm, int directory)
{
    _cleanup_close_ int connection = -EBADF;

    kill_point(KILL_ADOPTING);
    int r = vm_directory_connect(directory, VM_DIRECTORY_SUPERVISOR, SOCK_SEQPACKET, &connection);
    if (r >= 0)
        r = vm_follow(vm, connection);
    if (r < 0) {
        log_warning("VM %s: its supervisor cannot be reached: %s", vm->id, strerror(-r));
        vm_lose_supervisor(vm, "its supervisor was gone when the daemon came back");
        return;
    }
    (void)take_fd(&connection);
    vm->adoption = ADOPTION_GREETING;
    vm->daemon->n_adopting++;
}

static int adopt(Daemon *daemon, int directory, const VmRecord *record, Error *error)
{
    EventHistory history = { 0 };
    bool told;
    Vm *vm;

    int dead = read_death(directory, &history, &told);
    if (dead < 0)
        return error_set_errno(error, ERROR_FAILED, dead, "its death record is damaged");
    int r = vm_new_from_record(daemon, record, &vm, error);
    if (r < 0) {
        event_history_deinit(&history);
        return r;
    }
    if (dead) {
        vm->history = history;
        vm_conclude_from_history(vm, told);
        return 0;
    }
    find_supervisor(vm, directory);
    return vm->state == VM_DEAD ? 0 : watch_client(vm, record, error);
}

static int read_record(int directory, const char *id, VmRecord *ret_record, Error *error)
{
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    int r = state_file_read(directory, VM_DIRECTORY_RECORD, VM_RECORD_SIZE_MAX, &bytes, &size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "it has no record");
    r = vm_record_decode(bytes, size, ret_record, error);
    if (r >= 0 && strcmp(ret_record->id, id) != 0) {
        vm_record_deinit(ret_record);
        r = error_set(error, ERROR_FAILED, "its record is another VM's");
    }
    return r;
}

static void adopt_directory(Daemon *daemon, const char *id)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(vm_record_deinit) VmRecord record = { 0 };
    _cleanup_close_ int directory = -EBADF;

    int r = vm_directory_open(daemon->vms_fd, id, &directory);
    if (r < 0) {
        log_warning("%s/%s is no directory of a VM: %s", daemon->vms_dir, id, strerror(-r));
        return;
    }
    r = read_record(directory, id, &record, &error);
    if (r >= 0)
        r = adopt(daemon, directory, &record, &error);
    if (r >= 0)
        return;
    /* A daemon that is short of something has seen nothing that is wrong with the VM. */
    bool is_short = r == -EMFILE || r == -ENFILE || r == -ENOMEM;
    if (error.kind == ERROR_NOT_SUPPORTED || is_short) {
        log_error("VM %s is left alone: %s", id, error_get_message(&error));
        return;
    }
    const JournalField field = { FIELD_VM_ID, id };
    journal_event(LOG_NOTICE, MESSAGE_VM_LOST, &field, 1,
                  "VM %s is not to be saved, and its directory goes: %s", id,
                  error_get_message(&error));
    vm_directory_end(daemon->vms_fd, id);
    vm_directory_remove(daemon->vms_fd, id);
}

static int on_answers_due(sd_event_source *source, uint64_t usec, void *userdata)
{
    bool *due = userdata;

    (void)source;
    (void)usec;
    *due = true;
    return 0;
}

static bool is_ending(const Daemon *daemon)
{
    int code;

    return sd_event_get_exit_code(daemon->event, &code) >= 0;
}

/* Those that were to end as soon as their supervisors answer wait no longer. */
static void end_unanswered(Daemon *daemon)
{
    Vm *vm;

    daemon->answers_due = true;
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (vm->adoption != ADOPTION_NONE && vm->end_wanted != 0)
            (void)vm_kill(vm, vm->end_wanted, NULL); /* allowed: it is not dead */
    }
}

/* Runs the loop until all have answered, or the daemon is told to end. */
static int wait_for_answers(Daemon *daemon)
{
    sd_event_source *timer = NULL;
    bool due = false;

    int r = sd_event_add_time_relative(daemon->event, &timer, CLOCK_MONOTONIC, ANSWER_USEC, 0,
                                       on_answers_due, &due);
    while (r >= 0 && daemon->n_adopting > 0 && !due && !is_ending(daemon))
        r = sd_event_run(daemon->event, UINT64_MAX);
    sd_event_source_disable_unref(timer);
    if (r < 0)
        return r;
    if (is_ending(daemon))
        return 0;
    if (daemon->n_adopting > 0)
        log_warning("%u supervisors have not answered yet", daemon->n_adopting);
    end_unanswered(daemon);
    return 0;
}

int vm_adopt_all(Daemon *daemon, Error *error)
{
    const struct dirent *entry;
    int fd = fcntl(daemon->vms_fd, F_DUPFD_CLOEXEC, 0);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (!directory) {
        int r = error_set_errno(error, ERROR_FAILED, errno, "cannot read %s", daemon->vms_dir);
        (void)fd_close(fd);
        return r;
    }
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] != '.')
            adopt_directory(daemon, entry->d_name);
    }
    (void)closedir(directory); /* only read */

    int r = wait_for_answers(daemon);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot wait for the supervisors");
    kill_point(KILL_ADOPTED);
    return 0;
}
