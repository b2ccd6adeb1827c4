/* SPDX-License-Identifier: Apache-2.0 */
/* Files are opened name by name without following links, not by openat2(2) and RESOLVE_BENEATH: the
 * daemon's seccomp policy allows openat() for reading only, and could not look into the other's
 * argument. */
#include "virtualizationd/os-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json-fields.h"

/* Where the system is, for sentences too. */
typedef struct Place {
    const char *name, *parent; /* lent */
    int fd;                    /* owned; of the directory */
} Place;

static void place_deinit(Place *place)
{
    place->fd = fd_close(place->fd);
}

const char *os_image_get_initrd_name(VmDebugLevel debug_level)
{
    return debug_level == DEBUG_LEVEL_FULL ? "initrd_debug.img" : "initrd_normal.img";
}

/* --- files of the system --- */

static int check_owner(const Place *place,
                       const char *path,
                       const struct stat *status,
                       Error *error)
{
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the operating system '%s' is not to be trusted: %s/%s/%s belongs to uid "
                         "%u: give it to root",
                         place->name, place->parent, place->name, path, status->st_uid);
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the operating system '%s' is not to be trusted: others than its owner "
                         "may write %s/%s/%s: chmod go-w",
                         place->name, place->parent, place->name, path);
    return 0;
}

static int refuse_open(const Place *place, const char *path, int error_number, Error *error)
{
    return error_set_errno(error, ERROR_IMAGE_INVALID, error_number,
                           "the operating system '%s' is incomplete, install it again: %s/%s/%s",
                           place->name, place->parent, place->name, path);
}

/* Opens the last name of @path below @directory_fd. */
static int open_below(int directory_fd, const char *path, int *ret_fd)
{
    _cleanup_free_ char *names = strdup(path);
    _cleanup_close_ int owned_fd = -EBADF;
    char *rest = names, *name;

    if (!names)
        return -ENOMEM;
    while ((name = strsep(&rest, "/"))) {
        int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

        if (*name == '\0' || strcmp(name, "..") == 0)
            return -EXDEV; /* as openat2() has it */
        int fd = openat(directory_fd, name, rest ? flags | O_DIRECTORY : flags);
        if (fd < 0)
            return -errno;
        (void)fd_close(owned_fd);
        directory_fd = owned_fd = fd;
    }
    *ret_fd = take_fd(&owned_fd);
    return 0;
}

static int open_file(const Place *place, const char *path, int *ret_fd, Error *error)
{
    _cleanup_close_ int fd = -EBADF;
    struct stat status;

    int r = open_below(place->fd, path, &fd);
    if (r >= 0 && fstat(fd, &status) < 0)
        r = -errno;
    if (r < 0)
        return refuse_open(place, path, r, error);
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the operating system '%s' has %s/%s/%s, which is no regular file",
                         place->name, place->parent, place->name, path);
    r = check_owner(place, path, &status, error);
    if (r < 0)
        return r;
    *ret_fd = take_fd(&fd);
    return 0;
}

/* --- the description --- */

