/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/disk-job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "common/fd-message.h"
#include "common/fd.h"
#include "common/text.h"
#include "composite-disk/partition-image.h"
#include "protocol/supervisor-message.h"
#include "virtualizationd/launcher.h"
#include "virtualizationd/vm.h"

struct DiskJob {
    LIST_ENTRY(DiskJob) link;
    int connection; /* to the launcher */
    sd_event_source *io;
    BusCall *call; /* whose job it is; NULL: the daemon's own, whose end these hear of */
    DiskJobDone done;
    void *userdata;
    QuotaCharge charge;
};

/* Its call has its reply, or will get one from whoever returns its error. */
static void release(DiskJob *job)
{
    LIST_REMOVE(job, link);
    sd_event_source_disable_unref(job->io);
    (void)fd_close(job->connection);
    bus_call_unref(job->call);
    quota_charge_release(&job->charge);
    free(job);
}

/* Ends the job; @error, unless it is clear, says what it has failed of. */
static void conclude(DiskJob *job, const Error *error)
{
    DiskJobDone done = job->done;
    void *userdata = job->userdata;

    if (job->call && error->kind != ERROR_NONE)
        bus_call_reply_error(job->call, error);
    else if (job->call)
        bus_call_reply(job->call, DBUS_TYPE_INVALID);
    release(job);
    if (done)
        done(userdata, error);
}

void disk_job_give_up(DiskJob *job)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)error_set(&error, ERROR_UNAVAILABLE, "the job was given up: call again");
    conclude(job, &error);
}

void disk_job_client_gone(Daemon *daemon, const char *name)
{
    DiskJob *job, *next;

    for (job = LIST_FIRST(&daemon->disk_jobs); job; job = next) {
        next = LIST_NEXT(job, link);
        if (job->call && strcmp(bus_call_get_caller(job->call)->name, name) == 0)
            disk_job_give_up(job);
    }
}

static void answer(DiskJob *job, const SupervisorMessage *message)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (message->type == SUPERVISOR_REFUSED)
        (void)error_set(&error, message->error_kind, "%s", message->text);
    else if (message->type != SUPERVISOR_ACCEPTED)
        (void)error_set(&error, ERROR_FAILED, "the launcher ended without an answer");
    conclude(job, &error);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    DiskJob *job = userdata;
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    SupervisorMessage message = { 0 };
    size_t size, n_fds;

    (void)source;
    (void)revents;
    int r = fd_message_receive(fd, bytes, sizeof(bytes), &size, NULL, 0, &n_fds);
    if (r == -EAGAIN)
        return 0;
    if (r < 0 || size == 0 || supervisor_message_decode(bytes, size, &message) < 0)
        message.type = 0; /* no answer */
    answer(job, &message);
    return 0;
}

static int check_image(Daemon *daemon, int fd, Error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at the image");
    if (!S_ISREG(status.st_mode) || fd_get_access_mode(fd) != O_RDWR)
        return error_set(error, ERROR_INVALID_FILE,
                         "the image is no regular file that is open for reading and writing");
    const Vm *user = vm_find_image_user(daemon, &status);
    if (user)
        return error_set(error, ERROR_IMAGE_BUSY, "the image is used by VM '%s'", user->name);
    return 0;
}

/* A job is a call that waits, too. */
static int charge_job(Daemon *daemon, uid_t uid, QuotaCharge *charge, Error *error)
{
    int r = quota_charge_open(daemon->quota, uid, charge, error);

    if (r >= 0)
        r = quota_charge_set(charge, QUOTA_DISK_JOBS, 1, error);
    if (r >= 0)
        r = quota_charge_set(charge, QUOTA_CALLS, 1, error);
    return r;
}

/* Gives the job to a new launcher, which answers once. @ret_job, which is lent, is not in the hands
 * of a client yet: see start_call_job(). */
