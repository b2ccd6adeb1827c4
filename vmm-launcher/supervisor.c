/* SPDX-License-Identifier: Apache-2.0 */
/* One VM, one loop. What happens comes in from five sides: the daemon's commands, the stub's
 * reports, the VMM's control connection, the guest link, and deadlines. supervisor_dispatch() is
 * the only place that moves the state and tells the daemon.
 *
 * A daemon that goes is no end: the VM goes on, and its death waits for the next daemon.
 *
 * The end has two halves. begin_end() notes why the VM has to end and has the VMM killed; whatever
 * ended it, the stub's report that the VMM is dead, or the death of the stub and with it of
 * everything in its pid namespace, leads to conclude(), and death_judge() weighs what was
 * noted against what the VMM said and how it exited. After that what was under way to the client is
 * passed on, and the rest of the namespace is waited for, which takes the kernel longer than the
 * VMM. */
#include "vmm-launcher/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/byte-ring.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/text.h"
#include "protocol/supervisor-message.h"
#include "vmm-launcher/broker.h"
#include "vmm-launcher/crash-report.h"
#include "vmm-launcher/daemon-link.h"
#include "vmm-launcher/death.h"
#include "vmm-launcher/event-source.h"
#include "vmm-launcher/guest-link.h"
#include "vmm-launcher/output.h"
#include "vmm-launcher/payload-deadline.h"
#include "vmm-launcher/stop-sequence.h"
#include "vmm-launcher/stream-readers.h"
#include "vmm-launcher/stub.h"
#include "vmm-launcher/syscall-name.h"
#include "vmm-launcher/vm-cgroup.h"
#include "vmm-launcher/vm-console.h"
#include "vmm-launcher/vmm-log.h"
#include "vmm-launcher/vsock-listeners.h"

#define LOG_RING_SIZE   65536 /* of what guest-manager logs: what a new reader sees of the past */
#define TRANSFER_SIZE   4096
#define DRAIN_READS_MAX 64
/* The VMM fell silent: until it counts as broken. */
#define UNEXPLAINED_END_USEC (1 * USEC_PER_SEC)
/* For the VMM to answer its control connection. */
#define START_USEC (60 * USEC_PER_SEC)
/* For the stub to kill the VMM. */
#define KILL_USEC (2 * USEC_PER_SEC)
/* For clients to take the last output, and for a daemon the record of who had to end. */
#define LINGER_USEC         (5 * USEC_PER_SEC)
#define HEARTBEAT_USEC      (30 * USEC_PER_SEC)
#define HEARTBEAT_LIMIT_SEC 90 /* a supervisor that hangs longer is killed by SIGALRM */

/* Lower numbers run first, strictly: so what anybody can make ready without end comes last, after
 * the stub's word that the VM has died, and what the guest reports about its payload comes before.
 */
enum {
    PRIORITY_GUEST = -10,
    PRIORITY_NORMAL = 0,
    PRIORITY_STUB = 10,
    PRIORITY_BULK = 20,
};

typedef struct Supervisor {
    SupervisorSetup *setup;
    sd_event *event;
    VmState state;
    VmState resume_to;     /* while suspended */
    uint64_t running_usec; /* when the vCPUs were released; 0: not yet */

    DaemonLink *daemon;
    VmmControl *control;
    Guard *guard;
    Broker *broker;
    GuestLink *guest_link;
    VmConsole *console;
    Output *log, *payload_out, *crash_out; /* where the guest's streams go */
    CrashReport crash_report;
    ByteRing log_ring;
    StreamReaders log_readers, vmm_readers;
    VsockListeners vsock_listeners;

    sd_event_source *stub_io, *stub_end, *stderr_io;
    sd_event_source *start_timer, *silence_timer, *kill_timer, *orphan_timer, *record_timer,
        *heartbeat, *sigterm;

    StopSequence stop;
    PayloadDeadline payload_deadline;
    VmmLog vmm_log;

    const char *silence_sentence; /* why silence_timer runs */
    DeathFacts facts;
    bool concluded;
    bool stub_gone;
    bool terminated; /* by SIGTERM: the host shuts down, or the administrator is done with it */
    bool record_given_up; /* nobody waits for a daemon to take it */
} Supervisor;

/* --- state --- */

/* Moves the state by @event, with what belongs to it, and tells the daemon. -EALREADY when the
 * table does not allow it now. */
static int supervisor_dispatch(Supervisor *supervisor, SupervisorMessage *message, VmEvent event)
{
    VmState next;

    int r = vm_state_next(supervisor->state, event, supervisor->resume_to, &next);
    if (r < 0)
        return r;

    log_debug("%s: %s -> %s", vm_event_to_string(event), vm_state_to_string(supervisor->state),
              vm_state_to_string(next));
    if (next == VM_SUSPENDED)
        supervisor->resume_to = supervisor->state;
    supervisor->state = next;

    message->type = event == VM_EVENT_DIED ? SUPERVISOR_DIED : SUPERVISOR_EVENT;
    message->event = event;
    message->time_usec = realtime_usec();
    daemon_link_tell(supervisor->daemon, message);
    return 0;
}

