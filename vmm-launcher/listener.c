/* SPDX-License-Identifier: Apache-2.0 */
/* A launcher is a fresh execution of this program, not a fork of the listener: each VM's supervisor
 * gets its own address space layout, and systemd's socket activation starts it the same way. One is
 * kept ready, so that nobody waits for the dynamic loader. */
#include "vmm-launcher/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/spawn.h"
#include "vmm-launcher/vm-cgroup.h"
#include "vmm-launcher/vm-uid.h"

#define GRACE_USEC UINT64_C(5000000)
#define BACKLOG    128

#define ARGUMENTS_MAX 16

#define ENDED_MAX         64
#define CGROUP_RETRY_USEC UINT64_C(20000)
#define SPARE_USEC        UINT64_C(50000)

/* How long to wait for another listener to end. */
#define LOCK_ATTEMPTS 20
#define LOCK_RETRY_MS 50

typedef struct Launcher {
    struct Listener *listener;
    uint64_t number;
    int control; /* takes its connection down; negative once it has one */
    sd_event_source *child;
} Launcher;

typedef struct Listener {
    sd_event *event;
    int directory;
    int lock;
    sd_event_source *socket_io, *presence_io, *grace, *cgroup_retry, *spare_timer, *sigterm,
        *sigint;
    uint64_t ended[ENDED_MAX]; /* launches whose cgroups wait to be removed */
    size_t n_ended;
    Launcher *spare;    /* waits for a connection; or NULL */
    size_t n_launchers; /* that have one */
    size_t n_daemons;
    bool ending;                        /* a daemon has said that none will follow */
    char *arguments[ARGUMENTS_MAX + 1]; /* of a launcher */
    char cgroup_option[sizeof("--cgroup=") + VM_CGROUP_NAME_SIZE]; /* one of them */
    uint64_t n_launches;
} Listener;

static int on_cgroup_retry(sd_event_source *source, uint64_t usec, void *userdata);

static void retry_cgroups(Listener *listener)
{
    if (!listener->cgroup_retry)
        (void)sd_event_add_time_relative(listener->event, &listener->cgroup_retry, CLOCK_MONOTONIC,
                                         CGROUP_RETRY_USEC, 0, on_cgroup_retry, listener);
}

static int on_grace(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    return sd_event_exit(userdata, 0);
}

static void check_idle(Listener *listener)
{
    listener->grace = sd_event_source_disable_unref(listener->grace);
    if (listener->n_launchers > 0 || listener->n_daemons > 0 || listener->n_ended > 0)
        return;
    if (listener->ending ||
        sd_event_add_time_relative(listener->event, &listener->grace, CLOCK_MONOTONIC, GRACE_USEC,
                                   0, on_grace, listener->event) < 0)
        (void)sd_event_exit(listener->event, 0);
}

static int remove_cgroup(uint64_t number)
{
    char name[VM_CGROUP_NAME_SIZE];

    vm_cgroup_make_name(getpid(), number, name);
    return vm_cgroup_remove(name);
}

static int on_cgroup_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
    Listener *listener = userdata;
    size_t n_left = 0;

    (void)source;
    (void)usec;
    listener->cgroup_retry = sd_event_source_disable_unref(listener->cgroup_retry);
    for (size_t i = 0; i < listener->n_ended; i++) {
        if (remove_cgroup(listener->ended[i]) == -EBUSY)
            listener->ended[n_left++] = listener->ended[i];
    }
    listener->n_ended = n_left;
    if (n_left > 0)
        retry_cgroups(listener);
    else
        check_idle(listener);
    return 0;
}

static int on_launcher_end(sd_event_source *source, const siginfo_t *info, void *userdata)
{
    Launcher *launcher = userdata;
    Listener *listener = launcher->listener;

    (void)source;
    if (info->si_code != CLD_EXITED)
        log_warning("launcher %d was ended by signal %d", info->si_pid, info->si_status);
    if (launcher == listener->spare) {
        listener->spare = NULL;
    } else {
        /* One that is busy is removed when what is left in it is dead; one too many, by the next
         * listener. */
        if (remove_cgroup(launcher->number) == -EBUSY && listener->n_ended < ENDED_MAX) {
            listener->ended[listener->n_ended++] = launcher->number;
            retry_cgroups(listener);
        }
        listener->n_launchers--;
        (void)sd_event_source_set_enabled(listener->socket_io, SD_EVENT_ON);
    }
    sd_event_source_disable_unref(launcher->child); /* and with it goes @launcher */
    check_idle(listener);
    return 0;
}