static int start_job(Daemon *daemon,
                     const SupervisorMessage *message,
                     const int *fds,
                     size_t n_fds,
                     DiskJob **ret_job,
                     Error *error)
{
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size = supervisor_message_encode(message, bytes);
    _cleanup_close_ int connection = -EBADF;

    int r = launcher_connect(daemon->launcher_socket, &connection, error);
    if (r < 0)
        return r;
    r = fd_message_send(connection, bytes, size, fds, n_fds);
    if (r < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, r, "cannot send the launcher its job");
    DiskJob *job = calloc(1, sizeof(*job));
    if (!job)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    job->connection = take_fd(&connection);
    LIST_INSERT_HEAD(&daemon->disk_jobs, job, link);
    r = sd_event_add_io(daemon->event, &job->io, job->connection, EPOLLIN, on_connection, job);
    if (r < 0) {
        release(job);
        return error_set_errno(error, ERROR_FAILED, r, "cannot watch the launcher");
    }
    (void)sd_event_source_set_description(job->io, "disk-worker");
    *ret_job = job;
    return 0;
}

/* The same for @call, which its end answers. */
static int start_call_job(Daemon *daemon,
                          const SupervisorMessage *message,
                          const int *fds,
                          size_t n_fds,
                          BusCall *call,
                          Error *error)
{
    _cleanup_(quota_charge_release) QuotaCharge charge = { 0 };
    DiskJob *job;

    int r = charge_job(daemon, bus_call_get_caller(call)->uid, &charge, error);
    if (r >= 0)
        r = start_job(daemon, message, fds, n_fds, &job, error);
    if (r < 0)
        return r;
    job->call = bus_call_ref(call);
    job->charge = charge;
    charge = (QuotaCharge){ 0 }; /* it is the job's */
    return 0;
}

int disk_job_initialize_partition(
    Daemon *daemon, int fd, uint64_t size, const char *type, BusCall *call, Error *error)
{
    _cleanup_close_ int image = fd;
    PartitionType partition_type;
    char shown[128];
    uint64_t rounded;

    if (partition_type_from_string(type, &partition_type) < 0) {
        text_escape(type, strlen(type), shown, sizeof(shown));
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the type of a partition is 'raw', 'android-vm-instance' or "
                         "'encryptedstore', not '%s'",
                         shown);
    }
    if (partition_image_round_size(size, &rounded) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "a partition cannot have %ju bytes",
                         (uintmax_t)size);
    int r = check_image(daemon, image, error);
    if (r < 0)
        return r;

    const SupervisorMessage message = { .type = SUPERVISOR_INITIALIZE_PARTITION,
                                        .value = partition_type,
                                        .size = size };
    return start_call_job(daemon, &message, &image, 1, call, error);
}

static int check_apk(int apk, int idsig, Error *error)
{
    struct stat status, other;
    int mode = fd_get_access_mode(apk);

    if (fstat(apk, &status) < 0 || fstat(idsig, &other) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at the files");
    if (!S_ISREG(status.st_mode) || (mode != O_RDONLY && mode != O_RDWR))
        return error_set(error, ERROR_INVALID_FILE,
                         "an APK is a regular file that is open for reading");
    if (status.st_dev == other.st_dev && status.st_ino == other.st_ino)
        return error_set(error, ERROR_INVALID_FILE, "APK and idsig are the same file");
    return 0;
}

int disk_job_create_or_update_idsig(
    Daemon *daemon, int apk_fd, int idsig_fd, BusCall *call, Error *error)
{
    const SupervisorMessage message = { .type = SUPERVISOR_CREATE_IDSIG };
    _cleanup_close_ int apk = apk_fd;
    _cleanup_close_ int idsig = idsig_fd;
    const int fds[] = { apk, idsig };

    int r = check_image(daemon, idsig, error);
    if (r >= 0)
        r = check_apk(apk, idsig, error);
    return r < 0 ? r : start_call_job(daemon, &message, fds, 2, call, error);
}

int disk_job_verify_boot(
    Daemon *daemon, const BootFiles *files, DiskJobDone done, void *userdata, Error *error)
{
    const SupervisorMessage message = { .type = SUPERVISOR_VERIFY_BOOT,
                                        .value = files->initrd_kind };
    const int fds[] = { files->vbmeta, files->kernel, files->initrd };
    DiskJob *job;

    int r = start_job(daemon, &message, fds, ELEMENTS_OF(fds), &job, error);
    if (r < 0)
        return r;
    job->done = done;
    job->userdata = userdata;
    return 0;
}
