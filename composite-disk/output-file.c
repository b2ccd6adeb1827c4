/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/output-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/random.h"

#define FILE_MODE 0666 /* less the umask */

/* A name that nobody else has; the caller frees it. NULL when there is none. */
static char *dup_temporary_name(const char *name)
{
    uint64_t random = 0;
    char *temporary;

    if (random_fill(&random, sizeof(random)) < 0)
        return NULL;
    return asprintf(&temporary, ".%.200s.%016" PRIx64, name, random) < 0 ? NULL : temporary;
}

static int open_directory(const char *path, OutputFile *file)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *directory =
        slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

    file->name = strdup(slash ? slash + 1 : path);
    if (!directory || !file->name)
        return -ENOMEM;
    if (*file->name == '\0')
        return -EISDIR;
    file->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return file->directory_fd < 0 ? -errno : 0;
}

static int check_target(const OutputFile *file)
{
    struct stat status;

    if (fstatat(file->directory_fd, file->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!file->replace)
        return -EEXIST;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    return S_ISREG(status.st_mode) || S_ISLNK(status.st_mode) ? 0 : -ENOTSUP;
}

static int open_unnamed(OutputFile *file)
{
    file->fd = openat(file->directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FILE_MODE);
    if (file->fd >= 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        return -errno;

    file->temporary = dup_temporary_name(file->name);
    if (!file->temporary)
        return -ENOMEM;
    file->fd = openat(file->directory_fd, file->temporary,
                      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (file->fd < 0) {
        int r = -errno;
        free(file->temporary);
        file->temporary = NULL;
        return r;
    }
    return 0;
}

int output_file_open(const char *path, bool replace, OutputFile *ret_file, Error *error)
{
    OutputFile file = OUTPUT_FILE_INIT;

    file.replace = replace;
    int r = open_directory(path, &file);
    if (r >= 0)
        r = check_target(&file);
    if (r >= 0)
        r = open_unnamed(&file);
    if (r < 0) {
        output_file_deinit(&file);
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot make '%s'", path);
    }
    *ret_file = file;
    return 0;
}

/* linkat() replaces nothing, so that a file that does gets a name of its own first. */
static int name_unnamed(OutputFile *file)
{
    char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
    if (!file->replace)
        return linkat(AT_FDCWD, link, file->directory_fd, file->name, AT_SYMLINK_FOLLOW) < 0
                   ? -errno
                   : 0;
    file->temporary = dup_temporary_name(file->name);
    if (!file->temporary)
        return -ENOMEM;
    if (linkat(AT_FDCWD, link, file->directory_fd, file->temporary, AT_SYMLINK_FOLLOW) < 0) {
        int r = -errno;
        free(file->temporary);
        file->temporary = NULL;
        return r;
    }
    return 0;
}

/* Gives the temporary name's file its name, which nobody has. NFS, 9p and many file systems in user
 * space know no RENAME_NOREPLACE, and some of them no links: there an empty file takes the name, as
 * the first and only one, and is replaced. */
static int rename_to_new(const OutputFile *file)
{
    int directory = file->directory_fd;

    if (renameat2(directory, file->temporary, directory, file->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    _cleanup_close_ int claim =
        openat(directory, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (claim < 0)
        return -errno;
    if (renameat(directory, file->temporary, directory, file->name) == 0)
        return 0;
    int r = -errno;
    (void)unlinkat(directory, file->name, 0); /* the rename's error is told */
    return r;
}

static int rename_over(const OutputFile *file)
{
    return renameat(file->directory_fd, file->temporary, file->directory_fd, file->name) < 0
               ? -errno
               : 0;
}

static int give_name(OutputFile *file)
{
    if (fsync(file->fd) < 0)
        return -errno;
    if (!file->temporary) {
        int r = name_unnamed(file);
        if (r < 0 || !file->temporary)
            return r;
    }
    int r = file->replace ? rename_over(file) : rename_to_new(file);
    if (r < 0)
        return r;
    free(file->temporary);
    file->temporary = NULL;
    return 0;
}

void output_file_withdraw(const OutputFile *file)
{
    struct stat ours, there;

    if (!file->replace && fstat(file->fd, &ours) == 0 &&
        fstatat(file->directory_fd, file->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        (void)unlinkat(file->directory_fd, file->name, 0); /* the error is another's to tell */
}

int output_file_commit_all(OutputFile *const *files, size_t n_files, Error *error)
{
    for (size_t i = 0; i < n_files; i++) {
        int r = give_name(files[i]);
        if (r >= 0)
            continue;
        for (size_t done = 0; done < i; done++)
            output_file_withdraw(files[done]);
        return error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", files[i]->name);
    }
    /* The files are there either way; that their names outlast a power cut is all this is for. */
    (void)fsync(files[0]->directory_fd);
    return 0;
}

int output_file_commit(OutputFile *file, Error *error)
{
    return output_file_commit_all(&file, 1, error);
}

void output_file_deinit(OutputFile *file)
{
    if (file->temporary)
        (void)unlinkat(file->directory_fd, file->temporary, 0); /* or it stays, and is ours */
    file->fd = fd_close(file->fd);
    file->directory_fd = fd_close(file->directory_fd);
    free(file->name);
    free(file->temporary);
    file->name = file->temporary = NULL;
}
