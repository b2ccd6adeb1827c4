/* SPDX-License-Identifier: Apache-2.0 */
/* Before Start and after the end the state is the daemon's; in between the supervisor tells it, and
 * vm_apply() follows if the transition table agrees. What happened goes into the VM's history, from
 * there to the bus, and when the bus has it, the supervisor is told: so whatever moment a daemon
 * dies at, its successor tells clients what they may not have heard, under the same number. */
#include "virtualizationd/vm-follow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/clock.h"
#include "common/fd-message.h"
#include "common/fd.h"
#include "common/log-fields.h"
#include "common/log.h"
#include "common/text.h"
#include "virtualizationd/kill-point.h"
#include "virtualizationd/state-file.h"
#include "virtualizationd/vm-directory.h"
#include "virtualizationd/vm-journal.h"

#define EVENT_JUMP_MAX 1000 /* more would be made up: a supervisor counts each event */
#define MESSAGES_BURST 200  /* of a supervisor, a second */

/* There is always a number for the death that comes after it. */
#define EVENT_NUMBER_MAX (UINT64_MAX / 2)

void vm_answer_waiting(Vm *vm, ErrorKind kind, const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)error_set(&error, kind, "%s", sentence);
    vm_channel_refuse_all(vm, &error);
    if (vm->start_call) {
        BusCall *call = TAKE_PTR(vm->start_call);

        bus_call_reply_error(call, &error);
        bus_call_unref(call);
        quota_charge_release(&vm->start_charge);
    }
}

/* --- telling the bus --- */

static const char *const state_properties[] = { "State", "LastEvent", NULL };
static const char *const running_properties[] = { "StartedAt", "Pid", "LastEvent", NULL };
static const char *const stop_properties[] = { "StopStep", "LastEvent", NULL };
static const char *const death_properties[] = { "State", "DeathReason", "LastEvent",
                                                "Pid",   "StopStep",    NULL };

static void announce_event(Vm *vm, const SupervisorMessage *message)
{
    const char *code = guest_error_code_to_string(message->error_code);
    const uint64_t *number = &message->event_number;

    bus_object_emit_changed(vm->object, state_properties);
    switch ((int)message->event) {
    case VM_EVENT_PAYLOAD_STARTED:
        bus_object_emit_signal(vm->object, "PayloadStarted", DBUS_TYPE_UINT64, number,
                               DBUS_TYPE_INVALID);
        break;
    case VM_EVENT_PAYLOAD_READY:
        bus_object_emit_signal(vm->object, "PayloadReady", DBUS_TYPE_UINT64, number,
                               DBUS_TYPE_INVALID);
        break;
    case VM_EVENT_PAYLOAD_FINISHED:
        bus_object_emit_signal(vm->object, "PayloadFinished", DBUS_TYPE_UINT64, number,
                               DBUS_TYPE_INT32, &message->exit_code, DBUS_TYPE_INVALID);
        break;
    case VM_EVENT_GUEST_ERROR:
        bus_object_emit_signal(vm->object, "Error", DBUS_TYPE_UINT64, number, DBUS_TYPE_STRING,
                               &code, DBUS_TYPE_INVALID);
        break;
    default:
        break;
    }
}

static void announce_death(Vm *vm, const SupervisorMessage *message)
{
    const char *reason = death_reason_to_string(message->record.reason);

    bus_object_emit_changed(vm->object, death_properties);
    bus_object_emit_signal(vm->object, "Died", DBUS_TYPE_UINT64, &message->event_number,
                           DBUS_TYPE_STRING, &reason, DBUS_TYPE_INVALID);
}

void vm_announce(Vm *vm)
{
    const EventHistoryEntry *entry;
    SupervisorMessage message;

    if (!vm->daemon->is_on_bus || vm->adoption != ADOPTION_NONE)
        return;
    while ((entry = event_history_find_after(&vm->history, vm->announced))) {
        int r = supervisor_message_decode(entry->bytes, entry->size, &message);
        assert(r >= 0); /* we have encoded it */
        if (message.type == SUPERVISOR_DIED)
            announce_death(vm, &message);
        else if (message.type == SUPERVISOR_RUNNING)
            bus_object_emit_changed(vm->object, running_properties);
        else if (message.type == SUPERVISOR_STOP_STEP)
            bus_object_emit_changed(vm->object, stop_properties);
        else
            announce_event(vm, &message);
        vm->announced = entry->number;
        kill_point(KILL_ANNOUNCED);
    }
    vm->daemon->has_unacknowledged = true;
}

