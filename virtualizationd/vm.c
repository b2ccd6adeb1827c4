/* SPDX-License-Identifier: Apache-2.0 */
/* Before Start and after the end the state is the daemon's; in between the supervisor tells it, and
 * vm_apply() follows if the transition table agrees. */
#include "virtualizationd/vm.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"
#include "dbus/interfaces.h"
#include "virtualizationd/launcher.h"
#include "virtualizationd/vm-launch.h"

#define STUB_SOCKET     "stub.socket"
#define STOP_TIMEOUT_MS 10000
#define VSOCK_PORT_MIN  1024U /* as AVF: what is below is the guest system's own */
#define CONNECTS_MAX    16
#define CREATION_EVENT  1
#define EVENT_JUMP_MAX  1000 /* more would be made up: a supervisor counts each event */
#define MESSAGES_BURST  200  /* of a supervisor, a second */
#define USEC_PER_SEC    UINT64_C(1000000)

static void vm_conclude(Vm *vm, const DeathRecord *record, uint64_t event_number);

static uint64_t realtime_usec(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail on Linux */
    return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* --- the table of VMs --- */

Vm *vm_find(Daemon *daemon, const char *name_or_id)
{
    Vm *vm;

    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (strcmp(vm->id, name_or_id) == 0)
            return vm;
    }
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (vm->state != VM_DEAD && strcmp(vm->name, name_or_id) == 0)
            return vm;
    }
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (strcmp(vm->name, name_or_id) == 0)
            return vm; /* the newest dead one: they are put in at the head */
    }
    return NULL;
}

static size_t count_living(Daemon *daemon)
{
    size_t n_living = 0;
    Vm *vm;

    LIST_FOREACH(vm, &daemon->vms, link)
    {
        n_living += vm->state != VM_DEAD;
    }
    return n_living;
}

/* --- the VM's directory --- */

static int make_stub_socket(const Vm *vm, int *ret_socket)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s", vm->daemon->vms_dir, vm->id) < 0)
        return -ENOMEM;
    if (mkdir(path, 0700) < 0)
        return -errno;
    _cleanup_close_ int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" STUB_SOCKET,
                   directory);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
        return -errno;

    *ret_socket = take_fd(&fd);
    return 0;
}

static void remove_directory(const Daemon *daemon, const char *id)
{
    char path[PATH_MAX];

    if (!*id)
        return; /* never got as far: the path would be the directory of all VMs */
    (void)snprintf(path, sizeof(path), "%s/%s/" STUB_SOCKET, daemon->vms_dir, id);
    if (unlink(path) < 0 && errno != ENOENT)
        log_warning("cannot remove %s: %s", path, strerror(errno));
    (void)snprintf(path, sizeof(path), "%s/%s", daemon->vms_dir, id);
    if (rmdir(path) < 0 && errno != ENOENT)
        log_warning("cannot remove %s: %s", path, strerror(errno));
}

void vm_remove_stale_directories(const Daemon *daemon)
{
    DIR *directory = opendir(daemon->vms_dir);
    const struct dirent *entry;

    if (!directory)
        return;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] != '.')
            remove_directory(daemon, entry->d_name);
    }
    (void)closedir(directory); /* only read */
}

/* --- creation --- */

static int choose_id(Vm *vm)
{
    uint8_t random[LAUNCH_SPEC_ID_SIZE / 2];

    int r = random_fill(random, sizeof(random));
    if (r < 0)
        return r;
    text_hex(random, sizeof(random), vm->id);
    return 0;
}

static int choose_name(Vm *vm, Error *error)
{
    const Vm *holder = vm->config->name ? vm_find(vm->daemon, vm->config->name) : NULL;

    if (holder && holder->state != VM_DEAD)
        return error_set(error, ERROR_VM_EXISTS, "the name '%s' is taken by VM %s",
                         vm->config->name, holder->id);
    vm->name = strdup(vm->config->name ? vm->config->name : vm->id);
    if (!vm->name)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return 0;
}

static uint32_t choose_cpus(const Vm *vm)
{
    if (vm->config->cpu_topology == CPU_TOPOLOGY_ONE_CPU)
        return 1;
    return vm->daemon->host_cpus < LAUNCH_SPEC_CPUS_MAX ? vm->daemon->host_cpus
                                                        : LAUNCH_SPEC_CPUS_MAX;
}

