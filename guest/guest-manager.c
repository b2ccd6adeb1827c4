/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest-manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "guest/crash-reporting.h"
#include "guest/exec-service.h"
#include "guest/guest-link.h"
#include "guest/modules.h"
#include "guest/output-stream.h"
#include "guest/payload-service.h"
#include "guest/payload-source.h"
#include "guest/payload.h"
#include "guest/ready-socket.h"
#include "guest/virtio-device.h"

/* Every function of this file works on one Manager and runs in one thread. The payload's output is
 * carried by hand from a pipe to the stream, and not by the stream as the payload's stdout: a host
 * that hangs up must not kill the payload with SIGPIPE, and only so can what is left in the pipe
 * when the payload has ended be sent before the report of its end. */

#define BALLOON_LIST      "/etc/modules.virtio_balloon"
#define READY_SOCKET_PATH "/run/payload-ready"

#define LOG_LINE_SIZE_MAX 1024

#define STOP_GRACE_MSEC     5000
#define DRAIN_TIMEOUT_MSEC  5000
#define FINISH_TIMEOUT_MSEC 2000

typedef enum PayloadPhase {
    PAYLOAD_NONE,
    PAYLOAD_RUNNING,
    PAYLOAD_STOPPING, /* has been asked to end, until kill_deadline */
    PAYLOAD_KILLED,   /* has been given no choice */
    PAYLOAD_ENDED,
} PayloadPhase;

typedef struct Manager {
    int console_fd;
    int signal_fd;
    int ready_fd;
    int payload_output_fd;
    uid_t payload_uid;
    pid_t payload_pid;
    int payload_wait_status; /* in PAYLOAD_ENDED */
    const PayloadSource *source;
    PayloadState *payload;     /* the source's */
    ExecService *exec_service; /* NULL: the guest is not debuggable */
    PayloadPhase payload_phase;
    Deadline kill_deadline; /* in PAYLOAD_STOPPING */
    bool ready_reported;
    GuestLink link;
    GuestSubscription subscription;
    BootTimes times;
    OutputStream log_stream;
    OutputStream payload_stream;
} Manager;

static Manager *manager_free(Manager *manager)
{
    if (!manager)
        return NULL;
    exec_service_free(manager->exec_service);
    manager->source->free(manager->payload);
    output_stream_deinit(&manager->payload_stream);
    output_stream_deinit(&manager->log_stream);
    guest_subscription_close(&manager->subscription);
    manager->payload_output_fd = fd_close(manager->payload_output_fd);
    manager->ready_fd = fd_close(manager->ready_fd);
    manager->signal_fd = fd_close(manager->signal_fd);
    manager->console_fd = fd_close(manager->console_fd);
    free(manager);
    return NULL;
}

DEFINE_CLEANUP(Manager, manager_free);

static Manager *manager_new(const PayloadSource *source)
{
    Manager *manager = calloc(1, sizeof(*manager));
    if (!manager)
        return NULL;

    manager->source = source;
    manager->console_fd = manager->signal_fd = -EBADF;
    manager->ready_fd = manager->payload_output_fd = manager->subscription.fd = -EBADF;
    output_stream_init(&manager->log_stream);
    output_stream_init(&manager->payload_stream);
    return manager;
}

static void manager_log(Manager *manager, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void manager_log(Manager *manager, const char *format, ...)
{
    static const char prefix[] = "guest-manager: ";
    char line[LOG_LINE_SIZE_MAX];
    size_t size = sizeof(prefix) - 1;
    va_list arguments;

    memcpy(line, prefix, size);
    va_start(arguments, format);
    (void)vsnprintf(line + size, sizeof(line) - size - 1, format, arguments);
    va_end(arguments);
    size = strlen(line);
    line[size++] = '\n';

    /* A console that takes nothing, or a log stream that is full, is no reason to stop. */
    if (manager->console_fd >= 0)
        (void)fd_write_all(manager->console_fd, line, size);
    (void)output_stream_append(&manager->log_stream, line, size);
    output_stream_flush(&manager->log_stream);
}

/* Makes the call. The host not hearing it does not stop the guest: the host sees it end anyway. */
static void manager_report(Manager *manager, const GuestCall *call)
{
    Error error = ERROR_INIT;

    if (guest_link_call(&manager->link, call, &error) < 0)
        manager_log(manager, "cannot report to the host: %s", error_get_message(&error));
    error_clear(&error);
}

static void manager_report_ready(Manager *manager)
{
    if (manager->ready_reported)
        return;

    int r = ready_socket_receive(manager->ready_fd, manager->payload_uid);
    if (r < 0)
        manager_log(manager, "cannot read the ready socket: %s", strerror(-r));
    if (r > 0) {
        manager->ready_reported = true;
        manager_log(manager, "payload is ready");
        manager_report(manager, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY });
    }
    /* Ready is said once: whatever follows need not be read. */
    if (r != 0)
        manager->ready_fd = fd_close(manager->ready_fd);
}