/* Keeps what has happened, and tells it. */
static void note(Vm *vm, const SupervisorMessage *message)
{
    vm->last_event = message->event_number;
    if (event_history_add(&vm->history, message) < 0)
        log_warning("VM %s: no memory to keep event %ju", vm->id, (uintmax_t)vm->last_event);
    kill_point(KILL_EVENT_NOTED);
    vm_announce(vm);
}

static void close_connection(Vm *vm)
{
    vm->connection_io = sd_event_source_disable_unref(vm->connection_io);
    vm->connection = fd_close(vm->connection);
}

/* Whether the supervisor knows now. */
static bool send_acknowledgement(Vm *vm)
{
    const SupervisorMessage message = { .type = SUPERVISOR_ACKNOWLEDGE,
                                        .event_number = vm->announced };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size = supervisor_message_encode(&message, bytes);

    /* It may be busy, or going: the next event says the same, or nobody needs it. */
    return fd_message_send(vm->connection, bytes, size, NULL, 0) >= 0;
}

/* That of a dead VM is in its directory, for the next daemon. */
static void acknowledge_death(Vm *vm)
{
    if (!vm->is_recorded)
        return; /* its supervisor keeps what we could not write down */
    int r = vm_directory_rename(vm->daemon->vms_fd, vm->id, VM_DIRECTORY_DEATH,
                                VM_DIRECTORY_DEATH_TOLD);
    if (r < 0)
        log_debug("VM %s: its death will be told again: %s", vm->id, strerror(-r));
    if (vm->connection >= 0)
        (void)send_acknowledgement(vm); /* else it waits for as long as such records are kept */
    close_connection(vm);
    vm->acknowledged = vm->announced;
}

static void acknowledge(Vm *vm)
{
    if (vm->acknowledged == vm->announced)
        return;
    kill_point(KILL_ACKNOWLEDGING);
    if (vm->state == VM_DEAD)
        acknowledge_death(vm);
    else if (vm->connection >= 0 && vm->accepted && send_acknowledgement(vm))
        vm->acknowledged = vm->announced;
    kill_point(KILL_ACKNOWLEDGED);
}

void vm_acknowledge_all(Daemon *daemon)
{
    Vm *vm;

    if (!daemon->has_unacknowledged || bus_service_has_unsent(daemon->bus))
        return;
    daemon->has_unacknowledged = false;
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        acknowledge(vm);
    }
}

/* --- following the supervisor --- */

/* Whether @message tells of something new. */
static bool is_next(const Vm *vm, const SupervisorMessage *message)
{
    if (message->event_number > vm->last_event &&
        message->event_number <= vm->last_event + EVENT_JUMP_MAX)
        return true;
    log_warning("VM %s: its supervisor tells of event %ju after %ju: not followed", vm->id,
                (uintmax_t)message->event_number, (uintmax_t)vm->last_event);
    return false;
}

static void vm_apply(Vm *vm, const SupervisorMessage *message)
{
    VmState next;

    if (vm_state_next(vm->state, message->event, vm->resume_to, &next) < 0) {
        log_warning("VM %s: its supervisor tells of '%s' in the state '%s': not followed", vm->id,
                    vm_event_to_string(message->event), vm_state_to_string(vm->state));
        return;
    }
    if (!is_next(vm, message))
        return;
    if (next == VM_SUSPENDED)
        vm->resume_to = vm->state;
    vm->state = next;
    if (message->event == VM_EVENT_PAYLOAD_READY)
        vm_journal(vm, LOG_INFO, MESSAGE_VM_READY, "its payload is ready");
    else
        log_info("VM %s: %s", vm->id, vm_event_to_string(message->event));
    note(vm, message);
}

