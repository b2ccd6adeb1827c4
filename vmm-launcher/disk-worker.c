/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/disk-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <poll.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include "common/drop-privileges.h"
#include "common/fd.h"
#include "common/seccomp-policy.h"
#include "common/text.h"
#include "composite-disk/apk-idsig.h"
#include "composite-disk/avb-boot.h"
#include "composite-disk/merkle-builder.h"
#include "composite-disk/partition-file.h"
#include "vmm-launcher/box.h"
#include "vmm-launcher/image-lock.h"
#include "vmm-launcher/vm-uid.h"

#define SENTENCE_MAX 511

#define ERROR_NUMBER_MAX 4095 /* the kernel's MAX_ERRNO */

/* The threads that hash, with stacks of 8 MiB, and more than all else takes. Nobody's cgroup limits
 * a worker. */
#ifdef __SANITIZE_ADDRESS__ /* whose own memory counts */
#    define DATA_MAX RLIM_INFINITY
#else
#    define DATA_MAX (UINT64_C(1) << 30)
#endif
#define THREADS_MAX (MERKLE_THREADS_MAX + 1)

typedef struct Job {
    const SupervisorMessage *message;
    int fds[DISK_JOB_FILES_MAX]; /* lent */
    size_t n_fds;
    int locks[DISK_JOB_FILES_MAX]; /* on them; released before the answer: the files are free then
                                    */
    uint64_t file_size_max;        /* of what the worker writes */
    uid_t uid;
    gid_t gid;
    Box box;
    SeccompPolicy *policy;
    int connection; /* lent; the daemon's */
    int null_fd;    /* /dev/null */
    int worker_end; /* of the socket between worker and launcher */
} Job;

/* What the worker says: a box's step and the errno it failed with; BOX_MAP_IDS without one is the
 * question for the map; and BOX_STEP_MAX is the job itself, with a kind and a sentence. */
typedef struct WorkerMessage {
    uint32_t step;
    int32_t error_number;
    uint32_t error_kind;
    char sentence[SENTENCE_MAX + 1];
} WorkerMessage;

static void job_deinit(Job *job)
{
    box_deinit(&job->box);
    seccomp_policy_free(job->policy);
    for (size_t i = 0; i < ELEMENTS_OF(job->locks); i++)
        job->locks[i] = fd_close(job->locks[i]);
    job->null_fd = fd_close(job->null_fd);
    job->worker_end = fd_close(job->worker_end);
}

/* --- the worker --- */

static _Noreturn void finish(const Job *job, uint32_t step, int error_number, const Error *error)
{
    WorkerMessage message = { .step = step, .error_number = error_number };

    if (error && error->kind != ERROR_NONE) {
        message.error_kind = error->kind;
        (void)snprintf(message.sentence, sizeof(message.sentence), "%s", error_get_message(error));
    }
    (void)send(job->worker_end, &message, sizeof(message), MSG_NOSIGNAL);
    _exit(error_number == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int wait_for_map(void *userdata)
{
    const Job *job = userdata;
    const WorkerMessage message = { .step = BOX_MAP_IDS };
    char byte;

    if (send(job->worker_end, &message, sizeof(message), MSG_NOSIGNAL) < 0)
        return -errno;
    return recv(job->worker_end, &byte, 1, 0) == 1 ? 0 : -ECONNRESET;
}

static int verify_boot(const Job *job, Error *error)
{
    AvbBoot boot = { .initrd_kind = (AvbBootInitrd)job->message->value };

    int r = byte_source_from_fd(job->fds[0], "vbmeta", &boot.vbmeta, error);
    if (r >= 0)
        r = byte_source_from_fd(job->fds[1], "kernel", &boot.kernel, error);
    if (r >= 0)
        r = byte_source_from_fd(job->fds[2], "initrd", &boot.initrd, error);
    return r < 0 ? r : avb_boot_verify(&boot, error);
}

/* The part that sees what is in the files. */
static int do_job(const Job *job, Error *error)
{
    bool written;

    switch ((int)job->message->type) {
    case SUPERVISOR_INITIALIZE_PARTITION:
        return partition_file_initialize(job->fds[0], (PartitionType)job->message->value,
                                         job->message->size, error);
    case SUPERVISOR_CREATE_IDSIG:
        return apk_idsig_update(job->fds[0], job->fds[1], NULL, &written, error);
    default:
        return verify_boot(job, error);
    }
}

/* libcrypto reads its configuration and makes its tables when it is first used, which the policy
 * would not let it do. What an administrator has configured is not for a worker to load. */
static int prepare_libcrypto(void)
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 &&
                   EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL) == 1
               ? 0
               : -EIO;
}