static int vm_init(Vm *vm, const VmRequest *request, Error *error)
{
    Daemon *daemon = vm->daemon;
    char path[sizeof(BUS_VM_PATH_PREFIX) + LAUNCH_SPEC_ID_SIZE];

    if (count_living(daemon) >= daemon->settings.vms_max)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "there are %" PRIu64 " VMs, which is the limit (VMsMax=)",
                         daemon->settings.vms_max);
    int r = vm_config_parse(request->config_json, daemon->host_memory_bytes, &vm->config, error);
    if (r < 0)
        return r;
    r = choose_id(vm);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "no random numbers");
    r = choose_name(vm, error);
    if (r < 0)
        return r;
    r = vm_files_init(&vm->files, vm->config, error);
    if (r < 0)
        return r;
    if (request->client) {
        vm->client = strdup(request->client);
        if (!vm->client)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    r = cid_pool_acquire(&daemon->cids, &vm->cid);
    if (r < 0)
        return error_set_errno(error, ERROR_LIMITS_EXCEEDED, r, "no CID is left");
    vm->cpus = choose_cpus(vm);

    (void)snprintf(path, sizeof(path), BUS_VM_PATH_PREFIX "%s", vm->id);
    return bus_object_new(daemon->bus, path, &vm_interface, vm, false, &vm->object, error);
}

/* Releases what a VM needs while it lives. Its configuration and object stay. */
static void release_life(Vm *vm)
{
    vm->connection_io = sd_event_source_disable_unref(vm->connection_io);
    vm->connection = fd_close(vm->connection);
    vm_files_deinit(&vm->files);
    if (vm->cid != 0 && vm->state != VM_DEAD)
        cid_pool_release(&vm->daemon->cids, vm->cid);
    remove_directory(vm->daemon, vm->id);
}

/* Everything but its place in the table. */
static void release(Vm *vm)
{
    if (vm->state != VM_DEAD)
        release_life(vm); /* a supervisor whose daemon goes ends its VM */
    sd_event_source_disable_unref(vm->forget_timer);
    bus_object_free(vm->object);
    vm_config_free(vm->config);
    free(vm->record);
    free(vm->client);
    free(vm->name);
    free(vm);
}

int vm_new(Daemon *daemon, const VmRequest *request, Vm **ret_vm, Error *error)
{
    Vm *vm = calloc(1, sizeof(*vm));
    if (!vm)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    vm->daemon = daemon;
    vm->owner = request->owner;
    vm->start_paused = request->paused;
    vm->seccomp_action = request->seccomp_action;
    vm->state = VM_NOT_STARTED;
    vm->last_event = CREATION_EVENT;
    vm->created_usec = realtime_usec();
    vm->connection = -EBADF;
    LIST_INIT(&vm->connects);

    int r = vm_init(vm, request, error);
    if (r < 0) {
        release(vm);
        return r;
    }
    LIST_INSERT_HEAD(&daemon->vms, vm, link);
    *ret_vm = vm;
    return 0;
}

static void answer_waiting(Vm *vm, ErrorKind kind, const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VmConnect *connect;

    (void)error_set(&error, kind, "%s", sentence);
    while ((connect = LIST_FIRST(&vm->connects))) {
        LIST_REMOVE(connect, link);
        bus_call_reply_error(connect->call, &error);
        bus_call_unref(connect->call);
        (void)fd_close(connect->client_fd);
        free(connect);
    }
    if (vm->start_call) {
        BusCall *call = TAKE_PTR(vm->start_call);

        bus_call_reply_error(call, &error);
        bus_call_unref(call);
    }
}

Vm *vm_free(Vm *vm)
{
    if (!vm)
        return NULL;

    answer_waiting(vm, ERROR_FAILED, "the VM is given up");
    LIST_REMOVE(vm, link);
    release(vm);
    return NULL;
}

const Vm *vm_find_image_user(const Daemon *daemon, const struct stat *status)
{
    Vm *vm;

    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (vm_files_use_image(&vm->files, status))
            return vm;
    }
    return NULL;
}

int vm_check_files(Vm *vm, Error *error)
{
    Vm *other;

    LIST_FOREACH(other, &vm->daemon->vms, link)
    {
        const VmFile *file = vm_files_find_conflict(&vm->files, &other->files);
        if (file)
            return error_set(error, ERROR_IMAGE_BUSY,
                             "the image '%s' is used by VM '%s', and one of both uses writes it",
                             file->key, other->name);
    }
    if (vm_files_find_missing(&vm->files))
        return 0;
    return vm_files_check_disks(&vm->files, vm->config, error);
}

/* --- following the supervisor --- */

static const char *const state_properties[] = { "State", "LastEvent", NULL };
static const char *const running_properties[] = { "StartedAt", "Pid", NULL };
static const char *const death_properties[] = { "State", "DeathReason", "LastEvent", "Pid", NULL };