static void on_running(Vm *vm, const SupervisorMessage *message)
{
    if (vm->started_usec != 0 || !is_next(vm, message))
        return; /* it happens once */
    vm->started_usec = message->time_usec;
    vm->pid = message->value;
    vm_journal(vm, LOG_INFO, MESSAGE_VM_STARTED, "started");
    note(vm, message);
}

static void on_accepted(Vm *vm)
{
    BusCall *call = TAKE_PTR(vm->start_call);

    vm->accepted = true;
    vm_files_close(&vm->files);      /* the VM has them */
    (void)vm_charge_files(vm, NULL); /* less of them, which works always */
    quota_charge_release(&vm->start_charge);
    kill_point(KILL_ACCEPTED);
    if (!call)
        return;
    if (vm->is_new)
        vm_reply_created(vm, call);
    else
        bus_call_reply(call, DBUS_TYPE_INVALID);
    vm->is_new = false; /* from here on the VM has a life of its own */
    bus_call_unref(call);
}

void vm_refuse_start(Vm *vm, ErrorKind kind, const char *sentence)
{
    DeathRecord record = { .reason = DEATH_START_FAILED,
                           .initiator = INITIATOR_HOST,
                           .vmm_exit_code = -1,
                           .payload_exit_code = -1,
                           .died_usec = realtime_usec() };

    close_connection(vm);
    vm_answer_waiting(vm, kind, sentence);
    if (vm->is_new) {
        vm_free(vm); /* a CreateVm that fails leaves nothing */
        return;
    }
    text_escape(sentence, strlen(sentence), record.message, sizeof(record.message));
    vm_conclude(vm, &record, vm->last_event + 1);
}

static void on_stop_step(Vm *vm, const SupervisorMessage *message)
{
    if (!is_next(vm, message))
        return;
    vm->stop_step = (StopStep)message->value;
    note(vm, message);
}

/* --- a supervisor that an earlier daemon has left --- */

/* However it ended: nobody waits for this one any more. */
static void end_adoption(Vm *vm, VmAdoption adoption)
{
    bool was_waited_for = vm->adoption != ADOPTION_NONE && vm->adoption != ADOPTION_REFUSED;

    vm->adoption = adoption;
    if (was_waited_for)
        vm->daemon->n_adopting--;
}

/* The VM may be dead then. */
static void on_adopted(Vm *vm)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    end_adoption(vm, ADOPTION_NONE);
    vm->accepted = true;
    vm_journal(vm, LOG_INFO, MESSAGE_VM_FOUND, "found again");
    vm_announce(vm);
    if (vm->end_wanted != 0 && vm_kill(vm, vm->end_wanted, &error) < 0)
        log_warning("%s", error_get_message(&error));
}

static void on_hello(Vm *vm, uint32_t version)
{
    const SupervisorMessage adopt = { .type = SUPERVISOR_ADOPT };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (version != SUPERVISOR_PROTOCOL_VERSION) {
        log_error(
            "VM %s: its supervisor speaks version %u of the protocol, and this daemon version "
            "%d: it runs on, but can only be killed",
            vm->id, version, SUPERVISOR_PROTOCOL_VERSION);
        end_adoption(vm, ADOPTION_REFUSED);
        vm->foreign_version = version;
        return;
    }
    vm->adoption = ADOPTION_STATE;
    if (vm_send(vm, &adopt, -EBADF, &error) < 0)
        vm_lose_supervisor(vm, error_get_message(&error));
}

/* The VM may be dead then. */
static void on_state(Vm *vm, const SupervisorMessage *message)
{
    if (message->event_number > EVENT_NUMBER_MAX) {
        vm_lose_supervisor(vm, "its supervisor counts events that nobody can have seen");
        return;
    }
    vm->adoption = ADOPTION_EVENTS;
    vm->adopted_at = message->event_number;
    vm->announced = message->acknowledged > 1 ? message->acknowledged : 1;
    vm->acknowledged = message->acknowledged;
    vm->started_usec = message->time_usec;
    vm->pid = message->value;
    if (message->state == VM_DEAD)
        return; /* its death is the last of the events */
    vm->state = message->state;
    vm->resume_to = message->resume_to;
}