static int dispatch_plain(Supervisor *supervisor, VmEvent event)
{
    SupervisorMessage message = { 0 };

    return supervisor_dispatch(supervisor, &message, event);
}

/* --- ending --- */

/* The end of pid 1 is the end of its namespace. */
static void kill_stub(Supervisor *supervisor)
{
    /* Together with whatever may have left it, should there be a way. */
    if (supervisor->setup->cgroup_kill >= 0)
        (void)!write(supervisor->setup->cgroup_kill, "1", 1);
    (void)syscall(SYS_pidfd_send_signal, supervisor->setup->processes.pidfd, SIGKILL, NULL, 0);
}

static int on_kill_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    kill_stub(userdata);
    return 0;
}

static void kill_vm(Supervisor *supervisor)
{
    if (supervisor->kill_timer || supervisor->concluded)
        return;
    if (send(supervisor->setup->stub_report, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1 ||
        sd_event_add_time_relative(supervisor->event, &supervisor->kill_timer, CLOCK_MONOTONIC,
                                   KILL_USEC, 0, on_kill_timeout, supervisor) < 0)
        kill_stub(supervisor);
}

static void begin_end(Supervisor *supervisor,
                      DeathReason reason,
                      DeathInitiator initiator,
                      const char *message)
{
    EndCause *cause = &supervisor->facts.cause;

    if (!cause->set) {
        cause->set = true;
        cause->reason = reason;
        cause->initiator = initiator;
        text_escape(message, strlen(message), cause->message, sizeof(cause->message));
    }
    kill_vm(supervisor);
}

static void fill_record(Supervisor *supervisor, DeathRecord *record)
{
    char tail[SUPERVISOR_TAIL_MAX];
    size_t size;

    record->died_usec = realtime_usec();
    record->stop_step = supervisor->stop.step;
    record->console_dropped = vm_console_get_dropped(supervisor->console);
    if (supervisor->payload_out)
        record->payload_out_dropped = output_get_dropped(supervisor->payload_out);

    size = vm_console_copy_tail(supervisor->console, tail, sizeof(tail));
    text_escape_tail(tail, size, record->console_tail, sizeof(record->console_tail));
    size = byte_ring_copy_tail(&supervisor->vmm_log.ring, tail, sizeof(tail));
    text_escape_tail(tail, size, record->vmm_tail, sizeof(record->vmm_tail));
    crash_report_fill(&supervisor->crash_report, record);
}

static void read_stderr(Supervisor *supervisor);
static void read_stub_reports(Supervisor *supervisor);

/* The VMM is dead: find out why, and tell. */
static void conclude(Supervisor *supervisor)
{
    SupervisorMessage message = { 0 };
    DeathRecord *record = &message.record;

    supervisor->concluded = true;
    VmmEnd end = supervisor->setup->backend->drain(supervisor->control);
    read_stderr(supervisor);
    vm_console_drain(supervisor->console);
    guest_link_drain(supervisor->guest_link, supervisor->crash_out);
    fill_record(supervisor, record);
    supervisor->facts.oom = vm_cgroup_had_oom(supervisor->setup->memory_events);

    death_judge(&supervisor->facts, end, supervisor->setup->backend, record);

    /* Who hears of the death may start another VM with the same images. */
    fd_close_many(supervisor->setup->disk_locks, supervisor->setup->n_disk_locks);
    log_info("died: %s", death_reason_to_string(record->reason));
    (void)supervisor_dispatch(supervisor, &message, VM_EVENT_DIED); /* allowed in every state */
}

static int on_stub_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Supervisor *supervisor = userdata;
    siginfo_t info;

    (void)source;
    (void)revents;
    (void)waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
    supervisor->stub_gone = true;
    supervisor->stub_end = sd_event_source_disable_unref(supervisor->stub_end);
    read_stub_reports(supervisor);
    if (!supervisor->concluded)
        conclude(supervisor);
    return 0;
}

static int on_silence(sd_event_source *source, uint64_t usec, void *userdata)
{
    Supervisor *supervisor = userdata;

    (void)source;
    (void)usec;
    begin_end(supervisor,
              supervisor->facts.running ? DEATH_INFRASTRUCTURE_ERROR : DEATH_START_FAILED,
              INITIATOR_HOST, supervisor->silence_sentence);
    return 0;
}

/* Something that belongs to the VM has gone: usually the first sign that all of it is ending, which
 * the stub will report in a moment. If it does not, that is the end, for the reason in @sentence, a
 * literal. */
static void expect_end(Supervisor *supervisor, const char *sentence)
{
    log_debug("%s", sentence);
    if (supervisor->silence_timer || supervisor->concluded)
        return;
    supervisor->silence_sentence = sentence;
    if (sd_event_add_time_relative(supervisor->event, &supervisor->silence_timer, CLOCK_MONOTONIC,
                                   UNEXPLAINED_END_USEC, 0, on_silence, supervisor) < 0)
        (void)on_silence(NULL, 0, supervisor);
}