/* Leaves the worker nothing but the job's files: standard error may be the log of all others, and a
 * file, which the policy would let it cut off. */
static int close_others(const Job *job)
{
    int keep[DISK_JOB_FILES_MAX + 1] = { job->worker_end };

    memcpy(keep + 1, job->fds, job->n_fds * sizeof(int));
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (dup2(job->null_fd, fd) < 0)
            return -errno;
    }
    fd_close_all_but(keep, job->n_fds + 1, -EBADF);
    return 0;
}

static _Noreturn void worker_main(Job *job)
{
    const BoxLimit limits[] = { { RLIMIT_FSIZE, job->file_size_max },
                                { RLIMIT_DATA, DATA_MAX },
                                { RLIMIT_NPROC, THREADS_MAX } };
    Error error = ERROR_INIT;
    BoxStep step = BOX_SESSION;

    (void)prctl(PR_SET_NAME, "disk-worker");
    int r = prepare_libcrypto();
    if (r >= 0)
        r = box_enter(&job->box, job->uid, wait_for_map, job, &step);
    if (r < 0)
        finish(job, step, -r, NULL);
    r = close_others(job);
    if (r >= 0)
        r = box_set_limits(limits, ELEMENTS_OF(limits));
    if (r < 0)
        finish(job, BOX_LIMITS, -r, NULL);
    r = seccomp_policy_apply(job->policy, NULL);
    if (r >= 0)
        r = do_job(job, &error);
    finish(job, BOX_STEP_MAX, -r, &error);
}

/* --- the launcher --- */

static int check_partition(Job *job, Error *error)
{
    if (job->message->value >= PARTITION_TYPE_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "there is no type %u of partitions",
                         job->message->value);
    if (partition_image_round_size(job->message->size, &job->file_size_max) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a partition cannot have %ju bytes",
                         (uintmax_t)job->message->size);
    return 0;
}

static int check_boot(const Job *job, Error *error)
{
    if (job->message->value >= AVB_BOOT_INITRD_MAX)
        return error_set(error, ERROR_INVALID_ARGUMENT, "there is no kind %u of initrds",
                         job->message->value);
    return 0; /* and nothing is written */
}

/* How large the idsig gets. */
static int check_apk(int fd, Job *job, Error *error)
{
    MerkleGeometry geometry;
    struct stat status;

    if (fstat(fd, &status) < 0 || merkle_geometry_init(&geometry, (uint64_t)status.st_size) < 0)
        return error_set(error, ERROR_INVALID_FILE, "the APK has no size");
    job->file_size_max = geometry.tree_size + IDSIG_HEADER_MAX;
    return 0;
}

static int check_job(Job *job, const LaunchRequest *request, Error *error)
{
    switch ((int)request->job->type) {
    case SUPERVISOR_INITIALIZE_PARTITION:
        return check_partition(job, error);
    case SUPERVISOR_CREATE_IDSIG:
        return check_apk(request->fds[0], job, error);
    default:
        return check_boot(job, error);
    }
}

/* A file in memory that its maker has closed to changes, in part: half a job would be done. */
static bool is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS); /* fails for other files */

    return seals >= 0 && seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
}

static int check_file(int fd, bool writable, Error *error)
{
    struct stat status;
    int mode = fd_get_access_mode(fd);

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        (mode != O_RDWR && (writable || mode != O_RDONLY)))
        return error_set(error, ERROR_INVALID_FILE,
                         "an image is a regular file that is open for reading%s",
                         writable ? " and writing" : "");
    if (writable && is_sealed(fd))
        return error_set(error, ERROR_INVALID_FILE, "an image that is written must have no seals");
    return 0;
}

/* Takes the files, and locks them: one that is written is the last, and the others are read. */
static int take_files(Job *job, const LaunchRequest *request, Error *error)
{
    bool writes = request->job->type != SUPERVISOR_VERIFY_BOOT;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < request->n_fds; i++) {
        bool writable = writes && i + 1 == request->n_fds;

        r = check_file(request->fds[i], writable, error);
        if (r >= 0)
            r = image_lock(request->fds[i], writable, &job->locks[i], error);
        job->fds[job->n_fds++] = request->fds[i];
    }
    return r;
}