/* What happened before is history; its death is not, for us. */
static void on_history(Vm *vm, const SupervisorMessage *message)
{
    if (message->type == SUPERVISOR_DIED) {
        end_adoption(vm, ADOPTION_NONE);
        vm->accepted = true;
        vm_conclude(vm, &message->record, message->event_number);
        return;
    }
    if ((message->type != SUPERVISOR_EVENT && message->type != SUPERVISOR_RUNNING &&
         message->type != SUPERVISOR_STOP_STEP) ||
        message->event_number > vm->adopted_at || event_history_add(&vm->history, message) < 0) {
        log_warning("VM %s: its supervisor tells its history wrongly", vm->id);
        return;
    }
    if (message->type == SUPERVISOR_STOP_STEP)
        vm->stop_step = (StopStep)message->value;
    vm->last_event = message->event_number;
    if (vm->last_event == vm->adopted_at)
        on_adopted(vm);
}

static void on_adoption(Vm *vm, const SupervisorMessage *message)
{
    if (vm->adoption == ADOPTION_GREETING && message->type == SUPERVISOR_HELLO)
        on_hello(vm, message->version);
    else if (vm->adoption == ADOPTION_STATE && message->type == SUPERVISOR_STATE)
        on_state(vm, message);
    else if (vm->adoption == ADOPTION_EVENTS)
        on_history(vm, message);
    else if (vm->adoption != ADOPTION_REFUSED)
        vm_lose_supervisor(vm, "its supervisor does not keep to the protocol");
}

/* --- messages --- */

/* Nothing but an answer before the answer. */
static void on_answer(Vm *vm, const SupervisorMessage *message)
{
    if (message->type == SUPERVISOR_ACCEPTED)
        on_accepted(vm);
    else if (message->type == SUPERVISOR_REFUSED)
        vm_refuse_start(vm, message->error_kind, message->text);
    else
        vm_refuse_start(vm, ERROR_FAILED, "the launcher does not keep to the protocol");
}

static void on_news(Vm *vm, const SupervisorMessage *message)
{
    switch ((int)message->type) {
    case SUPERVISOR_RUNNING:
        on_running(vm, message);
        break;
    case SUPERVISOR_EVENT:
        vm_apply(vm, message);
        break;
    case SUPERVISOR_STOP_STEP:
        on_stop_step(vm, message);
        break;
    case SUPERVISOR_CONNECTED:
        vm_channel_answer(vm, message->id, message->value);
        break;
    case SUPERVISOR_DIED:
        vm_conclude(vm, &message->record, message->event_number);
        break;
    default:
        log_warning("VM %s: its supervisor sends what it must not: %u", vm->id, message->type);
    }
}

void vm_lose_supervisor(Vm *vm, const char *sentence)
{
    DeathRecord record = { .reason = DEATH_INFRASTRUCTURE_ERROR,
                           .initiator = INITIATOR_HOST,
                           .vmm_exit_code = -1,
                           .payload_exit_code = -1,
                           .died_usec = realtime_usec() };

    end_adoption(vm, ADOPTION_NONE);
    close_connection(vm);
    vm_directory_end(vm->daemon->vms_fd, vm->id); /* the supervisor may not be what it was */
    text_escape(sentence, strlen(sentence), record.message, sizeof(record.message));
    vm_conclude(vm, &record, vm->last_event + 1);
}

static void on_end(Vm *vm)
{
    if (vm->state == VM_DEAD)
        close_connection(vm); /* it has said all */
    else if (!vm->accepted && vm->adoption == ADOPTION_NONE)
        vm_refuse_start(vm, ERROR_START_FAILED, "the launcher ended without an answer");
    else
        vm_lose_supervisor(vm, "its supervisor has ended");
}

void vm_end_unanswered(Vm *vm)
{
    if (vm->adoption == ADOPTION_REFUSED)
        close_connection(vm); /* what we would acknowledge may mean something else to it */
    end_adoption(vm, ADOPTION_NONE);
    vm_directory_end(vm->daemon->vms_fd, vm->id);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Vm *vm = userdata;
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    SupervisorMessage message;
    size_t size, n_fds;

    (void)source;
    (void)revents;
    int r = fd_message_receive(fd, bytes, sizeof(bytes), &size, NULL, 0, &n_fds);
    if (r == -EAGAIN)
        return 0;
    if (r >= 0 && size > 0)
        r = supervisor_message_decode(bytes, size, &message);
    if (r < 0 || size == 0)
        on_end(vm);
    else if (vm->state == VM_DEAD)
        return 0; /* whatever it was asked before: nobody waits for it any more */
    else if (vm->adoption != ADOPTION_NONE)
        on_adoption(vm, &message);
    else if (!vm->accepted)
        on_answer(vm, &message);
    else
        on_news(vm, &message);
    return 0;
}

