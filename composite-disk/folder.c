/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/zip-reader.h"
#include "composite-disk/zip-sections.h"

static void close_directory(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

void folder_deinit(Folder *folder)
{
    for (size_t i = 0; i < folder->n_entries; i++)
        free(folder->entries[i].name);
    free(folder->entries);
    folder->entries = NULL;
    folder->n_entries = 0;
    folder->fd = fd_close(folder->fd);
}

/* What was no link when it was listed may be one now; and a pipe would wait for its other end. */
static int open_beneath(int fd, const char *name, uint64_t flags)
{
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    long opened = syscall(SYS_openat2, fd, name, &how, sizeof(how));

    return opened < 0 ? -errno : (int)opened;
}

static int add_entry(Folder *folder, const FolderEntry *entry, Error *error)
{
    if (folder->n_entries == ZIP_ENTRIES_MAX)
        return error_set(error, ERROR_INVALID_FILE, "more than %d files and directories",
                         ZIP_ENTRIES_MAX);
    FolderEntry *entries =
        reallocarray(folder->entries, folder->n_entries + 1, sizeof(*folder->entries));
    if (!entries)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    folder->entries = entries;
    entries[folder->n_entries++] = *entry;
    return 0;
}

static const char *describe(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFLNK:
        return "a symbolic link";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* Adds @name of the directory @parent, whose own name ends with a slash, or is empty. */
static int add_child(
    Folder *folder, int directory_fd, const char *parent, const char *child, Error *error)
{
    _cleanup_free_ char *name = NULL;
    FolderEntry entry = { 0 };
    const char *reason;
    struct stat status;

    if (fstatat(directory_fd, child, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at '%s%s'", parent,
                               child);
    entry.is_directory = S_ISDIR(status.st_mode);
    if (!entry.is_directory && !S_ISREG(status.st_mode))
        return error_set(error, ERROR_INVALID_FILE,
                         "'%s%s' is %s; a payload has files and directories", parent, child,
                         describe(status.st_mode));
    if (asprintf(&name, "%s%s%s", parent, child, entry.is_directory ? "/" : "") < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (zip_check_name(name, strlen(name), &reason) < 0)
        return error_set(error, ERROR_INVALID_FILE, "'%s' cannot be in a zip: %s", name, reason);
    if (!entry.is_directory) {
        entry.size = (uint64_t)status.st_size;
        entry.is_executable = (status.st_mode & 0111) != 0;
    }
    entry.name = name;
    int r = add_entry(folder, &entry, error);
    if (r < 0)
        return r;
    (void)TAKE_PTR(name);
    folder->size += entry.size;
    return 0;
}

static int list_directory(Folder *folder, const char *name, Error *error)
{
    _cleanup_(close_directory) DIR *directory = NULL;
    _cleanup_close_ int fd = open_beneath(folder->fd, *name ? name : ".", O_DIRECTORY);
    struct dirent *child;
    int r = 0;

    directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory)
        return error_set_errno(error, ERROR_INVALID_FILE, fd < 0 ? fd : errno,
                               "cannot list the directory '%s'", name);
    (void)take_fd(&fd); /* the directory's now */
    while (r >= 0 && (errno = 0, child = readdir(directory))) {
        if (strcmp(child->d_name, ".") != 0 && strcmp(child->d_name, "..") != 0)
            r = add_child(folder, dirfd(directory), name, child->d_name, error);
    }
    if (r >= 0 && errno != 0)
        r = error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot list the directory '%s'",
                            name);
    return r;
}

static int compare_entries(const void *one, const void *other)
{
    return strcmp(((const FolderEntry *)one)->name, ((const FolderEntry *)other)->name);
}

int folder_read(const char *path, Folder *ret_folder, Error *error)
{
    _cleanup_(folder_deinit) Folder folder = FOLDER_INIT;

    folder.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder.fd < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot open the directory '%s'",
                               path);
    int r = list_directory(&folder, "", error);
    /* The list grows while it is walked. Names bound the depth. */
    for (size_t i = 0; r >= 0 && i < folder.n_entries; i++) {
        if (folder.entries[i].is_directory)
            r = list_directory(&folder, folder.entries[i].name, error);
    }
    if (r < 0)
        return r;
    if (folder.n_entries == 0)
        return error_set(error, ERROR_INVALID_FILE, "the directory '%s' is empty", path);
    qsort(folder.entries, folder.n_entries, sizeof(*folder.entries), compare_entries);
    *ret_folder = folder;
    folder = (Folder)FOLDER_INIT;
    return 0;
}

int folder_open_file(const Folder *folder,
                     const FolderEntry *entry,
                     ByteSource *ret_source,
                     Error *error)
{
    _cleanup_close_ int fd = open_beneath(folder->fd, entry->name, 0);
    struct stat status;

    if (fd < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, fd, "cannot open '%s'", entry->name);
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(error, ERROR_INVALID_FILE, "'%s' is no file any more", entry->name);
    int r = byte_source_from_fd(fd, entry->name, ret_source, error);
    if (r < 0)
        return r;
    (void)take_fd(&fd); /* the source has it */
    return 0;
}