static void note_denial(Supervisor *supervisor, StubProgram program, const char *call)
{
    EndCause *cause = &supervisor->facts.cause;

    log_error("sandbox violation: %s made the system call '%s', which its seccomp policy denies",
              stub_program_to_string(program), call);
    if (!cause->set) {
        cause->denial.process = stub_program_to_string(program);
        (void)snprintf(cause->denial.call, sizeof(cause->denial.call), "%s", call);
    }
    begin_end(supervisor, DEATH_SANDBOX_VIOLATION, INITIATOR_HOST, "");
}

static void on_denied(void *userdata, StubProgram program, int number)
{
    char unknown[SUPERVISOR_NAME_MAX + 1];
    const char *name = syscall_name(number);

    (void)snprintf(unknown, sizeof(unknown), "%d", number);
    note_denial(userdata, program, name ? name : unknown);
}

static const GuardHandlers guard_handlers = {
    .denied = on_denied,
};

static void on_report(Supervisor *supervisor, const StubReport *report)
{
    if (report->program == STUB_VMM) {
        supervisor->facts.vmm_reported = true;
        supervisor->facts.vmm_end = *report;
    } else if (report->code == CLD_EXITED && report->status == 0) {
        expect_end(supervisor, "vsock-device has ended"); /* its VMM has hung up */
    } else if (report->code != CLD_EXITED && report->status == SIGSYS) {
        note_denial(supervisor, report->program, "");
    } else {
        char sentence[64];

        (void)snprintf(sentence, sizeof(sentence), "vsock-device ended: %s %d",
                       report->code == CLD_EXITED ? "exit status" : "signal", report->status);
        begin_end(supervisor, DEATH_INFRASTRUCTURE_ERROR, INITIATOR_HOST, sentence);
    }
}

static void read_stub_reports(Supervisor *supervisor)
{
    StubReport report;

    while (recv(supervisor->setup->stub_report, &report, sizeof(report), MSG_DONTWAIT) ==
           sizeof(report)) {
        if (report.program < STUB_PROGRAM_MAX)
            on_report(supervisor, &report);
    }
}

static int on_stub_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Supervisor *supervisor = userdata;

    (void)fd;
    read_stub_reports(supervisor);
    if (supervisor->facts.vmm_reported && !supervisor->concluded)
        conclude(supervisor);
    if (revents & EPOLLHUP)
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* the pidfd tells the rest */
    return 0;
}

/* --- stopping --- */

static size_t on_stop_ask_guest(void *userdata)
{
    return guest_link_send_command(((Supervisor *)userdata)->guest_link, GUEST_COMMAND_STOP);
}

static void on_stop_power_button(void *userdata)
{
    const Supervisor *supervisor = userdata;

    supervisor->setup->backend->power_button(supervisor->control);
}

static void on_stop_kill(void *userdata)
{
    Supervisor *supervisor = userdata;

    begin_end(supervisor, DEATH_KILLED, supervisor->facts.stop_initiator,
              "the guest did not stop in time");
}

static void on_stop_stepped(void *userdata, StopStep step)
{
    SupervisorMessage message = { .type = SUPERVISOR_STOP_STEP,
                                  .value = step,
                                  .time_usec = realtime_usec() };

    daemon_link_tell(((Supervisor *)userdata)->daemon, &message);
}

static const StopSequenceHandlers stop_handlers = {
    .ask_guest = on_stop_ask_guest,
    .press_power_button = on_stop_power_button,
    .kill = on_stop_kill,
    .stepped = on_stop_stepped,
};

static void supervisor_stop(Supervisor *supervisor, DeathInitiator initiator, const StopPlan *plan)
{
    bool was_suspended = supervisor->state == VM_SUSPENDED;

    /* Once it is stopping, another request can only hasten it: the first one's initiator counts. */
    if (supervisor->state != VM_STOPPING) {
        if (dispatch_plain(supervisor, VM_EVENT_STOP) < 0)
            return; /* dead: what was asked for has happened */
        supervisor->facts.stop_initiator = initiator;
    }
    if (was_suspended)
        supervisor->setup->backend->resume(supervisor->control);
    stop_sequence_run(&supervisor->stop, plan);
}

static int on_sigterm(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Supervisor *supervisor = userdata;

    (void)source;
    (void)info;
    supervisor->terminated = true;
    supervisor->record_given_up = supervisor->concluded;
    supervisor_stop(supervisor, INITIATOR_HOST, &STOP_PLAN_DEFAULT);
    return 0;
}

/* --- the VMM's control connection --- */

static int on_start_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    begin_end(userdata, DEATH_START_FAILED, INITIATOR_LIMIT, "the VMM does not answer");
    return 0;
}

static void on_payload_late(void *userdata)
{
    begin_end(userdata, DEATH_HANGUP, INITIATOR_LIMIT, "the payload did not report in time");
}

/* The vCPUs stand still. A VM that has begun to stop meanwhile needs them. */
static void on_vmm_suspended(void *userdata)
{
    Supervisor *supervisor = userdata;

    if (dispatch_plain(supervisor, VM_EVENT_SUSPEND) >= 0)
        payload_deadline_pause(&supervisor->payload_deadline);
    else if (supervisor->state == VM_STOPPING)
        supervisor->setup->backend->resume(supervisor->control);
}

