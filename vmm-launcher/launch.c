/* SPDX-License-Identifier: Apache-2.0 */
/* In order: receive and check the request; re-open and lock what it brings; make the sockets
 * between VMM, vsock-device and supervisor; start both behind the stub; drop every privilege;
 * supervise. Nothing that the VMM or the guest wrote is read before the drop. */
#include "vmm-launcher/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/drop-privileges.h"
#include "common/fd-message.h"
#include "common/fd.h"
#include "common/kvm.h"
#include "common/landlock.h"
#include "common/log.h"
#include "common/seccomp-policy.h"
#include "common/text.h"
#include "protocol/supervisor-message.h"
#include "vmm-launcher/box.h"
#include "vmm-launcher/disk-handover.h"
#include "vmm-launcher/image-lock.h"
#include "vmm-launcher/instance-secret.h"
#include "vmm-launcher/launch-request.h"
#include "vmm-launcher/layer.h"
#include "vmm-launcher/output.h"
#include "vmm-launcher/stub.h"
#include "vmm-launcher/supervisor.h"
#include "vmm-launcher/vm-cgroup.h"
#include "vmm-launcher/vm-uid.h"

#define LAUNCH_TIMEOUT_SEC 30

/* Threads of a VM besides its vCPUs: QEMU's block layer takes up to 64, and there are a dozen
 * others and the other processes. */
#define THREADS_BASE 128
/* Processors that a VM may keep busy besides its vCPUs: its disks' and vsock's work. */
#define CPUS_BESIDES_VCPUS 1

typedef enum Policy {
    POLICY_VMM,
    POLICY_VSOCK_DEVICE,
    POLICY_STUB,
    POLICY_SUPERVISOR,
    POLICY_SUPERVISOR_SEALED,
    POLICY_MAX,
} Policy;

typedef struct Launch {
    int connection;
    LaunchRequest request;
    uid_t uid;
    int uid_lock;
    bool use_kvm;
    dev_t kvm_device;
    const LaunchOptions *options;
    Box box;
    VmCgroup cgroup;
    SeccompPolicy *policies[POLICY_MAX];
    const char *kernel, *initrd, *bootloader; /* paths in the box, or NULL */
    VmmCommand vmm;
    VmmCommand vsock_device;
    int stderr_write, stub_report_write;
    SupervisorSetup setup;
} Launch;

typedef enum FileUse {
    USE_BOOT,
    USE_DISK,
    USE_WRITABLE_DISK,
    USE_OUTPUT,
    USE_INPUT,
    USE_SOCKET,
    USE_MAX,
} FileUse;

/* What a file has to be for each use, and how open. */
static const struct {
    mode_t kinds[4];
    bool read, write;
} file_uses[USE_MAX] = {
    [USE_BOOT] = { { S_IFREG }, true, false },
    [USE_DISK] = { { S_IFREG, S_IFBLK }, true, false },
    [USE_WRITABLE_DISK] = { { S_IFREG, S_IFBLK }, true, true },
    [USE_OUTPUT] = { { S_IFREG, S_IFCHR, S_IFIFO, S_IFSOCK }, false, true },
    [USE_INPUT] = { { S_IFCHR, S_IFIFO, S_IFSOCK }, true, false },
    [USE_SOCKET] = { { S_IFSOCK }, true, true },
};

/* The launcher opens files anew with root's rights: never what the client has not shown, by an open
 * descriptor, that it has. The daemon has checked the same, but it is not trusted with root's
 * power; and nothing is opened here that could block. */
static int check_file(const Launch *launch, uint16_t index, FileUse use, Error *error)
{
    struct stat status;

    if (index == LAUNCH_SPEC_NO_FD)
        return 0;
    int fd = launch->request.fds[index];
    int mode = fd_get_access_mode(fd);
    bool readable = mode == O_RDONLY || mode == O_RDWR;
    bool writable = mode == O_WRONLY || mode == O_RDWR;
    if (fstat(fd, &status) < 0 || (file_uses[use].read && !readable) ||
        (file_uses[use].write && !writable))
        return error_set(error, ERROR_INVALID_FILE, "file %u of the launch is not open for%s%s",
                         index, file_uses[use].read ? " reading" : "",
                         file_uses[use].write ? " writing" : "");
    for (size_t i = 0; i < ELEMENTS_OF(file_uses[use].kinds); i++) {
        if (file_uses[use].kinds[i] == (status.st_mode & S_IFMT))
            return 0;
    }
    return error_set(error, ERROR_INVALID_FILE, "file %u of the launch is of the wrong kind",
                     index);
}

