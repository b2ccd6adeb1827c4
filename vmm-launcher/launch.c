/* SPDX-License-Identifier: Apache-2.0 */
/* In order: receive and check the request; re-open and lock what it brings; make the sockets
 * between VMM, vsock-device and supervisor; start both behind the stub; drop every privilege;
 * supervise. Nothing that the VMM or the guest wrote is read before the drop. */
#include "vmm-launcher/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/drop-privileges.h"
#include "common/fd-message.h"
#include "common/fd.h"
#include "common/kvm.h"
#include "common/log.h"
#include "common/program-path.h"
#include "common/text.h"
#include "protocol/supervisor-message.h"
#include "vmm-launcher/launch-request.h"
#include "vmm-launcher/output.h"
#include "vmm-launcher/stub.h"
#include "vmm-launcher/supervisor.h"
#include "vmm-launcher/vm-uid.h"

#define LAUNCH_TIMEOUT_SEC 30

typedef struct Launch {
    int connection;
    LaunchRequest request;
    uid_t uid;
    int uid_lock;
    bool use_kvm;
    gid_t device_gid;
    VmmCommand vmm;
    VmmCommand vsock_device;
    int stub_pidfd;
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
        { spec->kernel, USE_BOOT },      { spec->initrd, USE_BOOT },
        { spec->bootloader, USE_BOOT },  { spec->console_out, USE_OUTPUT },
        { spec->log, USE_OUTPUT },       { spec->payload_out, USE_OUTPUT },
        { spec->console_in, USE_INPUT }, { spec->stub_socket, USE_SOCKET },
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

/* Keeps others off an image: exclusively off one that the VM writes. The lock is on a description
 * of its own, so that the VMM has no way to release it. */
static int lock_image(Launch *launch, int fd, bool writable, Error *error)
{
    /* Not the bytes that QEMU locks itself, among those of its kind (block/file-posix.c,
     * RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE). */
    struct flock locks[] = {
        { .l_whence = SEEK_SET, .l_start = 0, .l_len = 100 },
        { .l_whence = SEEK_SET, .l_start = 300, .l_len = 0 /* to the end */ },
    };
    struct stat status;
    _cleanup_close_ int locked = -EBADF;

    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at a disk image");
    if (!S_ISREG(status.st_mode) || memfd_is_sealed(fd))
        return 0;
    int r = fd_reopen(fd, writable ? O_RDWR : O_RDONLY, &locked);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot open a disk image anew");
    for (size_t i = 0; i < ELEMENTS_OF(locks); i++) {
        locks[i].l_type = writable ? F_WRLCK : F_RDLCK;
        if (fcntl(locked, F_OFD_SETLK, &locks[i]) < 0)
            return error_set(error, ERROR_IMAGE_BUSY,
                             "a %s disk image (inode %ju) is in use by another process",
                             writable ? "writable" : "read-only", (uintmax_t)status.st_ino);
    }

    launch->setup.disk_locks[launch->setup.n_disk_locks++] = take_fd(&locked);
    return 0;
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
            int r = lock_image(launch, fd, disk->writable, error);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* Makes sure that the VM's uid can read the file, and nobody but root can change it meanwhile. */
static int secure_boot_file(Launch *launch, uint16_t index, const char *what, Error *error)
{
    size_t size_max = launch->request.spec.memory_bytes; /* more would not fit the guest */
    struct stat status;
    int copy = -EBADF;

    if (index == LAUNCH_SPEC_NO_FD)
        return 0;
    int *fd = &launch->request.fds[index];
    if (fstat(*fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at the %s", what);
    if (memfd_is_sealed(*fd))
        return 0;

    int r;
    if (S_ISREG(status.st_mode) && status.st_uid == 0 && (status.st_mode & 0022) == 0 &&
        (status.st_mode & 0004) != 0)
        r = fd_reopen(*fd, O_RDONLY, &copy); /* the client's may be open for writing */
    else
        r = memfd_new_sealed_copy(what, *fd, size_max, &copy);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot take over the %s", what);
    (void)fd_close(*fd);
    *fd = copy;
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
    /* The VMM opens the device by path, with the rights of the group that it belongs to. */
    if (usable && stat("/dev/kvm", &status) == 0)
        launch->device_gid = status.st_gid;
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
    _cleanup_free_ char *path = NULL;
    int number;

    int r = vmm_command_take_fd(command, vhost_end, &number);
    int broker_result = vmm_command_take_fd(command, broker_end, &number);
    if (r >= 0)
        r = broker_result;
    if (r >= 0)
        r = program_dup_sibling_path("vsock-device", &path);
    if (r >= 0)
        r = vmm_command_add(command, "%s", path);
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
    const LaunchSpec *spec = &launch->request.spec;

    int r = check_files(launch, error);
    if (r < 0)
        return r;
    r = lock_images(launch, error);
    if (r < 0)
        return r;
    r = secure_boot_file(launch, spec->kernel, "kernel", error);
    if (r < 0)
        return r;
    r = secure_boot_file(launch, spec->initrd, "initrd", error);
    if (r < 0)
        return r;
    r = secure_boot_file(launch, spec->bootloader, "bootloader", error);
    if (r < 0)
        return r;
    r = open_channels(launch, error);
    if (r < 0)
        return r;
    r = choose_accelerator(launch, error);
    if (r < 0)
        return r;
    r = vm_uid_acquire(&launch->uid, &launch->uid_lock, error);
    if (r < 0)
        return r;
    return build_commands(launch, error);
}

static int start(Launch *launch, Error *error)
{
    const LaunchSpec *spec = &launch->request.spec;
    pid_t pids[STUB_PROGRAM_MAX];
    const StubPlan plan = {
        .commands = { [STUB_VMM] = &launch->vmm, [STUB_VSOCK_DEVICE] = &launch->vsock_device },
        .stderr_fd = launch->stderr_write,
        .report_fd = launch->stub_report_write,
        .kill_fd = spec->stub_socket == LAUNCH_SPEC_NO_FD ? -EBADF
                                                          : launch->request.fds[spec->stub_socket],
        .uid_lock_fd = launch->uid_lock,
        .uid = launch->uid,
        .device_gid = launch->device_gid,
    };

    int r = stub_start(&plan, &launch->setup.stub_pidfd, pids, error);
    if (r < 0)
        return r;
    launch->setup.vmm_pid = pids[STUB_VMM];
    return 0;
}

static void send_answer(int connection, const Error *error)
{
    SupervisorMessage message = { .type = SUPERVISOR_ACCEPTED };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];

    if (error->kind != ERROR_NONE) {
        const char *sentence = error_get_message(error);

        message.type = SUPERVISOR_REFUSED;
        message.error_kind = error->kind;
        text_escape(sentence, strlen(sentence), message.text, sizeof(message.text));
    }
    size_t size = supervisor_message_encode(&message, bytes);
    int r = fd_message_send(connection, bytes, size, NULL, 0);
    if (r < 0)
        log_warning("the daemon does not take the answer: %s", strerror(-r));
}

/* Closes what only the VM's programs and the stub hold from now on. */
static void release_vm_ends(Launch *launch)
{
    vmm_command_deinit(&launch->vmm);
    vmm_command_deinit(&launch->vsock_device);
    launch->stderr_write = fd_close(launch->stderr_write);
    launch->stub_report_write = fd_close(launch->stub_report_write);
    fd_close_many(launch->request.fds, launch->request.n_fds);
}

static void launch_deinit(Launch *launch)
{
    SupervisorSetup *setup = &launch->setup;
    int *const fds[] = {
        &launch->uid_lock,  &setup->stub_pidfd, &setup->stub_report, &setup->control,
        &setup->console,    &setup->broker,     &setup->vmm_stderr,  &setup->console_out,
        &setup->console_in, &setup->log,        &setup->payload_out, &launch->connection,
    };

    release_vm_ends(launch);
    for (size_t i = 0; i < ELEMENTS_OF(fds); i++)
        *fds[i] = fd_close(*fds[i]);
    fd_close_many(setup->disk_locks, setup->n_disk_locks);
    free(setup->disk_locks);
    launch_request_deinit(&launch->request);
}

/* Becomes the supervisor. After this nothing is left of root. */
static int become_supervisor(Launch *launch, Error *error)
{
    release_vm_ends(launch);
    int r = drop_privileges(launch->uid, (gid_t)launch->uid, 0);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot drop privileges");
    /* The VMM has the same uid: it must not reach into this process. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot become undumpable");
    (void)prctl(PR_SET_NAME, "vm-supervisor");
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

int launch_serve(int connection)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(launch_deinit) Launch launch = {
        .connection = connection,
        .uid_lock = -EBADF,
        .stderr_write = -EBADF,
        .stub_report_write = -EBADF,
        .setup = { .backend = &vmm_backend_qemu,
                   .connection = -EBADF,
                   .stub_pidfd = -EBADF,
                   .stub_report = -EBADF,
                   .control = -EBADF,
                   .console = -EBADF,
                   .broker = -EBADF,
                   .vmm_stderr = -EBADF,
                   .console_out = -EBADF,
                   .console_in = -EBADF,
                   .log = -EBADF,
                   .payload_out = -EBADF,
                   .uid_lock = -EBADF },
    };

    if (geteuid() != 0)
        (void)error_set(&error, ERROR_NOT_SUPPORTED,
                        "vmm-launcher runs as uid %u, but gives each VM a uid of its own: "
                        "start it as root",
                        geteuid());
    int r = error.kind != ERROR_NONE ? -EPERM : leave_surroundings(&error);
    if (r >= 0)
        r = launch_request_receive(connection, &launch.request, &error);
    if (r >= 0)
        r = prepare(&launch, &error);
    if (r >= 0)
        r = start(&launch, &error);
    if (r >= 0)
        r = become_supervisor(&launch, &error);
    send_answer(connection, &error);
    if (r < 0) {
        log_error("%s", error_get_message(&error));
        return EXIT_FAILURE;
    }

    launch.setup.spec = &launch.request.spec;
    launch.setup.connection = take_fd(&launch.connection);
    launch.setup.uid_lock = take_fd(&launch.uid_lock);
    return supervisor_run(&launch.setup) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