int vm_follow(Vm *vm, int connection)
{
    int r = sd_event_add_io(vm->daemon->event, &vm->connection_io, connection, EPOLLIN,
                            on_connection, vm);

    if (r < 0)
        return r;
    (void)sd_event_source_set_description(vm->connection_io, "supervisor");
    (void)sd_event_source_set_ratelimit(vm->connection_io, USEC_PER_SEC, MESSAGES_BURST);
    vm->connection = connection;
    return 0;
}

static int refuse_to_send(const Vm *vm, Error *error)
{
    if (vm->adoption == ADOPTION_REFUSED)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "VM '%s' was started by an earlier version: its supervisor speaks version "
                         "%u of the protocol, and this daemon version %d; it can be killed",
                         vm->name, vm->foreign_version, SUPERVISOR_PROTOCOL_VERSION);
    return error_set(error, ERROR_UNAVAILABLE,
                     "the supervisor of VM '%s' has not answered this daemon yet", vm->name);
}

/* Its end may be known to the socket before the loop gets to it. */
static int refuse_unsent(const Vm *vm, int r, Error *error)
{
    if (r == -EPIPE || r == -ECONNRESET)
        return error_set(error, ERROR_INVALID_STATE, "VM '%s' is ending: its supervisor has gone",
                         vm->name);
    if (r == -EAGAIN)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the supervisor of VM '%s' is behind with what it was told: try again",
                         vm->name);
    return error_set_errno(error, ERROR_FAILED, r, "the supervisor of VM '%s' cannot be told",
                           vm->name);
}

int vm_send(Vm *vm, const SupervisorMessage *message, int fd, Error *error)
{
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size = supervisor_message_encode(message, bytes);

    if (vm->adoption != ADOPTION_NONE && message->type != SUPERVISOR_ADOPT)
        return refuse_to_send(vm, error);
    int r = fd_message_send(vm->connection, bytes, size, &fd, fd >= 0 ? 1 : 0);
    return r < 0 ? refuse_unsent(vm, r, error) : 0;
}

/* --- the end --- */

static int on_forget(sd_event_source *source, uint64_t usec, void *userdata)
{
    Vm *vm = userdata;

    (void)source;
    (void)usec;
    kill_point(KILL_FORGETTING);
    bus_object_announce_removal(vm->object);
    vm_free(vm);
    return 0;
}

/* The oldest death record of this uid that is charged; NULL if there is none. */
static Vm *find_oldest_record(Daemon *daemon, uid_t owner)
{
    Vm *vm, *oldest = NULL;

    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (vm->owner == owner && vm->charge.amounts[QUOTA_RECORDS] > 0 &&
            (!oldest || vm->record_usec < oldest->record_usec))
            oldest = vm;
    }
    return oldest;
}

/* Makes room for one more death record of @owner, and more of it where a limit has become less. */
static void forget_oldest(Daemon *daemon, uid_t owner)
{
    Vm *oldest;
    uid_t whose;

    while (quota_is_record_too_much(daemon->quota, owner, &whose)) {
        oldest = find_oldest_record(daemon, whose);
        if (!oldest)
            return;
        quota_charge_release(&oldest->charge); /* it is on its way out */
        /* From the loop: the caller may be walking over the table. */
        (void)sd_event_source_set_time_relative(oldest->forget_timer, 0);
    }
}