static int check_files(const Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    const struct {
        uint16_t index;
        FileUse use;
    } files[] = {
        { spec->kernel, USE_BOOT },
        { spec->initrd, USE_BOOT },
        { spec->bootloader, USE_BOOT },
        { spec->console_out, USE_OUTPUT },
        { spec->log, USE_OUTPUT },
        { spec->payload_out, USE_OUTPUT },
        { spec->console_in, USE_INPUT },
        { spec->stub_socket, USE_SOCKET },
        { spec->supervisor_socket, USE_SOCKET },
    };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(files); i++)
        r = check_file(launch, files[i].index, files[i].use, error);
    for (size_t i = 0; i < spec->n_disks; i++) {
        const LaunchDisk *disk = &spec->disks[i];

        for (size_t j = 0; r >= 0 && j < disk->n_regions; j++)
            r = check_file(launch, disk->regions[j].fd_index,
                           disk->writable ? USE_WRITABLE_DISK : USE_DISK, error);
    }
    return r;
}

static int lock_images(Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    size_t n_regions = 0;

    for (size_t i = 0; i < spec->n_disks; i++)
        n_regions += spec->disks[i].n_regions;
    launch->setup.disk_locks = calloc(n_regions + 1, sizeof(int));
    if (!launch->setup.disk_locks)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    for (size_t i = 0; i < spec->n_disks; i++) {
        const LaunchDisk *disk = &spec->disks[i];

        for (size_t j = 0; j < disk->n_regions; j++) {
            int fd = launch->request.fds[disk->regions[j].fd_index];
            int *lock = &launch->setup.disk_locks[launch->setup.n_disk_locks];
            int r = image_lock(fd, disk->writable, lock, error);
            if (r < 0)
                return r;
            launch->setup.n_disk_locks += *lock >= 0;
        }
    }
    return 0;
}

/* Before the initrd comes the archive with the secret of the guest's instance. What the launcher
 * knew of it is gone before another process is made of its memory, let alone the supervisor. */
static int add_initrd(Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    int fd = launch->request.fds[spec->initrd];
    uint8_t archive[INSTANCE_ARCHIVE_SIZE];
    HostSecret host_secret;

    if (!spec->has_instance)
        return box_add_file(&launch->box, "initrd", fd, spec->memory_bytes, error);

    int r = host_secret_read(&launch->options->host_secret, &host_secret, error);
    if (r >= 0) {
        r = instance_secret_make_archive(host_secret.bytes, host_secret.size, spec->instance_id,
                                         archive);
        if (r < 0)
            r = error_set_errno(error, ERROR_START_FAILED, r, "cannot derive an instance's secret");
    }
    host_secret_wipe(&host_secret);
    if (r >= 0)
        r = box_add_file_with_head(&launch->box, "initrd", archive, sizeof(archive), fd,
                                   spec->memory_bytes, error);
    explicit_bzero(archive, sizeof(archive));
    return r;
}

/* The VMM opens them by path, and QEMU can do no other. */
static int add_boot_files(Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    const struct {
        uint16_t index;
        const char *name;
        const char **path;
    } files[] = {
        { spec->kernel, "kernel", &launch->kernel },
        { spec->bootloader, "bootloader", &launch->bootloader },
    };
    static const char *const paths[] = { TEMPLATE_VM_FILES "/kernel",
                                         TEMPLATE_VM_FILES "/bootloader" };

    for (size_t i = 0; i < ELEMENTS_OF(files); i++) {
        if (files[i].index == LAUNCH_SPEC_NO_FD)
            continue;
        /* What is larger than the guest's memory would not fit it. */
        int r = box_add_file(&launch->box, files[i].name, launch->request.fds[files[i].index],
                             spec->memory_bytes, error);
        if (r < 0)
            return r;
        *files[i].path = paths[i];
    }
    if (spec->initrd == LAUNCH_SPEC_NO_FD)
        return 0;
    launch->initrd = TEMPLATE_VM_FILES "/initrd";
    return add_initrd(launch, error);
}

