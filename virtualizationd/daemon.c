/* SPDX-License-Identifier: Apache-2.0 */
/* Root only until the listener runs and the directories are there: then the daemon becomes its own
 * user, puts its seccomp policy on, connects to the bus as that user, and never sees privilege
 * again. */
#include "virtualizationd/daemon.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/clock.h"
#include "common/drop-privileges.h"
#include "common/fd.h"
#include "common/kvm.h"
#include "common/landlock.h"
#include "common/log.h"
#include "common/seccomp-policy.h"
#include "dbus/interfaces.h"
#include "virtualizationd/authorization.h"
#include "virtualizationd/boot-check.h"
#include "virtualizationd/disk-job.h"
#include "virtualizationd/host-checks.h"
#include "virtualizationd/kill-point.h"
#include "virtualizationd/launcher.h"
#include "virtualizationd/manager-interface.h"
#include "virtualizationd/vm-adopt.h"
#include "virtualizationd/vm-follow.h"
#include "virtualizationd/vm.h"

#define NOFILE_WANTED 65536

/* In the cache directory; see vmm-launcher/template-root.h. */
#define POLICIES "template/policy"

static void on_peer_gone(void *userdata, const char *name)
{
    Daemon *daemon = userdata;
    Vm *vm, *next;

    authorization_client_gone(daemon, name);
    disk_job_client_gone(daemon, name);
    for (vm = LIST_FIRST(&daemon->vms); vm; vm = next) {
        _cleanup_(error_clear) Error error = ERROR_INIT;

        next = LIST_NEXT(vm, link);
        if (!vm->client || vm->state == VM_DEAD || strcmp(vm->client, name) != 0)
            continue;
        log_info("VM %s: its client %s is gone", vm->id, name);
        if (vm_kill(vm, INITIATOR_CLIENT, &error) < 0)
            log_warning("%s", error_get_message(&error));
    }
}

static void on_bus_lost(void *userdata, const Error *error)
{
    Daemon *daemon = userdata;

    log_error("%s", error_get_message(error));
    (void)sd_event_exit(daemon->event, EXIT_FAILURE);
}

/* From here on signals reach those who wait for them; what has happened before comes first. */
static void announce_all(Daemon *daemon)
{
    Vm *vm;

    daemon->is_on_bus = true;
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        vm_announce(vm);
    }
}

static void on_disconnected(void *userdata)
{
    Daemon *daemon = userdata;

    daemon->is_on_bus = false;
}

static void on_reconnected(void *userdata)
{
    announce_all(userdata);
}

static const BusServiceHandlers bus_handlers = {
    .peer_gone = on_peer_gone,
    .disconnected = on_disconnected,
    .reconnected = on_reconnected,
    .lost = on_bus_lost,
};

static void measure_host(Daemon *daemon)
{
    long n_pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    _cleanup_close_ int cgroups = -EBADF;

    daemon->host_memory_bytes = (uint64_t)n_pages * (uint64_t)page_size;
    daemon->host_cpus = n_cpus > 0 ? (uint32_t)n_cpus : 1;
    daemon->cgroup_controllers =
        cgroup_open_root(&cgroups) < 0 ? 0 : cgroup_get_controllers(cgroups);
    daemon->has_landlock = landlock_get_abi() > 0;
    daemon->kvm_usable = kvm_is_usable(&daemon->kvm_reason);
    daemon->is_nested = kvm_is_nested();
    host_facts_gather(&daemon->facts);
}