static void announce_event(Vm *vm, const SupervisorMessage *message)
{
    const char *code = guest_error_code_to_string(message->error_code);

    bus_object_emit_changed(vm->object, state_properties);
    switch ((int)message->event) {
    case VM_EVENT_PAYLOAD_STARTED:
        bus_object_emit_signal(vm->object, "PayloadStarted", DBUS_TYPE_UINT64, &vm->last_event,
                               DBUS_TYPE_INVALID);
        break;
    case VM_EVENT_PAYLOAD_READY:
        bus_object_emit_signal(vm->object, "PayloadReady", DBUS_TYPE_UINT64, &vm->last_event,
                               DBUS_TYPE_INVALID);
        break;
    case VM_EVENT_PAYLOAD_FINISHED:
        bus_object_emit_signal(vm->object, "PayloadFinished", DBUS_TYPE_UINT64, &vm->last_event,
                               DBUS_TYPE_INT32, &message->exit_code, DBUS_TYPE_INVALID);
        break;
    case VM_EVENT_GUEST_ERROR:
        bus_object_emit_signal(vm->object, "Error", DBUS_TYPE_UINT64, &vm->last_event,
                               DBUS_TYPE_STRING, &code, DBUS_TYPE_INVALID);
        break;
    default:
        break;
    }
}

static void vm_apply(Vm *vm, const SupervisorMessage *message)
{
    VmState next;

    if (vm_state_next(vm->state, message->event, vm->resume_to, &next) < 0 ||
        message->event_number <= vm->last_event ||
        message->event_number > vm->last_event + EVENT_JUMP_MAX) {
        log_warning("VM %s: its supervisor tells of '%s' in the state '%s': not followed", vm->id,
                    vm_event_to_string(message->event), vm_state_to_string(vm->state));
        return;
    }
    if (next == VM_SUSPENDED)
        vm->resume_to = vm->state;
    vm->state = next;
    vm->last_event = message->event_number;
    log_info("VM %s: %s", vm->id, vm_event_to_string(message->event));
    announce_event(vm, message);
}

static void on_running(Vm *vm, const SupervisorMessage *message)
{
    if (vm->started_usec != 0)
        return; /* it happens once */
    vm->started_usec = message->time_usec;
    vm->pid = message->value;
    bus_object_emit_changed(vm->object, running_properties);
}

static void on_accepted(Vm *vm)
{
    BusCall *call = TAKE_PTR(vm->start_call);

    vm->accepted = true;
    if (!call)
        return;
    if (vm->is_new)
        vm_reply_created(vm, call);
    else
        bus_call_reply(call, DBUS_TYPE_INVALID);
    vm->is_new = false; /* from here on the VM has a life of its own */
    bus_call_unref(call);
}

/* Whether the VM is still there. */
static bool on_refused(Vm *vm, ErrorKind kind, const char *sentence)
{
    DeathRecord record = { .reason = DEATH_START_FAILED,
                           .initiator = INITIATOR_HOST,
                           .vmm_exit_code = -1,
                           .payload_exit_code = -1,
                           .died_usec = realtime_usec() };

    answer_waiting(vm, kind, sentence);
    if (vm->is_new) {
        vm_free(vm); /* a CreateVm that fails leaves nothing */
        return false;
    }
    text_escape(sentence, strlen(sentence), record.message, sizeof(record.message));
    vm_conclude(vm, &record, vm->last_event + 1);
    return true;
}

static void on_connected(Vm *vm, uint32_t id, uint32_t error_number)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VmConnect *connect;

    LIST_FOREACH(connect, &vm->connects, link)
    {
        if (connect->id == id)
            break;
    }
    if (!connect)
        return;

    LIST_REMOVE(connect, link);
    if (error_number == 0) {
        bus_call_reply(connect->call, DBUS_TYPE_UNIX_FD, &connect->client_fd, DBUS_TYPE_INVALID);
    } else {
        (void)error_set(
            &error, error_number == ETIMEDOUT ? ERROR_TIMED_OUT : ERROR_CONNECTION_REFUSED,
            "the guest does not take the connection: %s", strerror((int)(error_number & 0xfff)));
        bus_call_reply_error(connect->call, &error);
    }
    bus_call_unref(connect->call);
    (void)fd_close(connect->client_fd);
    free(connect);
}

static void on_connection_lost(Vm *vm);