static void on_vmm_resumed(void *userdata)
{
    Supervisor *supervisor = userdata;

    (void)dispatch_plain(supervisor, VM_EVENT_RESUME); /* not allowed: it has begun to stop */
    if (payload_deadline_run(&supervisor->payload_deadline) < 0)
        begin_end(supervisor, DEATH_INFRASTRUCTURE_ERROR, INITIATOR_HOST, "no timer");
}

/* The VMM stands before the guest's first instruction. */
static int on_vmm_ready(void *userdata)
{
    Supervisor *supervisor = userdata;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = guard_seal(supervisor->guard, supervisor->setup->uid, supervisor->setup->own_uid,
                       supervisor->setup->sealed_policy, &error);
    if (r < 0)
        begin_end(supervisor, DEATH_START_FAILED, INITIATOR_HOST, error_get_message(&error));
    return r;
}

static void on_vmm_running(void *userdata)
{
    Supervisor *supervisor = userdata;
    SupervisorMessage message = { .type = SUPERVISOR_RUNNING,
                                  .value = (uint32_t)supervisor->setup->processes.pids[STUB_VMM],
                                  .time_usec = realtime_usec() };

    supervisor->facts.running = true;
    supervisor->running_usec = message.time_usec;
    supervisor->start_timer = sd_event_source_disable_unref(supervisor->start_timer);
    daemon_link_tell(supervisor->daemon, &message);
    if (supervisor->setup->spec->paused)
        on_vmm_suspended(supervisor);
}

static void on_vmm_control_failed(void *userdata, const char *sentence)
{
    expect_end(userdata, sentence);
}

static const VmmControlHandlers control_handlers = {
    .ready = on_vmm_ready,
    .running = on_vmm_running,
    .suspended = on_vmm_suspended,
    .resumed = on_vmm_resumed,
    .failed = on_vmm_control_failed,
};

/* --- the guest --- */

static int on_guest_report(void *userdata, const GuestCall *call, Error *error)
{
    static const VmEvent events[GUEST_CALL_TYPE_MAX] = {
        [GUEST_CALL_PAYLOAD_STARTED] = VM_EVENT_PAYLOAD_STARTED,
        [GUEST_CALL_PAYLOAD_READY] = VM_EVENT_PAYLOAD_READY,
        [GUEST_CALL_PAYLOAD_FINISHED] = VM_EVENT_PAYLOAD_FINISHED,
        [GUEST_CALL_ERROR] = VM_EVENT_GUEST_ERROR,
    };
    Supervisor *supervisor = userdata;
    GuestReport *guest = &supervisor->facts.guest;
    SupervisorMessage message = { 0 };
    VmEvent event = events[call->type];
    unsigned end_bits = 1U << VM_EVENT_PAYLOAD_FINISHED | 1U << VM_EVENT_GUEST_ERROR;
    unsigned bits = 1U << event & end_bits ? end_bits : 1U << event;
    bool stopping = supervisor->state == VM_STOPPING;

    /* A stopping VM keeps its state, so the table cannot tell a second report from the first. */
    if (guest->reported & bits)
        return error_set(error, ERROR_INVALID_STATE, "%s was reported before",
                         vm_event_to_string(event));

    message.exit_code = call->exit_code;
    message.error_code = call->error_code;
    text_escape(call->message, strlen(call->message), message.text, sizeof(message.text));
    if (supervisor_dispatch(supervisor, &message, event) < 0)
        return error_set(error, ERROR_INVALID_STATE, "%s is not possible in the state '%s'",
                         vm_event_to_string(event), vm_state_to_string(supervisor->state));

    guest->reported |= bits;
    payload_deadline_meet(&supervisor->payload_deadline);
    if (event == VM_EVENT_PAYLOAD_FINISHED) {
        guest->exit_code = call->exit_code;
    } else if (event == VM_EVENT_GUEST_ERROR) {
        guest->has_error = !stopping; /* else it is what we asked for */
        guest->error_code = call->error_code;
        guest->signal = call->signal;
        memcpy(guest->message, message.text, sizeof(guest->message));
    }
    return 0;
}

/* What guest-manager logs: kept, and sent to those who read it, whether there is a client's file
 * for it or not. */
static void on_guest_log(void *userdata, const char *bytes, size_t size)
{
    Supervisor *supervisor = userdata;

    (void)byte_ring_write(&supervisor->log_ring, bytes, size); /* no memory, no past */
    stream_readers_write(&supervisor->log_readers, bytes, size);
}

static void on_crash_report(void *userdata, const char *bytes, size_t size)
{
    crash_report_write(&((Supervisor *)userdata)->crash_report, bytes, size);
}

static int on_find_stream(void *userdata, const char *name, Output **ret_output)
{
    Supervisor *supervisor = userdata;

    if (strcmp(name, GUEST_STREAM_PAYLOAD_OUT) == 0)
        *ret_output = supervisor->payload_out;
    else if (strcmp(name, GUEST_STREAM_LOG) == 0)
        *ret_output = supervisor->log;
    else if (strcmp(name, GUEST_STREAM_CRASH_REPORT) == 0)
        *ret_output = supervisor->crash_out;
    else
        return -ENOENT;
    return 0;
}