/* The text of the description, or as much of it as is too much. */
static int read_description(const Place *place, char **ret_text, Error *error)
{
    _cleanup_close_ int fd = -EBADF;
    size_t size;

    int r = open_file(place, OS_IMAGE_DESCRIPTION, &fd, error);
    if (r < 0)
        return r;
    _cleanup_free_ char *text = malloc(JSON_FIELDS_SIZE_MAX + 2);
    if (!text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = fd_read_all(fd, text, JSON_FIELDS_SIZE_MAX + 1, &size);
    if (r < 0)
        return refuse_open(place, OS_IMAGE_DESCRIPTION, -r, error);
    text[size] = '\0';
    if (strlen(text) != size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the operating system '%s' is described wrongly: %s/%s/%s has a NUL",
                         place->name, place->parent, place->name, OS_IMAGE_DESCRIPTION);
    *ret_text = TAKE_PTR(text);
    return 0;
}

/* What the description lacks, or has too much; NULL: it is one of a system for apps. */
static const char *find_fault(const VmConfig *config)
{
    if (config->app)
        return "/payload: a system is none of an app";
    if (!config->kernel)
        return "/bootloader: a system has a 'kernel'";
    if (config->initrd)
        return "/initrd: the debug level chooses it, between 'initrd_normal.img' and "
               "'initrd_debug.img'";
    if (config->n_disks != 1)
        return "/disks: a system has one disk";
    if (config->disks[0].writable || config->disks[0].image)
        return "/disks/0: the disk of a system has read-only partitions";
    return NULL;
}

static int find_vbmeta(const VmConfigDisk *disk, size_t *ret_index)
{
    for (size_t i = 0; i < disk->n_partitions; i++) {
        if (strcmp(disk->partitions[i].label, OS_IMAGE_VBMETA) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    return -ENOENT;
}

static int parse_description(const Place *place, OsImage *image, Error *error)
{
    _cleanup_(error_clear) Error cause = ERROR_INIT;
    _cleanup_free_ char *text = NULL;
    const char *fault = NULL;

    int r = read_description(place, &text, error);
    if (r < 0)
        return r;
    if (vm_config_parse(text, UINT64_MAX, &image->config, &cause) < 0)
        fault = error_get_message(&cause);
    else
        fault = find_fault(image->config);
    if (!fault && find_vbmeta(&image->config->disks[0], &image->vbmeta) < 0)
        fault = "/disks/0/partitions: a system has a partition '" OS_IMAGE_VBMETA "'";
    if (fault)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the operating system '%s' is described wrongly by %s/%s/%s: %s",
                         place->name, place->parent, place->name, OS_IMAGE_DESCRIPTION, fault);
    return 0;
}

/* --- the whole --- */

static int open_partitions(const Place *place, OsImage *image, Error *error)
{
    const VmConfigDisk *disk = &image->config->disks[0];
    int r = 0;

    image->partitions = calloc(disk->n_partitions, sizeof(int));
    if (!image->partitions)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (; r >= 0 && image->n_partitions < disk->n_partitions; image->n_partitions++) {
        image->partitions[image->n_partitions] = -EBADF;
        r = open_file(place, disk->partitions[image->n_partitions].path,
                      &image->partitions[image->n_partitions], error);
    }
    return r;
}

/* Looks in @parent: 1 when the system is there, 0 when not. */
static int find_place(const char *parent, const char *name, Place *ret_place, Error *error)
{
    Place place = { .name = name, .parent = parent, .fd = -EBADF };
    struct stat status;

    _cleanup_close_ int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent_fd < 0 && errno != ENOENT)
        return refuse_open(&place, "", errno, error);
    if (parent_fd < 0)
        return 0;
    _cleanup_close_ int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) < 0)
        return refuse_open(&place, "", errno, error);
    int r = check_owner(&place, "", &status, error);
    if (r < 0)
        return r;
    place.fd = take_fd(&fd);
    *ret_place = place;
    return 1;
}

int os_image_open(const char *const *dirs,
                  const char *name,
                  VmDebugLevel debug_level,
                  OsImage **ret_image,
                  Error *error)
{
    _cleanup_(place_deinit) Place place = { .fd = -EBADF };
    int r = 0;

    for (; r == 0 && *dirs; dirs++)
        r = find_place(*dirs, name, &place, error);
    if (r == 0)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "/payload/os: no operating system '%s' is installed here: "
                         "GetSupportedOsList names those that are",
                         name);
    if (r < 0)
        return r;
    _cleanup_(os_image_freep) OsImage *image = calloc(1, sizeof(*image));
    if (!image)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    image->kernel = image->initrd = -EBADF;
    r = parse_description(&place, image, error);
    if (r >= 0)
        r = open_file(&place, image->config->kernel, &image->kernel, error);
    if (r >= 0)
        r = open_file(&place, os_image_get_initrd_name(debug_level), &image->initrd, error);
    if (r >= 0)
        r = open_partitions(&place, image, error);
    if (r < 0)
        return r;
    *ret_image = TAKE_PTR(image);
    return 0;
}

OsImage *os_image_free(OsImage *image)
{
    if (!image)
        return NULL;

    for (size_t i = 0; i < image->n_partitions; i++)
        (void)fd_close(image->partitions[i]);
    free(image->partitions);
    (void)fd_close(image->kernel);
    (void)fd_close(image->initrd);
    vm_config_free(image->config);
    free(image);
    return NULL;
}