/* Everything of the box that root prepares. */
static int prepare_box(Launch *launch, Error *error)
{
    int r = box_prepare(&launch->box, &launch->options->template, launch->use_kvm, error);
    if (r < 0)
        return r;
    layer_kill_point();
    r = add_boot_files(launch, error);
    if (r < 0)
        return r;
    if (launch->use_kvm) {
        r = box_add_device(&launch->box, "kvm", "/dev/kvm", launch->uid, error);
        if (r < 0)
            return r;
    }
    return box_close_files(&launch->box, error);
}

static int make_cgroup(Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    const VmCgroupLimits limits = {
        .memory_bytes =
            spec->memory_bytes + launch->setup.backend->get_overhead_bytes(spec, launch->use_kvm),
        .pids = THREADS_BASE + spec->cpus,
        .cpus = spec->cpus + CPUS_BESIDES_VCPUS,
        .has_device = launch->use_kvm,
        .device = launch->kvm_device,
    };

    if (launch->options->own_cgroup)
        return vm_cgroup_make_in_own(&limits, &launch->cgroup, error);
    return launch->options->cgroup_name
               ? vm_cgroup_make(launch->options->cgroup_name, &limits, &launch->cgroup, error)
               : 0;
}

static int load_policies(Launch *launch, Error *error)
{
    const char *roles[POLICY_MAX] = {
        [POLICY_VMM] = launch->use_kvm ? "qemu-kvm" : "qemu-tcg",
        [POLICY_VSOCK_DEVICE] = "vsock-device",
        [POLICY_STUB] = "stub",
        [POLICY_SUPERVISOR] = "supervisor",
        [POLICY_SUPERVISOR_SEALED] = "supervisor-sealed",
    };

    _cleanup_close_ int directory =
        openat(launch->box.template_directory, "policy", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot open the policies");
    for (size_t i = 0; i < POLICY_MAX; i++) {
        int r = seccomp_policy_load(directory, roles[i], &launch->policies[i], error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int open_output(Launch *launch, uint16_t index, const char *what, int *ret_fd, Error *error)
{
    if (index == LAUNCH_SPEC_NO_FD)
        return 0;
    int r = output_open(launch->request.fds[index], ret_fd);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot write to %s", what);
    return 0;
}

static int open_channels(Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    SupervisorSetup *setup = &launch->setup;

    int r = open_output(launch, spec->console_out, "console-out", &setup->console_out, error);
    if (r < 0)
        return r;
    r = open_output(launch, spec->log, "log", &setup->log, error);
    if (r < 0)
        return r;
    r = open_output(launch, spec->payload_out, "payload-out", &setup->payload_out, error);
    if (r < 0)
        return r;
    if (spec->supervisor_socket != LAUNCH_SPEC_NO_FD)
        setup->next_daemon = take_fd(&launch->request.fds[spec->supervisor_socket]);
    if (spec->console_in == LAUNCH_SPEC_NO_FD)
        return 0;
    r = fd_reopen(launch->request.fds[spec->console_in], O_RDONLY | O_NONBLOCK, &setup->console_in);
    if (r == -ENXIO) { /* a socket: read with MSG_DONTWAIT */
        setup->console_in = take_fd(&launch->request.fds[spec->console_in]);
        return 0;
    }
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot read from console-in");
    return 0;
}

static int choose_accelerator(Launch *launch, Error *error)
{
    LaunchAccelerator wanted = launch->request.spec.accelerator;
    struct stat status;
    const char *reason;

    bool usable = wanted != ACCELERATOR_TCG && kvm_is_usable(&reason);
    if (wanted == ACCELERATOR_KVM && !usable)
        return error_set(error, ERROR_NOT_SUPPORTED, "KVM cannot be used: %s", reason);
    launch->use_kvm = usable;
    if (usable) {
        if (stat("/dev/kvm", &status) < 0)
            return error_set_errno(error, ERROR_NOT_SUPPORTED, errno, "cannot look at /dev/kvm");
        launch->kvm_device = status.st_rdev;
    }
    return 0;
}

static int make_pair(int type, int *ret_supervisor_end, int *ret_other_end, Error *error)
{
    int pair[2];

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot make a socket pair");
    *ret_supervisor_end = pair[0];
    *ret_other_end = pair[1];
    return 0;
}

static int build_vsock_device(Launch *launch, int vhost_end, int broker_end, Error *error)
{
    VmmCommand *command = &launch->vsock_device;
    int number;

    int r = vmm_command_take_fd(command, vhost_end, &number);
    int broker_result = vmm_command_take_fd(command, broker_end, &number);
    if (r >= 0)
        r = broker_result;
    if (r >= 0)
        r = vmm_command_add(command, "%s", TEMPLATE_VSOCK_DEVICE);
    if (r >= 0)
        r = vmm_command_add(command, "--guest-cid=%u", launch->request.spec.cid);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot prepare vsock-device");
    return 0;
}

static int build_commands(Launch *launch, Error *error)
{
    SupervisorSetup *setup = &launch->setup;
    VmmMachine machine = { .spec = &launch->request.spec,
                           .fds = launch->request.fds,
                           .use_kvm = launch->use_kvm,
                           .kernel = launch->kernel,
                           .initrd = launch->initrd,
                           .bootloader = launch->bootloader,
                           .control = -EBADF,
                           .console = -EBADF,
                           .vhost_vsock = -EBADF };
    int vhost_end = -EBADF, broker_end = -EBADF, stderr_pipe[2];

    int r = make_pair(SOCK_STREAM, &setup->control, &machine.control, error);
    if (r >= 0)
        r = make_pair(SOCK_STREAM, &setup->console, &machine.console, error);
    if (r >= 0)
        r = make_pair(SOCK_STREAM, &vhost_end, &machine.vhost_vsock, error);
    if (r >= 0)
        r = make_pair(SOCK_SEQPACKET, &setup->broker, &broker_end, error);
    if (r >= 0)
        r = make_pair(SOCK_SEQPACKET, &setup->stub_report, &launch->stub_report_write, error);
    if (r >= 0 && pipe2(stderr_pipe, O_CLOEXEC) < 0)
        r = error_set_errno(error, ERROR_START_FAILED, errno, "cannot make a pipe");
    if (r >= 0) {
        setup->vmm_stderr = stderr_pipe[0];
        launch->stderr_write = stderr_pipe[1];
        r = setup->backend->build_command(&machine, &launch->vmm, error);
    }
    if (r >= 0)
        return build_vsock_device(launch, vhost_end, broker_end, error);

    (void)fd_close(machine.control);
    (void)fd_close(machine.console);
    (void)fd_close(machine.vhost_vsock);
    (void)fd_close(vhost_end);
    (void)fd_close(broker_end);
    return r;
}

static int prepare(Launch *launch, Error *error)
{
    int r = check_files(launch, error);
    if (r < 0)
        return r;
    r = lock_images(launch, error);
    if (r < 0)
        return r;
    r = open_channels(launch, error);
    if (r < 0)
        return r;
    r = choose_accelerator(launch, error);
    if (r < 0)
        return r;
    layer_kill_point();
    launch->uid = geteuid();
    r = launch->box.unprivileged ? 0 : vm_uid_acquire(&launch->uid, &launch->uid_lock, error);
    if (r < 0)
        return r;
    layer_kill_point();
    r = prepare_box(launch, error);
    if (r < 0)
        return r;
    r = load_policies(launch, error);
    if (r < 0)
        return r;
    layer_kill_point();
    r = make_cgroup(launch, error);
    if (r < 0)
        return r;
    layer_kill_point();
    return build_commands(launch, error);
}

/* How large the VMM may make a file: its memory is one, and so are the images that it writes. This
 * is what keeps a VMM that was taken over from filling the host's disks. */
static uint64_t find_file_size_max(const Launch *launch)
{
    const LaunchSpec *spec = &launch->request.spec;
    uint64_t max = spec->memory_bytes;

    for (size_t i = 0; i < spec->n_disks; i++) {
        const LaunchDisk *disk = &spec->disks[i];

        for (size_t j = 0; disk->writable && j < disk->n_regions; j++) {
            const LaunchRegion *region = &disk->regions[j];
            uint64_t end = region->file_offset + region->size; /* in range, or not decoded */

            max = end > max ? end : max;
        }
    }
    return max;
}

/* What shows later that the programs are what they were made to be. */
static int open_status_files(Launch *launch, Error *error)
{
    SupervisorSetup *setup = &launch->setup;
    char path[64];

    for (size_t i = 0; i < STUB_PROGRAM_MAX; i++) {
        (void)snprintf(path, sizeof(path), "/proc/%d/status", setup->processes.pids[i]);
        setup->programs[i].status = open(path, O_RDONLY | O_CLOEXEC);
        /* One that has ended already has its end told. */
        if (setup->programs[i].status < 0 && setup->processes.pids[i] != 0 && errno != ENOENT)
            return error_set_errno(error, ERROR_START_FAILED, errno, "cannot open %s", path);
    }
    return 0;
}

static int start(Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    SupervisorSetup *setup = &launch->setup;
    const uint32_t threads_max = THREADS_BASE + spec->cpus;
    /* Opened out here: the cgroup of the VM may open no device. */
    _cleanup_close_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot open /dev/null");
    const StubPlan plan = {
        .commands = { [STUB_VMM] = { .command = &launch->vmm,
                                     .policy = launch->policies[POLICY_VMM],
                                     .file_size_max = find_file_size_max(launch),
                                     .threads_max = threads_max },
                      [STUB_VSOCK_DEVICE] = { .command = &launch->vsock_device,
                                              .policy = launch->policies[POLICY_VSOCK_DEVICE],
                                              .file_size_max = 0,
                                              .threads_max = threads_max } },
        .box = &launch->box,
        .policy = launch->policies[POLICY_STUB],
        .null_fd = null_fd,
        .stderr_fd = launch->stderr_write,
        .report_fd = launch->stub_report_write,
        .kill_fd = spec->stub_socket == LAUNCH_SPEC_NO_FD ? -EBADF
                                                          : launch->request.fds[spec->stub_socket],
        .uid_lock_fd = launch->uid_lock,
        .cgroup_fd = launch->cgroup.directory,
        .uid = launch->uid,
        .gid = launch->box.unprivileged ? getegid() : (gid_t)launch->uid,
    };

    int r = stub_start(&plan, &setup->processes, error);
    if (r < 0)
        return r;
    layer_kill_point();
    setup->cgroup_kill = launch->cgroup.kill;
    setup->memory_events = launch->cgroup.memory_events;
    setup->uid = launch->uid;
    setup->own_uid = !launch->box.unprivileged;
    setup->sealed_policy = launch->policies[POLICY_SUPERVISOR_SEALED];
    for (size_t i = 0; i < STUB_PROGRAM_MAX; i++)
        setup->programs[i].listener = setup->processes.listeners[i];
    setup->programs[STUB_VMM].policy = launch->policies[POLICY_VMM];
    setup->programs[STUB_VSOCK_DEVICE].policy = launch->policies[POLICY_VSOCK_DEVICE];
    return open_status_files(launch, error);
}

/* Closes what only the VM's programs and the stub hold from now on. */
static void release_vm_ends(Launch *launch)
{
    vmm_command_deinit(&launch->vmm);
    vmm_command_deinit(&launch->vsock_device);
    launch->stderr_write = fd_close(launch->stderr_write);
    launch->stub_report_write = fd_close(launch->stub_report_write);
    fd_close_many(launch->request.fds, launch->request.n_fds);
    box_deinit(&launch->box);
    launch->cgroup.directory = fd_close(launch->cgroup.directory);
}

static void launch_deinit(Launch *launch)
{
    SupervisorSetup *setup = &launch->setup;
    int *const fds[] = {
        &launch->uid_lock,   &setup->processes.pidfd, &setup->stub_report,
        &setup->control,     &setup->console,         &setup->broker,
        &setup->vmm_stderr,  &setup->console_out,     &setup->console_in,
        &setup->log,         &setup->payload_out,     &launch->connection,
        &setup->next_daemon,
    };

    release_vm_ends(launch);
    vm_cgroup_deinit(&launch->cgroup);
    for (size_t i = 0; i < ELEMENTS_OF(fds); i++)
        *fds[i] = fd_close(*fds[i]);
    fd_close_many(setup->disk_locks, setup->n_disk_locks);
    free(setup->disk_locks);
    for (size_t i = 0; i < STUB_PROGRAM_MAX; i++) {
        setup->programs[i].listener = fd_close(setup->programs[i].listener);
        setup->programs[i].status = fd_close(setup->programs[i].status);
    }
    for (size_t i = 0; i < POLICY_MAX; i++)
        seccomp_policy_free(launch->policies[i]);
    launch_request_deinit(&launch->request);
}

/* Into the box's namespaces, but for those of pids and users: the supervisor stays out of the
 * VMM's reach. In there it locks itself into an empty directory. */
static int enter_box(Launch *launch)
{
    int namespaces = BOX_NAMESPACES & ~CLONE_NEWPID;

    if (layer_is_on(LAYER_NAMESPACES) && layer_is_on(LAYER_MOUNTS) &&
        setns(launch->setup.processes.pidfd, namespaces) < 0)
        return -errno;
    if (layer_is_on(LAYER_MOUNTS) && layer_is_on(LAYER_NAMESPACES) &&
        (chroot(TEMPLATE_EMPTY) < 0 || chdir("/") < 0))
        return -errno;
    return 0;
}

/* Becomes the supervisor. After this nothing is left of root. */
static int become_supervisor(Launch *launch, Error *error)
{
    static const LandlockRule no_paths[] = { { NULL, false } };
    static const struct rlimit none = { 0, 0 };

    release_vm_ends(launch);
    int r = enter_box(launch);
    if (r == -ESRCH)
        return error_set(error, ERROR_START_FAILED, "the VMM ended as soon as it was started");
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot enter the box");
    layer_kill_point();
    r = launch->box.unprivileged ? drop_capabilities()
                                 : drop_privileges(launch->uid, (gid_t)launch->uid);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot drop privileges");
    /* The VMM has the same uid: it must not reach into this process. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot become undumpable");
    (void)prctl(PR_SET_NAME, "vm-supervisor");
    layer_kill_point();
    r = landlock_restrict(no_paths);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot set Landlock's rules");
    r = seccomp_policy_apply(launch->policies[POLICY_SUPERVISOR], NULL);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r,
                               "cannot load the supervisor's seccomp policy");
    layer_kill_point();
    return 0;
}

/* A user's own launcher has no root's power to begin with. */
static int gain_privilege(Launch *launch, Error *error)
{
    if (geteuid() == 0)
        return 0;
    launch->box.unprivileged = true;
    int r = box_gain_privilege();
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r,
                               "cannot make a user namespace, which uid %u needs to run VMs",
                               geteuid());
    return 0;
}

/* Leaves what the caller's surroundings have that a VM must not. */
static int leave_surroundings(Error *error)
{
    /* A file system of a client's may never answer: then nobody waits for this process. The
     * supervisor's own alarm replaces this one. */
    (void)alarm(LAUNCH_TIMEOUT_SEC);
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot leave the keyring");
    if (chdir("/") < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot change to /");
    return 0;
}

int launch_serve(int connection, const LaunchOptions *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(launch_deinit) Launch launch = {
        .connection = connection,
        .options = options,
        .box = BOX_INIT,
        .cgroup = VM_CGROUP_INIT,
        .uid_lock = -EBADF,
        .stderr_write = -EBADF,
        .stub_report_write = -EBADF,
        .setup = { .backend = &vmm_backend_qemu,
                   .connection = -EBADF,
                   .next_daemon = -EBADF,
                   .processes = { .pidfd = -EBADF },
                   .programs = { [0 ... STUB_PROGRAM_MAX - 1] = { .listener = -EBADF,
                                                                  .status = -EBADF } },
                   .stub_report = -EBADF,
                   .control = -EBADF,
                   .console = -EBADF,
                   .broker = -EBADF,
                   .vmm_stderr = -EBADF,
                   .console_out = -EBADF,
                   .console_in = -EBADF,
                   .log = -EBADF,
                   .payload_out = -EBADF,
                   .uid_lock = -EBADF,
                   .cgroup_kill = -EBADF,
                   .memory_events = -EBADF },
    };

    int r = leave_surroundings(&error);
    if (r >= 0)
        r = launch_request_receive(connection, &launch.request, &error);
    layer_kill_point();
    /* That one gains what it needs itself: a user's power in a namespace does not outlast exec. */
    if (r >= 0 && launch.request.kind == REQUEST_DISK_JOB)
        r = disk_handover(&launch.request, connection, &options->template, &error);
    if (r >= 0)
        r = gain_privilege(&launch, &error);
    if (r >= 0)
        r = prepare(&launch, &error);
    if (r >= 0)
        r = start(&launch, &error);
    if (r >= 0)
        r = become_supervisor(&launch, &error);
    launch_request_answer(connection, &error);
    if (r < 0) {
        log_error("%s", error_get_message(&error));
        launch_request_await_hang_up(connection);
        return EXIT_FAILURE;
    }

    launch.setup.spec = &launch.request.spec;
    launch.setup.connection = take_fd(&launch.connection);
    launch.setup.uid_lock = take_fd(&launch.uid_lock);
    return supervisor_run(&launch.setup) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