/* systemd says no more when it is asked for twice, so what cannot be is passed over. */
static void report_notified(Supervisor *supervisor, const GuestCall *call)
{
    Error error = ERROR_INIT;

    if (on_guest_report(supervisor, call, &error) < 0)
        log_debug("systemd in the guest: %s", error_get_message(&error));
    error_clear(&error);
}

/* A guest that has systemd in guest-manager's place: its first message says that it runs. */
static void on_notify(void *userdata, const NotifyMessage *message)
{
    Supervisor *supervisor = userdata;

    if (!(supervisor->facts.guest.reported & 1U << VM_EVENT_PAYLOAD_STARTED))
        report_notified(supervisor, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_STARTED });
    if (message->status[0] != '\0') {
        char line[sizeof("systemd: \n") + NOTIFY_STATUS_MAX];
        int size = snprintf(line, sizeof(line), "systemd: %s\n", message->status);

        output_write(supervisor->log, line, (size_t)size);
    }
    if (message->is_ready)
        report_notified(supervisor, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY });
    if (message->has_exit_status)
        report_notified(supervisor, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_FINISHED,
                                                  .exit_code = message->exit_status });
}

static const GuestLinkHandlers guest_link_handlers = {
    .report = on_guest_report,
    .find_stream = on_find_stream,
    .notify = on_notify,
};

/* --- vsock --- */

static int on_guest_connect(void *userdata, uint32_t port, int *ret_fd)
{
    Supervisor *supervisor = userdata;
    int pair[2];

    bool is_notifier = port == NOTIFY_VSOCK_PORT;
    if (port != supervisor->setup->spec->cid && !is_notifier)
        return vsock_listeners_connect(&supervisor->vsock_listeners, port, ret_fd);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;

    if (is_notifier)
        guest_link_accept_notifier(supervisor->guest_link, pair[0]);
    else
        guest_link_accept(supervisor->guest_link, pair[0]);
    *ret_fd = pair[1];
    return 0;
}

static void on_dialed(void *userdata, uint32_t id, int error_number)
{
    const SupervisorMessage message = { .type = SUPERVISOR_CONNECTED,
                                        .id = id,
                                        .value = (uint32_t)error_number };

    daemon_link_answer(((Supervisor *)userdata)->daemon, &message);
}

static void on_broker_failed(void *userdata, const char *sentence)
{
    expect_end(userdata, sentence);
}

static const BrokerHandlers broker_handlers = {
    .connect = on_guest_connect,
    .dialed = on_dialed,
    .failed = on_broker_failed,
};

/* --- the VMM's stderr --- */

static void read_stderr(Supervisor *supervisor)
{
    char bytes[TRANSFER_SIZE];

    for (int i = 0; i < DRAIN_READS_MAX; i++) {
        ssize_t n = read(supervisor->setup->vmm_stderr, bytes, sizeof(bytes));
        if (n == 0) {
            vmm_log_flush(&supervisor->vmm_log, realtime_usec());
            stream_readers_end(&supervisor->vmm_readers);
            supervisor->stderr_io = sd_event_source_disable_unref(supervisor->stderr_io);
            return;
        }
        if (n < 0)
            return;
        vmm_log_write(&supervisor->vmm_log, bytes, (size_t)n, realtime_usec());
        stream_readers_write(&supervisor->vmm_readers, bytes, (size_t)n);
        if (!supervisor->concluded)
            return;
    }
}

static int on_stderr(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    (void)source;
    (void)fd;
    (void)revents;
    read_stderr(userdata);
    return 0;
}

/* --- the daemon --- */

static void on_connect_request(Supervisor *supervisor, const SupervisorMessage *message, int fd)
{
    /* vsock-device takes nothing else from its broker, and would end. */
    int r = fd >= 0 && fd_is_unix_stream(fd) ? 0 : -EINVAL;

    if (r >= 0)
        r = broker_dial(supervisor->broker, message->id, message->value, fd);
    if (r < 0)
        on_dialed(supervisor, message->id, -r);
}

static int open_log(Supervisor *supervisor, LogKind kind, int fd)
{
    switch (kind) {
    case LOG_KIND_CONSOLE:
        return vm_console_open(supervisor->console, CONSOLE_READ_ONLY, fd);
    case LOG_KIND_GUEST:
        return stream_readers_add(&supervisor->log_readers, &supervisor->log_ring, fd, false);
    case LOG_KIND_VMM:
        return stream_readers_add(&supervisor->vmm_readers, &supervisor->vmm_log.ring, fd, false);
    case LOG_KIND_MAX:
        break;
    }
    (void)fd_close(fd);
    return -EINVAL;
}