static int load_policy(Job *job, Error *error)
{
    _cleanup_close_ int directory =
        openat(job->box.template_directory, "policy", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (directory < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open the policies");
    return seccomp_policy_load(directory, "disk-worker", &job->policy, error);
}

/* What the worker says of its job. It has seen foreign bytes: nothing it says is taken as it is. */
static int refuse_by_worker(const WorkerMessage *message, Error *error)
{
    char shown[SENTENCE_MAX + 1];

    if (message->error_kind <= ERROR_NONE || message->error_kind >= ERROR_KIND_MAX)
        return error_set_errno(error, ERROR_FAILED, message->error_number, "the job has failed");
    text_escape(message->sentence, strnlen(message->sentence, SENTENCE_MAX), shown, sizeof(shown));
    return error_set(error, (ErrorKind)message->error_kind, "%s", shown);
}

static int receive(int socket_fd, WorkerMessage *ret_message, Error *error)
{
    ssize_t n;

    do
        n = recv(socket_fd, ret_message, sizeof(*ret_message), 0);
    while (n < 0 && errno == EINTR);
    if (n != sizeof(*ret_message) || ret_message->step > BOX_STEP_MAX ||
        ret_message->error_number < 0 || ret_message->error_number > ERROR_NUMBER_MAX)
        return error_set(error, ERROR_FAILED, "the disk worker has ended without an answer");
    if (ret_message->error_number == 0)
        return 0;
    if (ret_message->step == BOX_STEP_MAX)
        return refuse_by_worker(ret_message, error);
    return error_set_errno(error, ERROR_FAILED, ret_message->error_number,
                           "the disk worker cannot %s", box_step_to_string(ret_message->step));
}

/* Waits for the worker, or for the daemon to give the job up: it sends nothing any more, but may
 * close the connection. */
static int wait_for_worker(const Job *job, int socket_fd, Error *error)
{
    struct pollfd polled[] = { { .fd = socket_fd, .events = POLLIN }, { .fd = job->connection } };

    while (poll(polled, ELEMENTS_OF(polled), -1) < 0) {
        if (errno != EINTR)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot wait for the disk worker");
    }
    if (polled[0].revents == 0)
        return error_set(error, ERROR_FAILED, "the daemon has given the job up");
    return 0;
}

/* From here on what the worker says is heard without any privilege. */
static int await_worker(const Job *job, int socket_fd, pid_t pid, Error *error)
{
    WorkerMessage message;

    int r = receive(socket_fd, &message, error);
    if (r < 0)
        return r;
    r = box_map_ids(pid, job->uid, job->gid);
    if (r >= 0 && send(socket_fd, "", 1, MSG_NOSIGNAL) != 1)
        r = -errno;
    if (r >= 0)
        r = job->box.unprivileged ? drop_capabilities() : drop_privileges(job->uid, job->gid);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot let the disk worker begin");
    r = wait_for_worker(job, socket_fd, error);
    return r < 0 ? r : receive(socket_fd, &message, error);
}

static int run_worker(Job *job, Error *error)
{
    int pair[2], pidfd = -EBADF;
    struct clone_args arguments = { .flags = CLONE_PIDFD | (uint64_t)BOX_NAMESPACES,
                                    .pidfd = (uint64_t)(uintptr_t)&pidfd,
                                    .exit_signal = SIGCHLD };
    siginfo_t info;

    job->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* there is none in the box */
    if (job->null_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open /dev/null");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a socket pair");
    _cleanup_close_ int socket_fd = pair[0];
    job->worker_end = pair[1];
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot start the disk worker");
    if (pid == 0) {
        socket_fd = fd_close(socket_fd); /* or its end would not be seen in here */
        worker_main(job);
    }

    _cleanup_close_ int owned_pidfd = pidfd;
    job->worker_end = fd_close(job->worker_end);
    int r = await_worker(job, socket_fd, pid, error);
    if (r < 0)
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    (void)waitid(P_PIDFD, (id_t)owned_pidfd, &info, WEXITED);
    return r;
}

int disk_worker_run(const TemplateOptions *options,
                    bool unprivileged,
                    const LaunchRequest *request,
                    int connection,
                    Error *error)
{
    _cleanup_(job_deinit) Job job = { .message = request->job,
                                      .connection = connection,
                                      .locks = { -EBADF, -EBADF, -EBADF },
                                      .box = BOX_INIT,
                                      .null_fd = -EBADF,
                                      .worker_end = -EBADF };
    _cleanup_close_ int uid_lock = -EBADF;
    int r = check_job(&job, request, error);

    if (r >= 0)
        r = take_files(&job, request, error);
    if (r < 0)
        return r;
    job.uid = geteuid();
    job.box.unprivileged = unprivileged;
    r = unprivileged ? 0 : vm_uid_acquire(&job.uid, &uid_lock, error);
    if (r < 0)
        return r;
    job.gid = unprivileged ? getegid() : (gid_t)job.uid;
    r = box_prepare_empty(&job.box, options, error);
    if (r >= 0)
        r = load_policy(&job, error);
    return r < 0 ? r : run_worker(&job, error);
}