/* Forgets it when it has been dead for long enough. */
static void plan_to_forget(Vm *vm)
{
    uint64_t keep_usec = vm->daemon->settings.death_record_sec * USEC_PER_SEC;
    uint64_t now = realtime_usec();
    uint64_t past = now > vm->record_usec ? now - vm->record_usec : 0;

    forget_oldest(vm->daemon, vm->owner);
    if (quota_charge_open(vm->daemon->quota, vm->owner, &vm->charge, NULL) >= 0)
        quota_charge_force(&vm->charge, QUOTA_RECORDS, 1);
    if (sd_event_add_time_relative(vm->daemon->event, &vm->forget_timer, CLOCK_BOOTTIME,
                                   past < keep_usec ? keep_usec - past : 0, 0, on_forget, vm) >= 0)
        (void)sd_event_source_set_description(vm->forget_timer, "forget-vm");
}

int vm_forget(Vm *vm, Error *error)
{
    if (vm->state != VM_DEAD)
        return vm_refuse_state(vm, "forgotten", error);
    int r = sd_event_source_set_time_relative(vm->forget_timer, 0);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "VM '%s' cannot be forgotten", vm->name)
                 : 0;
}

/* For the next daemon. A VM that was never started has no directory, and ends with this one. */
static void write_death(Vm *vm)
{
    _cleanup_close_ int directory = -EBADF;
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    if (!vm->is_recorded)
        return;
    int r = vm_record_encode_events(&vm->history, &bytes, &size);
    if (r >= 0)
        r = vm_directory_open(vm->daemon->vms_fd, vm->id, &directory);
    if (r >= 0)
        r = state_file_write(directory, VM_DIRECTORY_DEATH, bytes, size, false);
    if (r < 0)
        log_error("VM %s: its death record cannot be kept: %s", vm->id, strerror(-r));
    vm->is_recorded = r >= 0;
    if (r >= 0)
        vm_directory_remove_sockets(vm->daemon->vms_fd, vm->id);
}

/* Without memory the reason is told, and nothing more. */
static void keep_record(Vm *vm, const DeathRecord *record)
{
    vm->record = malloc(sizeof(*vm->record));
    if (!vm->record)
        return;
    *vm->record = *record;
    if (record->crash_report_size > 0)
        vm->crash_report = strndup(record->crash_report, record->crash_report_size);
    vm->record->crash_report = vm->crash_report;
    if (!vm->crash_report)
        vm->record->crash_report_size = 0;
}

/* Becomes dead, with what is to be told of it last in the history. */
static void become_dead(Vm *vm, const DeathRecord *record)
{
    keep_record(vm, record);
    vm_release_life(vm);
    vm->state = VM_DEAD;
    vm->stop_step = STOP_STEP_NONE;
    vm->pid = 0;
    vm->record_usec = record->died_usec < realtime_usec() ? record->died_usec : realtime_usec();
}

void vm_conclude(Vm *vm, const DeathRecord *record, uint64_t event_number)
{
    SupervisorMessage message = { .type = SUPERVISOR_DIED, .record = *record };

    assert(vm->state != VM_DEAD);
    become_dead(vm, record);
    bool plausible =
        event_number > vm->last_event && event_number <= vm->last_event + EVENT_JUMP_MAX;
    message.event_number = plausible ? event_number : vm->last_event + 1;
    vm->last_event = message.event_number;
    if (event_history_add(&vm->history, &message) < 0)
        log_warning("VM %s: no memory to keep its death", vm->id);
    vm_journal(vm, LOG_INFO, MESSAGE_VM_DIED, "died");
    kill_point(KILL_DEATH_UNWRITTEN);
    write_death(vm);
    kill_point(KILL_DEATH_WRITTEN);
    vm_announce(vm);
    vm_answer_waiting(vm, ERROR_INVALID_STATE, "the VM has died");
    plan_to_forget(vm);
}

void vm_conclude_from_history(Vm *vm, bool told)
{
    const EventHistoryEntry *entry;
    SupervisorMessage message = { 0 };

    for (uint64_t n = 0; (entry = event_history_find_after(&vm->history, n)); n = entry->number) {
        if (supervisor_message_decode(entry->bytes, entry->size, &message) < 0)
            return;
        if (message.type == SUPERVISOR_RUNNING)
            vm->started_usec = message.time_usec;
    }
    vm->last_event = message.event_number;
    vm->acknowledged = vm->announced = told ? message.event_number : message.event_number - 1;
    become_dead(vm, &message.record);
    plan_to_forget(vm);
}