static void on_vsock_request(Supervisor *supervisor, const SupervisorMessage *message, int *fd)
{
    int r = *fd < 0 ? -EINVAL : 0;

    if (r >= 0 && message->type == SUPERVISOR_CAPTURE_VSOCK)
        r = broker_capture(supervisor->broker, *fd);
    else if (r >= 0 && (message->value == supervisor->setup->spec->cid ||
                        message->value == NOTIFY_VSOCK_PORT))
        r = -EADDRINUSE; /* the guest link, and systemd's */
    else if (r >= 0)
        r = vsock_listeners_add(&supervisor->vsock_listeners, message->value, take_fd(fd));
    on_dialed(supervisor, message->id, -r);
}

/* Takes @fd. */
static void on_open_request(Supervisor *supervisor, const SupervisorMessage *message, int fd)
{
    SupervisorMessage answer = { .type = SUPERVISOR_CONNECTED, .id = message->id };
    int r = -EINVAL;

    if (!fd_is_unix_stream(fd))
        (void)fd_close(fd);
    else if (message->type == SUPERVISOR_OPEN_CONSOLE)
        r = vm_console_open(supervisor->console, (ConsoleMode)message->value, fd);
    else
        r = open_log(supervisor, (LogKind)message->value, fd);
    answer.value = r < 0 ? (uint32_t)-r : 0;
    daemon_link_answer(supervisor->daemon, &answer);
}

static void on_daemon_request(void *userdata, const SupervisorMessage *message, int *fd)
{
    Supervisor *supervisor = userdata;
    const VmmBackend *backend = supervisor->setup->backend;

    switch ((int)message->type) {
    case SUPERVISOR_STOP:
        supervisor_stop(supervisor, INITIATOR_CLIENT, &message->stop);
        break;
    case SUPERVISOR_KILL:
        stop_sequence_cut(&supervisor->stop);
        begin_end(supervisor, DEATH_KILLED, (DeathInitiator)message->value, "");
        break;
    case SUPERVISOR_SUSPEND:
        if (supervisor->state != VM_SUSPENDED && supervisor->state != VM_STOPPING)
            backend->suspend(supervisor->control);
        break;
    case SUPERVISOR_RESUME:
        if (supervisor->state == VM_SUSPENDED)
            backend->resume(supervisor->control);
        break;
    case SUPERVISOR_CONNECT:
        on_connect_request(supervisor, message, *fd);
        break;
    case SUPERVISOR_LISTEN_VSOCK:
    case SUPERVISOR_CAPTURE_VSOCK:
        on_vsock_request(supervisor, message, fd);
        break;
    case SUPERVISOR_SET_BALLOON:
        if (supervisor->setup->spec->balloon &&
            message->size < supervisor->setup->spec->memory_bytes)
            backend->set_guest_memory(supervisor->control,
                                      supervisor->setup->spec->memory_bytes - message->size);
        break;
    case SUPERVISOR_OPEN_CONSOLE:
    case SUPERVISOR_OPEN_LOG:
        on_open_request(supervisor, message, take_fd(fd));
        break;
    default:
        log_warning("a message that a supervisor does not take: %u", message->type);
    }
}

static void on_daemon_back(void *userdata, SupervisorMessage *message)
{
    const Supervisor *supervisor = userdata;

    message->state = supervisor->state;
    message->resume_to = supervisor->state == VM_SUSPENDED ? supervisor->resume_to : 0;
    message->time_usec = supervisor->running_usec;
    if (supervisor->running_usec != 0 && !supervisor->concluded)
        message->value = (uint32_t)supervisor->setup->processes.pids[STUB_VMM];
}

static int on_orphan_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    begin_end(userdata, DEATH_KILLED, INITIATOR_DAEMON,
              "the daemon went and did not come back in time");
    return 0;
}

/* A VM that lives as long as its client does needs somebody who sees the client go. */
static void on_daemon_lost(void *userdata)
{
    Supervisor *supervisor = userdata;
    uint64_t timeout_usec = supervisor->setup->spec->orphan_timeout_ms * USEC_PER_MSEC;

    log_info("the daemon is gone");
    if (timeout_usec == 0 || supervisor->concluded || supervisor->orphan_timer)
        return;
    if (sd_event_add_time_relative(supervisor->event, &supervisor->orphan_timer, CLOCK_MONOTONIC,
                                   timeout_usec, 0, on_orphan_timeout, supervisor) < 0)
        (void)on_orphan_timeout(NULL, 0, supervisor);
}

static void on_daemon_found(void *userdata)
{
    Supervisor *supervisor = userdata;

    log_info("a daemon is there again");
    supervisor->orphan_timer = sd_event_source_disable_unref(supervisor->orphan_timer);
}

static const DaemonLinkHandlers daemon_handlers = {
    .request = on_daemon_request,
    .describe = on_daemon_back,
    .lost = on_daemon_lost,
    .found = on_daemon_found,
};