/* Descriptors wait here for the VMs that they are for. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= NOFILE_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < NOFILE_WANTED ? limit.rlim_max : NOFILE_WANTED;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_debug("cannot raise the descriptor limit");
}

static int make_directory(const char *path, mode_t mode, Error *error)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make the directory %s", path);
    return 0;
}

/* Takes the directory of VMs for this daemon alone. The lock goes with the process. */
static int lock_directory(Daemon *daemon, Error *error)
{
    daemon->vms_fd = open(daemon->vms_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (daemon->vms_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", daemon->vms_dir);
    if (flock(daemon->vms_fd, LOCK_EX | LOCK_NB) < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, errno,
                               "another virtualizationd has %s: end it, or give this one another "
                               "--runtime-dir",
                               daemon->vms_dir);
    return 0;
}

static int make_state_directory(Daemon *daemon, const struct passwd *user, Error *error)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/instances", daemon->options->state_dir) < 0) {
        path = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    int r = make_directory(daemon->options->state_dir, 0755, error);
    if (r >= 0)
        r = make_directory(path, 0700, error);
    if (r < 0)
        return r;
    if (user && chown(path, user->pw_uid, user->pw_gid) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot give %s to the user '%s'", path,
                               user->pw_name);
    daemon->instances_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (daemon->instances_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", path);
    return 0;
}

static int make_directories(Daemon *daemon, const struct passwd *user, Error *error)
{
    const char *runtime_dir = daemon->options->runtime_dir;

    if (asprintf(&daemon->vms_dir, "%s/vm", runtime_dir) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = make_directory(runtime_dir, 0755, error);
    if (r < 0)
        return r;
    r = make_directory(daemon->vms_dir, 0700, error);
    if (r < 0)
        return r;
    /* Only this one is the user's: what the listener has beside it must not be its to replace. */
    if (user && chown(daemon->vms_dir, user->pw_uid, user->pw_gid) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot give %s to the user '%s'",
                               daemon->vms_dir, user->pw_name);
    r = make_state_directory(daemon, user, error);
    if (r < 0)
        return r;
    return lock_directory(daemon, error);
}

/* The daemon's own policy: the one beside those of the VMs, which the listener has made. */
static int load_policy(const Daemon *daemon, SeccompPolicy **ret_policy, Error *error)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/" POLICIES, daemon->options->cache_dir) < 0) {
        path = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    _cleanup_close_ int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno,
                               "cannot open %s, where the launcher puts the seccomp policies and "
                               "says why if it has not",
                               path);
    return seccomp_policy_load(directory, "virtualizationd", ret_policy, error);
}

/* From here on the daemon makes the system calls that its policy allows, and no other. */
static int apply_policy(const SeccompPolicy *policy, Error *error)
{
    if (seccomp_policy_needs_listener(policy))
        return error_set(error, ERROR_START_FAILED,
                         "the seccomp policy 'virtualizationd' is one for a program that somebody "
                         "listens to");
    /* The drop of privileges has done so, where there was one. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot forbid new privileges");
    int r = seccomp_policy_apply(policy, NULL);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r,
                               "cannot put on the seccomp policy 'virtualizationd'");
    return 0;
}

/* Looked up before the seccomp policy forbids it. Who its members are the bus says of each caller.
 */
static void find_group(Daemon *daemon)
{
    const struct group *group = getgrnam(daemon->settings.group);

    daemon->has_group = group != NULL;
    if (group)
        daemon->group = group->gr_gid;
    else
        log_info("there is no group '%s' (Group=)", daemon->settings.group);
}

static int ensure_listener(Daemon *daemon, const struct passwd *user, Error *error)
{
    const DaemonOptions *options = daemon->options;
    _cleanup_free_ char *directory = NULL, *state_dir = NULL;
    size_t length = strlen(options->state_dir);

    /* Beside the daemon's own, never in it: that may be its user's to change. */
    while (length > 1 && options->state_dir[length - 1] == '/')
        length--;
    if (asprintf(&state_dir, "%.*s%s", (int)length, options->state_dir,
                 options->user ? "" : "-launcher") < 0) {
        state_dir = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    if (asprintf(&directory, "%s/launcher", options->runtime_dir) < 0) {
        directory = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    if (asprintf(&daemon->launcher_socket, "%s/" LAUNCHER_SOCKET, directory) < 0) {
        daemon->launcher_socket = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    const LauncherOptions launcher = {
        .directory = directory,
        .cache_dir = options->cache_dir,
        .state_dir = state_dir,
        .user = user ? user->pw_uid : geteuid(),
        .as_user = options->user,
    };
    return launcher_ensure(&launcher, &daemon->presence, error);
}

/* Makes sure that somebody starts launchers. */
static int ensure_launcher(Daemon *daemon, const struct passwd *user, Error *error)
{
    if (!daemon->options->launcher_socket)
        return ensure_listener(daemon, user, error);
    daemon->launcher_socket = strdup(daemon->options->launcher_socket);
    return daemon->launcher_socket ? 0 : error_set(error, ERROR_NO_MEMORY, "out of memory");
}

/* Everything that needs root, if we are, and the way out of it. */
static int prepare_as_root(Daemon *daemon, SeccompPolicy **ret_policy, Error *error)
{
    const struct passwd *user = NULL;

    if (geteuid() == 0 && !daemon->options->user) {
        user = getpwnam(daemon->settings.user);
        if (!user)
            return error_set(error, ERROR_INVALID_ARGUMENT,
                             "there is no user '%s' to run as: make it with systemd-sysusers, or "
                             "set User= in the configuration file",
                             daemon->settings.user);
    }
    raise_descriptor_limit();
    measure_host(daemon);
    int r = make_directories(daemon, user, error);
    if (r < 0)
        return r;
    r = ensure_launcher(daemon, user, error);
    if (r < 0)
        return r;
    r = load_policy(daemon, ret_policy, error);
    if (r < 0 || geteuid() != 0)
        return r;
    if (!user || user->pw_uid == 0) {
        r = drop_capabilities(); /* root's files are what is left of root */
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot drop the capabilities");
        return 0;
    }
    r = drop_privileges(user->pw_uid, user->pw_gid);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot become the user '%s'",
                               user->pw_name);
    return 0;
}

/* After each turn of the loop. */
static int on_turn(sd_event_source *source, void *userdata)
{
    (void)source;
    vm_acknowledge_all(userdata);
    return 0;
}

static int set_up_loop(Daemon *daemon)
{
    sigset_t handled;

    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGHUP); /* it waits until we are ready */
    sigaddset(&handled, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &handled, NULL) < 0)
        return -errno;

    int r = sd_event_new(&daemon->event);
    if (r < 0)
        return r;
    r = sd_event_add_signal(daemon->event, &daemon->sigterm, SIGTERM, NULL, NULL);
    if (r < 0)
        return r;
    r = sd_event_add_signal(daemon->event, &daemon->sigint, SIGINT, NULL, NULL);
    if (r < 0)
        return r;
    r = sd_event_add_post(daemon->event, &daemon->acknowledger, on_turn, daemon);
    if (r < 0)
        return r;
    return sd_event_set_watchdog(daemon->event, true);
}

/* What was looked up as root, or before the seccomp policy, stays. */
static void apply_settings(Daemon *daemon, Settings *settings)
{
    if (strcmp(settings->user, daemon->settings.user) != 0 ||
        strcmp(settings->group, daemon->settings.group) != 0)
        log_notice("User= and Group= have changed: that counts from the next start");
    settings_deinit(&daemon->settings);
    daemon->settings = *settings;
    quota_set_limits(daemon->quota, &daemon->settings.limits);
}

/* Protocol: sd_notify(3), RELOADING=1. */
static int on_sighup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Daemon *daemon = userdata;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Settings settings;

    (void)source;
    (void)info;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%ju", (uintmax_t)monotonic_usec());
    if (settings_load(&daemon->options->settings, &settings, &error) >= 0) {
        apply_settings(daemon, &settings);
        log_info("settings read again");
    } else {
        log_error("the settings stay as they were: %s", error_get_message(&error));
    }
    (void)sd_notify(0, "READY=1"); /* fails only where nobody asks for it */
    return 0;
}

static int set_up(Daemon *daemon, Error *error)
{
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL;

    int r = settings_load(&daemon->options->settings, &daemon->settings, error);
    if (r < 0)
        return r;
    daemon->quota = quota_new(&daemon->settings.limits, daemon->options->user ? geteuid() : 0);
    if (!daemon->quota)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    find_group(daemon);
    r = prepare_as_root(daemon, &policy, error);
    if (r < 0)
        return r;
    r = set_up_loop(daemon);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up the event loop");
    /* Once on the bus, anybody may write to us. */
    r = apply_policy(policy, error);
    if (r < 0)
        return r;
    r = instance_registry_new(take_fd(&daemon->instances_fd), &daemon->instances, error);
    if (r < 0)
        return r;
    r = bus_service_new(daemon->event, daemon->options->bus, PRIORITY_BUS, &bus_handlers, daemon,
                        &daemon->bus, error);
    if (r < 0)
        return r;
    r = bus_object_new(daemon->bus, BUS_PATH, &manager_interface, daemon, true, &daemon->manager,
                       error);
    if (r < 0)
        return r;
    r = vm_adopt_all(daemon, error);
    if (r < 0)
        return r;
    int code;
    if (sd_event_get_exit_code(daemon->event, &code) >= 0)
        return 0; /* told to end meanwhile, which the loop does: no name for a moment */
    r = bus_service_request_name(daemon->bus, BUS_NAME, error);
    if (r < 0)
        return r;
    kill_point(KILL_NAMED);
    announce_all(daemon);
    r = sd_event_add_signal(daemon->event, &daemon->sighup, SIGHUP, on_sighup, daemon);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot watch for SIGHUP");
    return 0;
}

static void tear_down(Daemon *daemon)
{
    authorization_give_up(daemon);
    while (!LIST_EMPTY(&daemon->disk_jobs))
        disk_job_give_up(LIST_FIRST(&daemon->disk_jobs));
    boot_check_forget_all(daemon);
    while (!LIST_EMPTY(&daemon->vms))
        vm_leave(LIST_FIRST(&daemon->vms)); /* what was started lives on */
    bus_object_free(daemon->manager);
    if (daemon->bus)
        bus_service_flush(daemon->bus);
    bus_service_free(daemon->bus);
    sd_event_source_disable_unref(daemon->sigterm);
    sd_event_source_disable_unref(daemon->sigint);
    sd_event_source_disable_unref(daemon->sighup);
    sd_event_source_disable_unref(daemon->acknowledger);
    sd_event_unref(daemon->event);
    if (daemon->presence >= 0)
        launcher_say_last(daemon->presence);
    (void)fd_close(daemon->presence);
    (void)fd_close(daemon->vms_fd);
    (void)fd_close(daemon->instances_fd);
    instance_registry_free(daemon->instances);
    free(daemon->launcher_socket);
    free(daemon->vms_dir);
    quota_free(daemon->quota);
    settings_deinit(&daemon->settings);
}

int daemon_run(const DaemonOptions *options)
{
    _cleanup_(tear_down) Daemon daemon = {
        .options = options, .presence = -EBADF, .vms_fd = -EBADF, .instances_fd = -EBADF
    };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    LIST_INIT(&daemon.vms);
    int r = set_up(&daemon, &error);
    if (r < 0) {
        log_error("%s", error_get_message(&error));
        return r;
    }

    log_info("ready on the %s bus, accelerator %s: %s", options->bus,
             daemon.kvm_usable ? "kvm" : "tcg", daemon.kvm_reason);
    (void)sd_notify(0, "READY=1"); /* fails only where nobody asks for it */
    r = sd_event_loop(daemon.event);
    (void)sd_notify(0, "STOPPING=1");
    return r > 0 ? -EIO : r;
}