static void manager_open_stream(Manager *manager, const char *name, OutputStream *stream)
{
    Error error = ERROR_INIT;
    int fd = -EBADF;

    if (guest_link_open_stream(&manager->link, name, &fd, &error) < 0)
        manager_log(manager, "no stream '%s': %s", name, error_get_message(&error));
    error_clear(&error);
    output_stream_take_fd(stream, fd);
}

/* Blocks the signals that matter and opens a descriptor to read them from. */
static int manager_set_up_signals(Manager *manager, Error *error)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot block signals");
    manager->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (manager->signal_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot watch signals");
    return 0;
}

static int manager_set_up(Manager *manager, Error *error)
{
    int r = manager->source->set_up(error);

    /* The console comes first of all that can fail later, and with a devtmpfs of its own. */
    manager->console_fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (r < 0)
        return r;
    r = manager_set_up_signals(manager, error);
    if (r < 0)
        return r;
    /* Where there is no balloon its driver would cost every boot. */
    if (virtio_device_is_there(VIRTIO_DEVICE_BALLOON)) {
        r = modules_load(BALLOON_LIST, error);
        if (r < 0)
            return r;
    }
    r = guest_link_init(&manager->link, error);
    if (r < 0)
        return r;
    r = guest_subscription_open(&manager->subscription, &manager->link, error);
    if (r < 0)
        return r;

    manager_open_stream(manager, GUEST_STREAM_LOG, &manager->log_stream);
    manager_open_stream(manager, GUEST_STREAM_PAYLOAD_OUT, &manager->payload_stream);
    return 0;
}

/* Reaps whatever has ended: orphans come to PID 1. The payload's pid is safe to compare, as nobody
 * else reaps and so no other process can get it. */
static void manager_reap(Manager *manager)
{
    struct signalfd_siginfo ignored;
    int status;
    pid_t pid;

    while (read(manager->signal_fd, &ignored, sizeof(ignored)) > 0)
        continue;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == manager->payload_pid) {
            manager->payload_wait_status = status;
            manager->payload_phase = PAYLOAD_ENDED;
        } else if (manager->exec_service) {
            exec_service_take_exit(manager->exec_service, pid, status);
        }
    }
}

static void manager_stop_payload(Manager *manager)
{
    if (manager->payload_phase != PAYLOAD_RUNNING)
        return;

    manager_log(manager, "stopping the payload");
    manager->payload_phase = PAYLOAD_STOPPING;
    manager->kill_deadline = deadline_in_msec(STOP_GRACE_MSEC);
    (void)kill(-manager->payload_pid, SIGTERM); /* it is not reaped yet, so it is there */
}

static void manager_kill_payload(Manager *manager)
{
    manager_log(manager, "payload does not stop, killing it");
    manager->payload_phase = PAYLOAD_KILLED;
    (void)kill(-manager->payload_pid, SIGKILL);
}

static void manager_trim_memory(Manager *manager)
{
    _cleanup_close_ int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : fd_write_all(fd, "3", 1);
    if (r < 0)
        manager_log(manager, "cannot drop caches: %s", strerror(-r));
}

static void manager_read_commands(Manager *manager)
{
    Error error = ERROR_INIT;
    GuestCommand command;
    int r;

    while ((r = guest_subscription_read(&manager->subscription, &command, &error)) > 0) {
        if (command == GUEST_COMMAND_STOP)
            manager_stop_payload(manager);
        else if (command == GUEST_COMMAND_MEMORY_TRIM)
            manager_trim_memory(manager);
    }
    if (r < 0) {
        manager_log(manager, "no more commands: %s", error_get_message(&error));
        guest_subscription_close(&manager->subscription);
    }
    error_clear(&error);
}

static void manager_forward_output(Manager *manager)
{
    if (output_stream_read_from(&manager->payload_stream, manager->payload_output_fd) <= 0)
        manager->payload_output_fd = fd_close(manager->payload_output_fd);
    output_stream_flush(&manager->payload_stream);
}

static int manager_get_timeout_msec(const Manager *manager)
{
    if (manager->payload_phase != PAYLOAD_STOPPING)
        return -1;
    return deadline_get_left_msec(manager->kill_deadline);
}