/* --- set-up and loop --- */

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata)
{
    const struct itimerval limit = { .it_value = { .tv_sec = HEARTBEAT_LIMIT_SEC } };

    (void)usec;
    (void)userdata;
    (void)setitimer(ITIMER_REAL, &limit, NULL); /* cannot fail with these arguments */
    (void)sd_event_source_set_time_relative(source, HEARTBEAT_USEC);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

static int add_output(Supervisor *supervisor, int *fd, Output **ret_output)
{
    return *fd < 0 ? 0 : output_new(supervisor->event, take_fd(fd), ret_output);
}

static int set_up_sources(Supervisor *supervisor)
{
    SupervisorSetup *setup = supervisor->setup;
    sd_event *event = supervisor->event;

    int r = event_source_add_input(event, &supervisor->stub_io, setup->stub_report, PRIORITY_STUB,
                                   "stub-report", on_stub_io, supervisor);
    if (r < 0)
        return r;
    r = event_source_add_input(event, &supervisor->stub_end, setup->processes.pidfd, PRIORITY_STUB,
                               "stub-end", on_stub_end, supervisor);
    if (r < 0)
        return r;
    r = fd_set_nonblocking(setup->vmm_stderr, true);
    if (r < 0)
        return r;
    r = event_source_add_input(event, &supervisor->stderr_io, setup->vmm_stderr, PRIORITY_BULK,
                               "vmm-stderr", on_stderr, supervisor);
    if (r < 0)
        return r;
    r = sd_event_add_signal(event, &supervisor->sigterm, SIGTERM, on_sigterm, supervisor);
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(event, &supervisor->heartbeat, CLOCK_MONOTONIC, 0, 0,
                                   on_heartbeat, supervisor);
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(event, &supervisor->start_timer, CLOCK_MONOTONIC, START_USEC, 0,
                                   on_start_timeout, supervisor);
    if (r < 0)
        return r;
    return setup->spec->paused ? 0 : payload_deadline_run(&supervisor->payload_deadline);
}

static int set_up(Supervisor *supervisor)
{
    SupervisorSetup *setup = supervisor->setup;
    sigset_t handled;

    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &handled, NULL) < 0)
        return -errno;

    int r = sd_event_new(&supervisor->event);
    if (r < 0)
        return r;
    vsock_listeners_init(&supervisor->vsock_listeners, supervisor->event, PRIORITY_NORMAL);
    stream_readers_init(&supervisor->log_readers, supervisor->event, PRIORITY_BULK, NULL, NULL);
    stream_readers_init(&supervisor->vmm_readers, supervisor->event, PRIORITY_BULK, NULL, NULL);
    stop_sequence_init(&supervisor->stop, supervisor->event, &stop_handlers, supervisor);
    payload_deadline_init(&supervisor->payload_deadline, supervisor->event,
                          setup->spec->payload_timeout_ms * USEC_PER_MSEC, on_payload_late,
                          supervisor);
    r = daemon_link_new(supervisor->event, PRIORITY_NORMAL, take_fd(&setup->connection),
                        take_fd(&setup->next_daemon), &daemon_handlers, supervisor,
                        &supervisor->daemon);
    if (r < 0)
        return r;
    r = setup->backend->control_new(supervisor->event, take_fd(&setup->control),
                                    setup->spec->paused, &control_handlers, supervisor,
                                    &supervisor->control);
    if (r < 0)
        return r;
    r = guard_new(supervisor->event, setup->programs, setup->spec->seccomp_action, &guard_handlers,
                  supervisor, &supervisor->guard);
    if (r < 0)
        return r;
    r = broker_new(supervisor->event, take_fd(&setup->broker), &broker_handlers, supervisor,
                   &supervisor->broker);
    if (r < 0)
        return r;
    r = guest_link_new(supervisor->event, &guest_link_handlers, supervisor,
                       &supervisor->guest_link);
    if (r < 0)
        return r;
    r = vm_console_new(supervisor->event, PRIORITY_BULK, take_fd(&setup->console),
                       take_fd(&setup->console_in), take_fd(&setup->console_out),
                       &supervisor->console);
    if (r < 0)
        return r;
    r = setup->log < 0 ? output_new_without_client(supervisor->event, &supervisor->log)
                       : add_output(supervisor, &setup->log, &supervisor->log);
    if (r < 0)
        return r;
    output_set_copy_handler(supervisor->log, on_guest_log, supervisor);
    r = output_new_without_client(supervisor->event, &supervisor->crash_out);
    if (r < 0)
        return r;
    output_set_copy_handler(supervisor->crash_out, on_crash_report, supervisor);
    r = add_output(supervisor, &setup->payload_out, &supervisor->payload_out);
    if (r < 0)
        return r;
    return set_up_sources(supervisor);
}