/* Whether the VM is still there. */
static bool on_message(Vm *vm, const SupervisorMessage *message)
{
    /* Nothing but an answer before the answer. */
    if (!vm->accepted && message->type != SUPERVISOR_ACCEPTED &&
        message->type != SUPERVISOR_REFUSED)
        return on_refused(vm, ERROR_FAILED, "the launcher does not keep to the protocol");

    switch ((int)message->type) {
    case SUPERVISOR_ACCEPTED:
        on_accepted(vm);
        break;
    case SUPERVISOR_REFUSED:
        if (!vm->accepted)
            return on_refused(vm, message->error_kind, message->text);
        on_connection_lost(vm); /* it has broken its word */
        break;
    case SUPERVISOR_RUNNING:
        on_running(vm, message);
        break;
    case SUPERVISOR_EVENT:
        vm_apply(vm, message);
        break;
    case SUPERVISOR_CONNECTED:
        on_connected(vm, message->id, message->value);
        break;
    case SUPERVISOR_DIED:
        vm_conclude(vm, &message->record, message->event_number);
        break;
    default:
        log_warning("VM %s: its supervisor sends what only a daemon sends", vm->id);
    }
    return true;
}

static void on_connection_lost(Vm *vm)
{
    DeathRecord record = { .reason = DEATH_INFRASTRUCTURE_ERROR,
                           .initiator = INITIATOR_HOST,
                           .vmm_exit_code = -1,
                           .payload_exit_code = -1,
                           .died_usec = realtime_usec(),
                           .message = "its supervisor has ended" };

    if (!vm->accepted)
        (void)on_refused(vm, ERROR_START_FAILED, "the launcher ended without an answer");
    else
        vm_conclude(vm, &record, vm->last_event + 1);
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
        on_connection_lost(vm);
    else
        (void)on_message(vm, &message);
    return 0;
}

/* --- the end --- */

static int on_forget(sd_event_source *source, uint64_t usec, void *userdata)
{
    Vm *vm = userdata;

    (void)source;
    (void)usec;
    bus_object_announce_removal(vm->object);
    vm_free(vm);
    return 0;
}

/* Keeps the number of dead VMs within that of the living: what is too much is the oldest's. */
static void forget_oldest(Daemon *daemon)
{
    Vm *vm, *oldest = NULL;
    size_t n_dead = 0;

    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (!vm->forget_timer)
            continue;
        n_dead++;
        if (!oldest || vm->record_usec < oldest->record_usec)
            oldest = vm;
    }
    /* From the loop: the caller may be walking over the table. */
    if (n_dead >= daemon->settings.vms_max) {
        oldest->record_usec = UINT64_MAX; /* it is on its way out */
        (void)sd_event_source_set_time_relative(oldest->forget_timer, 0);
    }
}

static void vm_conclude(Vm *vm, const DeathRecord *record, uint64_t event_number)
{
    const char *reason = death_reason_to_string(record->reason);

    assert(vm->state != VM_DEAD);
    vm->record = malloc(sizeof(*vm->record));
    if (vm->record)
        *vm->record = *record; /* without memory the reason is told, and nothing more */
    release_life(vm);
    vm->state = VM_DEAD;
    bool plausible =
        event_number > vm->last_event && event_number <= vm->last_event + EVENT_JUMP_MAX;
    vm->last_event = plausible ? event_number : vm->last_event + 1;
    vm->pid = 0;
    vm->record_usec = realtime_usec();
    log_info("VM %s: died: %s", vm->id, reason);

    bus_object_emit_changed(vm->object, death_properties);
    bus_object_emit_signal(vm->object, "Died", DBUS_TYPE_UINT64, &vm->last_event, DBUS_TYPE_STRING,
                           &reason, DBUS_TYPE_INVALID);
    answer_waiting(vm, ERROR_INVALID_STATE, "the VM has died");
    forget_oldest(vm->daemon);
    if (sd_event_add_time_relative(vm->daemon->event, &vm->forget_timer, CLOCK_BOOTTIME,
                                   vm->daemon->settings.death_record_sec * USEC_PER_SEC, 0,
                                   on_forget, vm) >= 0)
        (void)sd_event_source_set_description(vm->forget_timer, "forget-vm");
}

/* --- requests --- */

static int refuse_state(const Vm *vm, const char *what, Error *error)
{
    return error_set(error, ERROR_INVALID_STATE, "VM '%s' cannot be %s: it is in the state '%s'",
                     vm->name, what, vm_state_to_string(vm->state));
}