/* Waits for one round of events and handles them. */
static int manager_iterate(Manager *manager)
{
    enum {
        SIGNALS,
        COMMANDS,
        READY,
        OUTPUT,
        PAYLOAD_STREAM,
        LOG_STREAM,
        SERVICE, /* and those behind it */
        EXEC = SERVICE + PAYLOAD_SERVICE_POLL_ENTRIES,
        N_ENTRIES = EXEC + EXEC_SERVICE_POLL_ENTRIES
    };
    PayloadService *service = manager->source->get_service(manager->payload);
    size_t n_entries = manager->exec_service ? N_ENTRIES : service ? EXEC : SERVICE;
    bool has_room = output_stream_has_room(&manager->payload_stream);
    bool is_pending = output_stream_has_pending(&manager->payload_stream);
    bool log_is_pending = output_stream_has_pending(&manager->log_stream);
    /* poll(2) passes over negative descriptors. */
    struct pollfd entries[N_ENTRIES] = {
        [SIGNALS] = { .fd = manager->signal_fd, .events = POLLIN },
        [COMMANDS] = { .fd = manager->subscription.fd, .events = POLLIN },
        [READY] = { .fd = manager->ready_fd, .events = POLLIN },
        [OUTPUT] = { .fd = has_room ? manager->payload_output_fd : -1, .events = POLLIN },
        [PAYLOAD_STREAM] = { .fd = is_pending ? manager->payload_stream.fd : -1,
                             .events = POLLOUT },
        [LOG_STREAM] = { .fd = log_is_pending ? manager->log_stream.fd : -1, .events = POLLOUT },
    };

    if (service)
        payload_service_prepare_poll(service, entries + SERVICE);
    for (size_t i = SERVICE; !service && i < EXEC; i++)
        entries[i].fd = -EBADF;
    if (manager->exec_service)
        exec_service_prepare_poll(manager->exec_service, entries + EXEC);
    int n = poll(entries, n_entries, manager_get_timeout_msec(manager));
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (n == 0)
        manager_kill_payload(manager);

    if (entries[PAYLOAD_STREAM].revents)
        output_stream_flush(&manager->payload_stream);
    if (entries[LOG_STREAM].revents)
        output_stream_flush(&manager->log_stream);
    if (entries[OUTPUT].revents)
        manager_forward_output(manager);
    if (entries[READY].revents)
        manager_report_ready(manager);
    if (entries[COMMANDS].revents)
        manager_read_commands(manager);
    if (service)
        payload_service_dispatch(service, entries + SERVICE);
    if (manager->exec_service)
        exec_service_dispatch(manager->exec_service, entries + EXEC);
    if (entries[SIGNALS].revents)
        manager_reap(manager);
    return 0;
}

/* Sends what the payload has left in the pipe, and ends its stream. */
static void manager_finish_output(Manager *manager)
{
    Deadline deadline = deadline_in_msec(DRAIN_TIMEOUT_MSEC);
    OutputStream *stream = &manager->payload_stream;

    while (manager->payload_output_fd >= 0) {
        bool has_room = output_stream_has_room(stream);
        int r = deadline_wait_for_fd(deadline, has_room ? manager->payload_output_fd : stream->fd,
                                     has_room ? POLLIN : POLLOUT);
        if (r < 0) {
            manager_log(manager, "output of the payload is lost: %s", strerror(-r));
            break;
        }
        if (has_room)
            manager_forward_output(manager);
        else
            output_stream_flush(stream);
    }

    int r = output_stream_finish(stream, deadline);
    if (r < 0)
        manager_log(manager, "stream 'payload-out' did not end well: %s", strerror(-r));
}

/* Before the payload, which could take its port. */
static void manager_open_exec_service(Manager *manager, const char *directory)
{
    Error error = ERROR_INIT;

    if (manager->source->is_debuggable(manager->payload) &&
        exec_service_open(directory, &manager->exec_service, &error) < 0)
        manager_log(manager, "no commands: %s", error_get_message(&error));
    error_clear(&error);
}

static void manager_log_times(Manager *manager)
{
    char text[BOOT_TIMES_TEXT_MAX];

    if (!manager->source->is_debuggable(manager->payload))
        return;
    boot_times_format(&manager->times, text);
    manager_log(manager, "boot times in us: %s", text);
}

