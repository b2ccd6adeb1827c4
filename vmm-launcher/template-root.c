/* SPDX-License-Identifier: Apache-2.0 */
/* In the cache directory: "template", the current one; "old-*", which some launch may still be
 * mounting; "new-*", one that is being made, or was when its maker was killed; and "lock", held by
 * whoever changes any of these. A launch holds a shared lock on the directory that it uses. */
#include "vmm-launcher/template-root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"
#include "vmm-launcher/template-build.h"

#define TEMPLATE   "template"
#define NEW_PREFIX "new-"
#define OLD_PREFIX "old-"
#define SOURCES    "sources"
#define LOCK       "lock"

#define NAME_SIZE  32
#define FTW_FD_MAX 16

/* What the sources have to be like besides: the layout of the template, and whose VMM it has. */
static void describe_options(const TemplateOptions *options, char line[static TEMPLATE_LINE_MAX])
{
    (void)snprintf(line, TEMPLATE_LINE_MAX, "template 1 of '%s' and '%s'\n", options->vmm_prefix,
                   options->policy_dir);
}

static bool is_current(const TemplateOptions *options, int directory)
{
    char line[TEMPLATE_LINE_MAX], expected[TEMPLATE_LINE_MAX];

    int fd = openat(directory, SOURCES, O_RDONLY | O_CLOEXEC);
    _cleanup_fclose_ FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!file) {
        (void)fd_close(fd);
        return false;
    }

    describe_options(options, expected);
    if (!fgets(line, sizeof(line), file) || strcmp(line, expected) != 0)
        return false;
    while (fgets(line, sizeof(line), file)) {
        char *path = strchr(line, '/');
        size_t length = strlen(line);

        if (!path || line[length - 1] != '\n')
            return false;
        line[length - 1] = '\0';
        template_describe_source(path, expected);
        line[length - 1] = '\n';
        if (strcmp(line, expected) != 0)
            return false;
    }
    return true;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)walk;
    return (type == FTW_DP ? rmdir(path) : unlink(path)) < 0 ? -errno : 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Removes what no launch is using any more. */
static void remove_leftovers(const TemplateOptions *options, int cache)
{
    char path[TEMPLATE_LINE_MAX];
    struct dirent *entry;

    int copy = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (!stream) {
        (void)fd_close(copy);
        return;
    }
    while ((entry = readdir(stream))) {
        if (!has_prefix(entry->d_name, NEW_PREFIX) && !has_prefix(entry->d_name, OLD_PREFIX))
            continue;
        _cleanup_close_ int fd = openat(cache, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
            continue;
        int length = snprintf(path, sizeof(path), "%s/%s", options->cache_dir, entry->d_name);
        if (length >= (int)sizeof(path) ||
            nftw(path, remove_entry, FTW_FD_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
            log_warning("cannot remove %s", path);
    }
    (void)closedir(stream);
}

/* What runs with a VM's rights, and tells root what to load, must be out of everybody's reach. */
static int open_cache(const TemplateOptions *options, int *ret_cache, Error *error)
{
    struct stat status;

    if (mkdir(options->cache_dir, 0755) < 0 && errno != EEXIST)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot make %s",
                               options->cache_dir);
    _cleanup_close_ int fd = open(options->cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot open %s",
                               options->cache_dir);
    if (status.st_uid != geteuid() || (status.st_mode & 0022) != 0)
        return error_set(error, ERROR_START_FAILED,
                         "%s has to belong to uid %u and be writable by nobody else",
                         options->cache_dir, geteuid());
    *ret_cache = take_fd(&fd);
    return 0;
}

static int fill(const TemplateOptions *options, int directory, Error *error)
{
    char line[TEMPLATE_LINE_MAX];

    int fd = openat(directory, SOURCES, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *sources = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!sources) {
        int saved = errno;

        (void)fd_close(fd);
        return error_set_errno(error, ERROR_START_FAILED, saved, "cannot write to %s",
                               options->cache_dir);
    }
    describe_options(options, line);
    (void)fputs(line, sources);
    int r = template_build(options, directory, sources, error);
    if (fclose(sources) != 0 && r >= 0)
        r = error_set_errno(error, ERROR_START_FAILED, errno, "cannot write to %s",
                            options->cache_dir);
    return r;
}

/* Puts a new template in the place of the one that may be there. */
static int replace(const TemplateOptions *options, int cache, Error *error)
{
    char path[PATH_MAX], old_name[NAME_SIZE];
    struct stat status;

    int length = snprintf(path, sizeof(path), "%s/" NEW_PREFIX "XXXXXX", options->cache_dir);
    if (length >= (int)sizeof(path) || !mkdtemp(path) || chmod(path, 0755) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot write to %s",
                               options->cache_dir);
    _cleanup_close_ int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot open %s", path);
    int r = fill(options, directory, error);
    if (r < 0)
        return r;

    if (fstatat(cache, TEMPLATE, &status, 0) == 0) {
        (void)snprintf(old_name, sizeof(old_name), OLD_PREFIX "%ju", (uintmax_t)status.st_ino);
        if (renameat(cache, TEMPLATE, cache, old_name) < 0)
            return error_set_errno(error, ERROR_START_FAILED, errno, "cannot write to %s",
                                   options->cache_dir);
    }
    if (renameat(AT_FDCWD, path, cache, TEMPLATE) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot write to %s",
                               options->cache_dir);
    log_info("made the template root in %s", options->cache_dir);
    return 0;
}

/* 1 when there is a current one, 0 when not. */
static int open_current(const TemplateOptions *options, int cache, int *ret_directory)
{
    struct stat opened, named;

    _cleanup_close_ int directory = openat(cache, TEMPLATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return errno == ENOENT ? 0 : -errno;
    /* Locked first: one that is called "template" under the lock is not removed any more. */
    if (flock(directory, LOCK_SH) < 0 || fstat(directory, &opened) < 0)
        return -errno;
    if (fstatat(cache, TEMPLATE, &named, 0) < 0 || opened.st_ino != named.st_ino ||
        !is_current(options, directory))
        return 0;
    *ret_directory = take_fd(&directory);
    return 1;
}

int template_root_open(const TemplateOptions *options, int *ret_directory, Error *error)
{
    _cleanup_close_ int cache = -EBADF;

    int r = open_cache(options, &cache, error);
    if (r < 0)
        return r;
    r = open_current(options, cache, ret_directory);
    if (r > 0)
        return 0;

    _cleanup_close_ int lock = openat(cache, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot lock %s",
                               options->cache_dir);
    r = open_current(options, cache, ret_directory); /* made by another meanwhile? */
    if (r == 0) {
        r = replace(options, cache, error);
        remove_leftovers(options, cache);
        if (r < 0)
            return r;
        r = open_current(options, cache, ret_directory);
    }
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot use %s", options->cache_dir);
    if (r == 0)
        return error_set(error, ERROR_START_FAILED,
                         "the files that the template root in %s is made of change all the time",
                         options->cache_dir);
    return 0;
}