int vm_start(Vm *vm, BusCall *call, bool is_new, Error *error)
{
    _cleanup_close_ int connection = -EBADF, stub_socket = -EBADF;

    if (vm->state != VM_NOT_STARTED)
        return refuse_state(vm, "started", error);
    if (vm->connection >= 0)
        return error_set(error, ERROR_INVALID_STATE, "VM '%s' is being started already", vm->name);
    const char *missing = vm_files_find_missing(&vm->files);
    if (missing)
        return error_set(error, ERROR_INVALID_FILE,
                         "the file '%s', which the configuration names, was not passed", missing);

    int r = launcher_connect(vm->daemon->launcher_dir, &connection, error);
    if (r < 0)
        return r;
    r = make_stub_socket(vm, &stub_socket);
    if (r < 0) {
        remove_directory(vm->daemon, vm->id);
        return error_set_errno(error, ERROR_FAILED, r, "cannot make the VM's directory");
    }
    r = vm_launch_send(vm, connection, stub_socket, error);
    if (r >= 0) {
        r = sd_event_add_io(vm->daemon->event, &vm->connection_io, connection, EPOLLIN,
                            on_connection, vm);
        if (r < 0)
            r = error_set_errno(error, ERROR_FAILED, r, "cannot watch the launcher");
    }
    if (r < 0) {
        remove_directory(vm->daemon, vm->id);
        return r;
    }

    (void)sd_event_source_set_description(vm->connection_io, "supervisor");
    (void)sd_event_source_set_ratelimit(vm->connection_io, USEC_PER_SEC, MESSAGES_BURST);
    vm->connection = take_fd(&connection);
    vm->is_new = is_new;
    vm->start_call = bus_call_ref(call);
    return 0;
}

static int vm_send(
    Vm *vm, SupervisorMessageType type, uint32_t id, uint32_t value, int fd, Error *error)
{
    const SupervisorMessage message = { .type = type, .id = id, .value = value };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size = supervisor_message_encode(&message, bytes);

    int r = fd_message_send(vm->connection, bytes, size, &fd, fd >= 0 ? 1 : 0);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "the supervisor of VM '%s' cannot be told",
                               vm->name);
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
        return refuse_state(vm, "killed", error);
    if (vm->connection >= 0) {
        if (vm_send(vm, SUPERVISOR_KILL, 0, initiator, -EBADF, error) < 0) {
            log_warning("VM %s: %s", vm->id, error_get_message(error));
            error_clear(error);
            on_connection_lost(vm); /* closing the connection ends what does not listen */
        }
        return 0;
    }
    vm_conclude(vm, &record, vm->last_event + 1);
    return 0;
}

int vm_stop(Vm *vm, Error *error)
{
    if (vm->state == VM_DEAD)
        return refuse_state(vm, "stopped", error);
    if (vm->connection < 0)
        return vm_kill(vm, INITIATOR_CLIENT, error);
    return vm_send(vm, SUPERVISOR_STOP, 0, STOP_TIMEOUT_MS, -EBADF, error);
}

static bool is_running(const Vm *vm)
{
    return vm->started_usec != 0 && vm->state != VM_DEAD;
}

int vm_suspend(Vm *vm, Error *error)
{
    if (!is_running(vm) || vm->state == VM_STOPPING || vm->state == VM_SUSPENDED)
        return refuse_state(vm, "suspended", error);
    return vm_send(vm, SUPERVISOR_SUSPEND, 0, 0, -EBADF, error);
}

int vm_resume(Vm *vm, Error *error)
{
    if (vm->state != VM_SUSPENDED)
        return refuse_state(vm, "resumed", error);
    return vm_send(vm, SUPERVISOR_RESUME, 0, 0, -EBADF, error);
}

int vm_connect_vsock(Vm *vm, uint32_t port, BusCall *call, Error *error)
{
    size_t n_connects = 0;
    VmConnect *connect;
    int pair[2];

    if (port < VSOCK_PORT_MIN)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "port %u is the guest system's own: use %u or above", port,
                         VSOCK_PORT_MIN);
    if (!is_running(vm) || vm->state == VM_SUSPENDED)
        return refuse_state(vm, "connected to", error);
    LIST_FOREACH(connect, &vm->connects, link)
    {
        n_connects++;
    }
    if (n_connects >= CONNECTS_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "%d connections to VM '%s' are on their way: wait for one", CONNECTS_MAX,
                         vm->name);

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a stream");
    _cleanup_close_ int client_fd = pair[0];
    _cleanup_close_ int guest_fd = pair[1];
    connect = calloc(1, sizeof(*connect));
    if (!connect)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    connect->id = ++vm->last_connect_id;
    int r = vm_send(vm, SUPERVISOR_CONNECT, connect->id, port, guest_fd, error);
    if (r < 0) {
        free(connect);
        return r;
    }

    connect->call = bus_call_ref(call);
    connect->client_fd = take_fd(&client_fd);
    LIST_INSERT_HEAD(&vm->connects, connect, link);
    return 0;
}