/* Lets go of everything that is the VM's and its client's. May be called twice. */
static void release_vm(Supervisor *supervisor)
{
    SupervisorSetup *setup = supervisor->setup;
    sd_event_source **const sources[] = {
        &supervisor->orphan_timer, &supervisor->stub_io,     &supervisor->stub_end,
        &supervisor->stderr_io,    &supervisor->start_timer, &supervisor->silence_timer,
        &supervisor->kill_timer,
    };
    int *const fds[] = {
        &setup->processes.pidfd, &setup->stub_report, &setup->control,
        &setup->console,         &setup->broker,      &setup->vmm_stderr,
        &setup->console_out,     &setup->console_in,  &setup->log,
        &setup->payload_out,
    };

    supervisor->guest_link = guest_link_free(supervisor->guest_link);
    supervisor->broker = broker_free(supervisor->broker);
    supervisor->control = setup->backend->control_free(supervisor->control);
    supervisor->guard = guard_free(supervisor->guard);
    supervisor->console = vm_console_free(supervisor->console);
    vsock_listeners_deinit(&supervisor->vsock_listeners);
    stream_readers_deinit(&supervisor->log_readers);
    stream_readers_deinit(&supervisor->vmm_readers);
    byte_ring_deinit(&supervisor->log_ring);
    stop_sequence_deinit(&supervisor->stop);
    payload_deadline_deinit(&supervisor->payload_deadline);
    supervisor->log = output_free(supervisor->log);
    supervisor->payload_out = output_free(supervisor->payload_out);
    supervisor->crash_out = output_free(supervisor->crash_out);
    crash_report_deinit(&supervisor->crash_report);
    for (size_t i = 0; i < ELEMENTS_OF(sources); i++)
        *sources[i] = sd_event_source_disable_unref(*sources[i]);
    for (size_t i = 0; i < ELEMENTS_OF(fds); i++)
        *fds[i] = fd_close(*fds[i]);
    vmm_log_deinit(&supervisor->vmm_log);
}

static void tear_down(Supervisor *supervisor)
{
    SupervisorSetup *setup = supervisor->setup;

    release_vm(supervisor);
    daemon_link_free(supervisor->daemon);
    sd_event_source_disable_unref(supervisor->record_timer);
    sd_event_source_disable_unref(supervisor->heartbeat);
    sd_event_source_disable_unref(supervisor->sigterm);
    setup->connection = fd_close(setup->connection);
    setup->next_daemon = fd_close(setup->next_daemon);
    setup->uid_lock = fd_close(setup->uid_lock);
    sd_event_unref(supervisor->event);
}

static bool output_waits(const Output *output)
{
    return output && output_is_behind(output);
}

/* Passes on what guest and VMM had under way to the client when they ended, and waits for the rest
 * of the namespace. */
static void linger(Supervisor *supervisor)
{
    uint64_t now, deadline = 0;

    while (!supervisor->stub_gone || guest_link_has_streams(supervisor->guest_link) ||
           vm_console_is_behind(supervisor->console) || output_waits(supervisor->log) ||
           stream_readers_are_behind(&supervisor->log_readers) ||
           stream_readers_are_behind(&supervisor->vmm_readers) ||
           output_waits(supervisor->payload_out)) {
        /* Those who have read all of it need not wait for one who has not. */
        if (!guest_link_has_streams(supervisor->guest_link))
            stream_readers_end(&supervisor->log_readers);
        if (sd_event_now(supervisor->event, CLOCK_MONOTONIC, &now) < 0)
            return;
        if (deadline == 0)
            deadline = now + LINGER_USEC;
        if (now >= deadline)
            kill_stub(supervisor);
        if (now >= deadline || sd_event_run(supervisor->event, deadline - now) < 0)
            return;
    }
}

static int on_record_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Supervisor *supervisor = userdata;

    (void)source;
    (void)usec;
    supervisor->record_given_up = true;
    return 0;
}

/* A death that no daemon has heard of waits for one. */
static void wait_for_daemon(Supervisor *supervisor)
{
    uint64_t timeout_usec = supervisor->setup->spec->record_timeout_ms * USEC_PER_MSEC;

    if (supervisor->terminated && timeout_usec > LINGER_USEC)
        timeout_usec = LINGER_USEC;
    if (sd_event_add_time_relative(supervisor->event, &supervisor->record_timer, CLOCK_MONOTONIC,
                                   timeout_usec, 0, on_record_timeout, supervisor) < 0)
        return;
    while (daemon_link_is_behind(supervisor->daemon) && !supervisor->record_given_up) {
        if (sd_event_run(supervisor->event, UINT64_MAX) < 0)
            return;
    }
    if (supervisor->record_given_up)
        log_warning("no daemon has taken the death record");
}

int supervisor_run(SupervisorSetup *setup)
{
    _cleanup_(tear_down) Supervisor supervisor = { .setup = setup,
                                                   .state = VM_NOT_STARTED,
                                                   .facts = { .guest = { .exit_code = -1 } } };

    vmm_log_init(&supervisor.vmm_log);
    byte_ring_init(&supervisor.log_ring, LOG_RING_SIZE);
    int r = set_up(&supervisor);
    if (r < 0) {
        log_error("cannot set up the supervisor: %s", strerror(-r));
        kill_stub(&supervisor); /* without a loop nothing gentler is left */
        return r;
    }

    r = dispatch_plain(&supervisor, VM_EVENT_START);
    assert(r >= 0);
    while (!supervisor.concluded) {
        r = sd_event_run(supervisor.event, UINT64_MAX);
        if (r < 0) {
            kill_stub(&supervisor);
            return r;
        }
    }
    linger(&supervisor);
    release_vm(&supervisor);
    wait_for_daemon(&supervisor);
    return 0;
}
