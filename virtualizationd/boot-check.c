/* SPDX-License-Identifier: Apache-2.0 */
/* A result is of files as fstat() shows them. They are looked at before the worker reads them, so
 * one that changes meanwhile has another identity for who comes next. Only good results are kept: a
 * bad one may be the machine's mood, and whoever repairs the file is not to wait for us. */
#include "virtualizationd/boot-check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define N_FILES 3

typedef struct FileIdentity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
} FileIdentity;

struct BootCheck {
    LIST_ENTRY(BootCheck) link;
    FileIdentity files[N_FILES];
    AvbBootInitrd initrd_kind;
    bool passed;                          /* or else a worker is at it */
    LIST_HEAD(, BootCheckWaiter) waiters; /* for it */
};

static int identify(const BootFiles *files, BootCheck *check, Error *error)
{
    const int fds[N_FILES] = { files->vbmeta, files->kernel, files->initrd };
    struct stat status;

    check->initrd_kind = files->initrd_kind;
    for (size_t i = 0; i < N_FILES; i++) {
        if (fstat(fds[i], &status) < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot look at a boot file");
        check->files[i] = (FileIdentity){
            .device = status.st_dev,
            .inode = status.st_ino,
            .size = status.st_size,
            .modified = status.st_mtim,
            .changed = status.st_ctim,
        };
    }
    return 0;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const BootCheck *a, const BootCheck *b)
{
    for (size_t i = 0; i < N_FILES; i++) {
        const FileIdentity *x = &a->files[i], *y = &b->files[i];

        if (x->device != y->device || x->inode != y->inode || x->size != y->size ||
            !is_same_time(x->modified, y->modified) || !is_same_time(x->changed, y->changed))
            return false;
    }
    return a->initrd_kind == b->initrd_kind;
}

static BootCheck *find(const Daemon *daemon, const BootCheck *like)
{
    BootCheck *check;

    LIST_FOREACH(check, &daemon->boot_checks, link)
    {
        if (is_same(check, like))
            return check;
    }
    return NULL;
}

static void release(BootCheck *check)
{
    LIST_REMOVE(check, link);
    free(check);
}

/* Makes room for one more result. The newest are at the head. */
static void forget_oldest(Daemon *daemon)
{
    BootCheck *check, *oldest = NULL;
    size_t n_kept = 0;

    LIST_FOREACH(check, &daemon->boot_checks, link)
    {
        if (check->passed) {
            n_kept++;
            oldest = check;
        }
    }
    if (n_kept >= BOOT_CHECKS_KEPT_MAX)
        release(oldest);
}

static void on_done(void *userdata, const Error *error)
{
    BootCheck *check = userdata;
    BootCheckWaiter *waiter;

    check->passed = error->kind == ERROR_NONE;
    while ((waiter = LIST_FIRST(&check->waiters))) {
        boot_check_leave(waiter);
        waiter->done(waiter->userdata, error);
    }
    if (!check->passed)
        release(check);
}

/* A check without waiters that a worker has begun. */
static int start(Daemon *daemon, const BootFiles *files, BootCheck **ret_check, Error *error)
{
    BootCheck *check = calloc(1, sizeof(*check));

    if (!check)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = identify(files, check, error);
    if (r >= 0)
        r = disk_job_verify_boot(daemon, files, on_done, check, error);
    if (r < 0) {
        free(check);
        return r;
    }
    forget_oldest(daemon);
    LIST_INSERT_HEAD(&daemon->boot_checks, check, link);
    *ret_check = check;
    return 0;
}

int boot_check_begin(Daemon *daemon, const BootFiles *files, BootCheckWaiter *waiter, Error *error)
{
    BootCheck like;

    int r = identify(files, &like, error);
    if (r < 0)
        return r;
    BootCheck *check = find(daemon, &like);
    if (check && check->passed)
        return 1;
    if (!check) {
        r = start(daemon, files, &check, error);
        if (r < 0)
            return r;
    }
    waiter->check = check;
    LIST_INSERT_HEAD(&check->waiters, waiter, link);
    return 0;
}

void boot_check_leave(BootCheckWaiter *waiter)
{
    if (!waiter->check)
        return;
    LIST_REMOVE(waiter, link);
    waiter->check = NULL;
}

void boot_check_forget_all(Daemon *daemon)
{
    while (!LIST_EMPTY(&daemon->boot_checks))
        release(LIST_FIRST(&daemon->boot_checks));
}