static int manager_start_payload(Manager *manager, GuestErrorCode *ret_code, Error *error)
{
    PayloadOptions options;

    int r = manager->source->prepare(&manager->payload, &options, &manager->times, ret_code, error);
    if (r < 0)
        return r;
    *ret_code = GUEST_ERROR_PAYLOAD_INVALID_CONFIG;
    manager->payload_uid = options.privileged ? 0 : PAYLOAD_UID;
    r = ready_socket_open(READY_SOCKET_PATH, manager->payload_uid, &manager->ready_fd);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot open the ready socket");

    manager_open_exec_service(manager, options.directory);
    options.ready_socket = READY_SOCKET_PATH;
    boot_times_mark(&manager->times, BOOT_STEP_PAYLOAD);
    manager_log(manager, "starting the payload %s%s", options.path,
                options.privileged ? " with all privileges (debug)" : "");
    /* As in AVF the report comes before the payload's first instruction. */
    manager_report(manager, &(GuestCall){ .type = GUEST_CALL_PAYLOAD_STARTED });
    r = payload_spawn(&options, &manager->payload_pid, &manager->payload_output_fd, error);
    if (r < 0)
        return r;

    manager->payload_phase = PAYLOAD_RUNNING;
    manager_log_times(manager); /* now that the payload does not wait for it */
    return 0;
}

/* Waits for the host to have all of it: the machine ends soon after. */
static void manager_send_crash_report(Manager *manager)
{
    Deadline deadline = deadline_in_msec(FINISH_TIMEOUT_MSEC);
    _cleanup_free_ OutputStream *stream = malloc(sizeof(*stream));
    _cleanup_close_ int report_fd = -EBADF;

    if (!stream || crash_reporting_open(&report_fd) < 0)
        return;
    output_stream_init(stream);
    manager_open_stream(manager, GUEST_STREAM_CRASH_REPORT, stream);
    /* A report is smaller than a stream's buffer. */
    (void)output_stream_read_from(stream, report_fd);
    int r = output_stream_finish(stream, deadline);
    if (r < 0)
        manager_log(manager, "the crash report did not get to the host: %s", strerror(-r));
    output_stream_deinit(stream);
}

/* Runs the payload to its end and says in @ret_end how that was. */
static void manager_run_payload(Manager *manager, GuestCall *ret_end)
{
    GuestErrorCode code = GUEST_ERROR_UNKNOWN;
    Error error = ERROR_INIT;

    int r = manager_start_payload(manager, &code, &error);
    if (r < 0) {
        *ret_end = (GuestCall){ .type = GUEST_CALL_ERROR, .error_code = code };
        (void)snprintf(ret_end->message, sizeof(ret_end->message), "%s", error_get_message(&error));
        error_clear(&error);
        return;
    }

    while (manager->payload_phase != PAYLOAD_ENDED) {
        r = manager_iterate(manager);
        if (r < 0) {
            manager_log(manager, "cannot wait for events: %s", strerror(-r));
            break;
        }
    }
    /* What the payload left behind ends with it, and lets go of the pipe. */
    (void)kill(-1, SIGKILL);
    if (manager->payload_phase != PAYLOAD_ENDED)
        (void)waitpid(manager->payload_pid, &manager->payload_wait_status, 0);
    if (manager->ready_fd >= 0)
        manager_report_ready(manager);
    payload_describe_end(manager->payload_wait_status, ret_end);
    manager_send_crash_report(manager);
    manager->source->finish(manager->payload, ret_end);
}

static void manager_report_end(Manager *manager, const GuestCall *end)
{
    if (end->type == GUEST_CALL_ERROR)
        manager_log(manager, "%s", end->message);
    else
        manager_log(manager, "payload finished with exit code %d", end->exit_code);
    manager_report(manager, end);
}

void guest_manager_run(const PayloadSource *source)
{
    _cleanup_(manager_freep) Manager *manager = manager_new(source);
    Error error = ERROR_INIT;
    GuestCall end;

    if (!manager)
        return;
    boot_times_mark(&manager->times, BOOT_STEP_MANAGER);
    if (manager_set_up(manager, &error) < 0) {
        manager_log(manager, "cannot go on: %s", error_get_message(&error));
        error_clear(&error);
        return;
    }

    boot_times_mark(&manager->times, BOOT_STEP_LINK);
    manager_run_payload(manager, &end);
    manager_finish_output(manager);
    manager_report_end(manager, &end);
    manager_log(manager, "powering off");
    /* The host having the log or not: there is nothing left to be done about it. */
    (void)output_stream_finish(&manager->log_stream, deadline_in_msec(FINISH_TIMEOUT_MSEC));
}