/* A launcher has the listener's options, but for those that make it a listener. */
static int make_arguments(Listener *listener, char *const *own)
{
    static const char *const listeners_own[] = { "--listen=", "--user=", "--ready-fd=" };
    size_t n = 0;

    listener->arguments[n++] = (char *)(uintptr_t) "vmm-launcher";
    listener->arguments[n++] = (char *)(uintptr_t) "--await-fd=3";
    listener->arguments[n++] = listener->cgroup_option;
    for (; *own; own++) {
        bool passed_on = true;

        for (size_t i = 0; i < ELEMENTS_OF(listeners_own); i++) {
            if (strncmp(*own, listeners_own[i], strlen(listeners_own[i])) == 0)
                passed_on = false;
        }
        if (!passed_on)
            continue;
        if (n == ARGUMENTS_MAX)
            return -E2BIG;
        listener->arguments[n++] = *own;
    }
    return 0;
}

static void launcher_free(void *userdata)
{
    Launcher *launcher = userdata;

    (void)fd_close(launcher->control);
    free(launcher);
}

static int spawn_launcher(Listener *listener, int control, pid_t *ret_pid)
{
    char name[VM_CGROUP_NAME_SIZE];

    vm_cgroup_make_name(getpid(), ++listener->n_launches, name);
    (void)snprintf(listener->cgroup_option, sizeof(listener->cgroup_option), "--cgroup=%s", name);
    return spawn_program("/proc/self/exe", listener->arguments, control, ret_pid);
}

/* Starts a launcher that waits for its connection. */
static int make_spare(Listener *listener)
{
    siginfo_t info;
    int pair[2];
    pid_t pid;

    if (listener->spare)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_close_ int control = pair[0];
    _cleanup_close_ int launchers_end = pair[1];
    _cleanup_free_ Launcher *launcher = malloc(sizeof(*launcher));
    if (!launcher)
        return -ENOMEM;
    int r = spawn_launcher(listener, launchers_end, &pid);
    if (r < 0)
        return r;
    *launcher = (Launcher){ .listener = listener, .number = listener->n_launches };
    r = sd_event_add_child(listener->event, &launcher->child, pid, WEXITED, on_launcher_end,
                           launcher);
    if (r < 0) {
        (void)kill(pid, SIGKILL); /* ours, and not reaped: the pid is still its own */
        (void)waitid(P_PID, (id_t)pid, &info, WEXITED);
        return r;
    }
    (void)sd_event_source_set_description(launcher->child, "launcher");
    (void)sd_event_source_set_destroy_callback(launcher->child, launcher_free);
    launcher->control = take_fd(&control);
    listener->spare = TAKE_PTR(launcher);
    return 0;
}

static int on_spare_time(sd_event_source *source, uint64_t usec, void *userdata)
{
    Listener *listener = userdata;

    (void)source;
    (void)usec;
    listener->spare_timer = sd_event_source_disable_unref(listener->spare_timer);
    int r = make_spare(listener);
    if (r < 0)
        log_warning("cannot keep a launcher ready: %s",
                    strerror(-r)); /* a connection tries again */
    return 0;
}

/* Not at once: the launch that has just begun needs the processors more. */
static void plan_spare(Listener *listener)
{
    if (!listener->spare_timer)
        (void)sd_event_add_time_relative(listener->event, &listener->spare_timer, CLOCK_MONOTONIC,
                                         SPARE_USEC, 0, on_spare_time, listener);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Listener *listener = userdata;

    (void)revents;
    _cleanup_close_ int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) {
        /* It has gone; or there are no descriptors, and will be none before a VM has ended. */
        if (errno == EMFILE || errno == ENFILE)
            (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
    }

    int r = make_spare(listener);
    if (r >= 0)
        r = fd_message_send(listener->spare->control, "", 1, &connection, 1);
    if (r < 0) {
        log_error("cannot start a launcher: %s", strerror(-r));
        return 0;
    }
    listener->spare->control = fd_close(listener->spare->control);
    listener->spare = NULL;
    listener->n_launchers++;
    plan_spare(listener);
    check_idle(listener);
    return 0;
}

static int on_daemon(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Listener *listener = userdata;
    char byte;

    (void)revents;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    if (n > 0)
        listener->ending = true;
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return 0;

    listener->n_daemons--;
    sd_event_source_disable_unref(source);
    check_idle(listener);
    return 0;
}

static int on_presence(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Listener *listener = userdata;
    sd_event_source *daemon = NULL;

    (void)source;
    (void)revents;
    _cleanup_close_ int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0 ||
        sd_event_add_io(listener->event, &daemon, connection, EPOLLIN, on_daemon, listener) < 0)
        return 0;

    (void)sd_event_source_set_description(daemon, "daemon");
    (void)sd_event_source_set_io_fd_own(daemon, true);
    (void)take_fd(&connection);
    listener->n_daemons++;
    listener->ending = false;
    check_idle(listener);
    return 0;
}

static int add_socket(Listener *listener,
                      const char *name,
                      uid_t user,
                      sd_event_io_handler_t handler,
                      sd_event_source **ret_source)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;

    /* Through the directory's descriptor: a runtime directory's path may be longer than a socket
     * address. We hold the lock, so what is there is a dead listener's. */
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
                   listener->directory, name);
    if (unlinkat(listener->directory, name, 0) < 0 && errno != ENOENT)
        return -errno;
    mode_t mask = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
    int bind_errno = errno;
    umask(mask);
    if (bound < 0)
        return -bind_errno;
    if (fchownat(listener->directory, name, user, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 ||
        listen(fd, BACKLOG) < 0)
        return -errno;

    int r = sd_event_add_io(listener->event, ret_source, fd, EPOLLIN, handler, listener);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(*ret_source, name);
    (void)sd_event_source_set_io_fd_own(*ret_source, true);
    (void)take_fd(&fd);
    return 0;
}

static bool is_current_lock(const Listener *listener)
{
    struct stat opened, named;

    return fstat(listener->lock, &opened) == 0 &&
           fstatat(listener->directory, LISTENER_LOCK, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

static int take_lock(Listener *listener, const char *directory)
{
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        return -errno;
    listener->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (listener->directory < 0)
        return -errno;
    /* One that is ending removes the file before it lets go of the lock: then that is the lock of
     * nobody, and the next one is made anew. */
    for (int i = 0; i < LOCK_ATTEMPTS; i++) {
        listener->lock = openat(listener->directory, LISTENER_LOCK,
                                O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (listener->lock < 0)
            return -errno;
        if (flock(listener->lock, LOCK_EX | LOCK_NB) == 0 && is_current_lock(listener))
            return 0;
        listener->lock = fd_close(listener->lock);
        (void)poll(NULL, 0, LOCK_RETRY_MS);
    }
    return -EWOULDBLOCK;
}

static int set_up(Listener *listener, const ListenerOptions *options)
{
    sigset_t handled;

    sigemptyset(&handled);
    sigaddset(&handled, SIGCHLD);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    if (sigprocmask(SIG_BLOCK, &handled, NULL) < 0)
        return -errno;

    int r = make_arguments(listener, options->launcher_arguments);
    if (r < 0)
        return r;
    r = sd_event_new(&listener->event);
    if (r < 0)
        return r;
    r = sd_event_add_signal(listener->event, &listener->sigterm, SIGTERM, NULL, NULL);
    if (r < 0)
        return r;
    r = sd_event_add_signal(listener->event, &listener->sigint, SIGINT, NULL, NULL);
    if (r < 0)
        return r;
    r = add_socket(listener, LISTENER_SOCKET, options->user, on_connection, &listener->socket_io);
    if (r < 0)
        return r;
    r = add_socket(listener, LISTENER_PRESENCE, options->user, on_presence, &listener->presence_io);
    if (r < 0)
        return r;
    plan_spare(listener);
    check_idle(listener);
    return 0;
}

static void tear_down(Listener *listener)
{
    sd_event_source **const sources[] = { &listener->socket_io,   &listener->presence_io,
                                          &listener->grace,       &listener->cgroup_retry,
                                          &listener->spare_timer, &listener->sigterm,
                                          &listener->sigint };

    /* The one that waits ends with its socket. */
    if (listener->spare)
        sd_event_source_disable_unref(listener->spare->child);
    for (size_t i = 0; i < ELEMENTS_OF(sources); i++)
        *sources[i] = sd_event_source_disable_unref(*sources[i]);
    sd_event_unref(listener->event);
    (void)fd_close(listener->lock);
    (void)fd_close(listener->directory);
}

/* What nobody can be connected to any more goes, the lock last: after it another may begin. */
static void remove_files(const Listener *listener)
{
    (void)unlinkat(listener->directory, LISTENER_SOCKET, 0);
    (void)unlinkat(listener->directory, LISTENER_PRESENCE, 0);
    (void)unlinkat(listener->directory, LISTENER_LOCK, 0);
    vm_cgroup_remove_leftovers();
    vm_uid_remove_lock_file();
}

/* Makes the template root while nobody waits for it. When that fails, each launch tries again and
 * tells why it cannot. */
static void make_template(const ListenerOptions *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_close_ int directory = -EBADF;

    if (template_root_open(&options->template, &directory, &error) < 0)
        log_error("%s", error_get_message(&error));
}

int listener_run(const ListenerOptions *options)
{
    _cleanup_(tear_down) Listener listener = { .directory = -EBADF, .lock = -EBADF };
    _cleanup_close_ int ready_fd = options->ready_fd;

    int r = take_lock(&listener, options->directory);
    if (r == -EWOULDBLOCK)
        return 0;
    vm_cgroup_remove_leftovers();
    make_template(options);
    if (r >= 0)
        r = set_up(&listener, options);
    if (r < 0) {
        log_error("cannot listen in %s: %s", options->directory, strerror(-r));
        return r;
    }

    if (ready_fd >= 0 && write(ready_fd, "\n", 1) < 0)
        log_debug("nobody waits for the listener");
    ready_fd = fd_close(ready_fd);
    r = sd_event_loop(listener.event);
    remove_files(&listener);
    return r;
}
