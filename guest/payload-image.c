/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "guest/modules.h"

#define MOUNT_POINT    "/run/payload"
#define MOUNTED_PATH   MOUNT_POINT "/payload"
#define COPIED_PATH    "/run/payload-program"
#define MODULES_PREFIX "/etc/modules."

#define COPY_BLOCK_SIZE 4096

/* Sources of the numbers: elf(5), execve(2), and the kernel's linux/magic.h with the offset of the
 * super block of each. */
/* clang-format off */
static const struct {
    size_t offset, size;
    const char *magic;
    const char *filesystem;
} formats[PAYLOAD_FORMAT_MAX] = {
    [PAYLOAD_FORMAT_ELF] = { 0, 4, "\177ELF", NULL },
    [PAYLOAD_FORMAT_SCRIPT] = { 0, 2, "#!", NULL },
    [PAYLOAD_FORMAT_EXT4] = { 1024 + 0x38, 2, "\x53\xef", "ext4" },
    [PAYLOAD_FORMAT_EROFS] = { 1024, 4, "\xe2\xe1\xf5\xe0", "erofs" },
    [PAYLOAD_FORMAT_SQUASHFS] = { 0, 4, "hsqs", "squashfs" },
};
/* clang-format on */

PayloadFormat payload_format_detect(const uint8_t *head, size_t size)
{
    for (unsigned i = PAYLOAD_FORMAT_UNKNOWN + 1; i < PAYLOAD_FORMAT_MAX; i++) {
        if (formats[i].offset + formats[i].size <= size &&
            memcmp(head + formats[i].offset, formats[i].magic, formats[i].size) == 0)
            return (PayloadFormat)i;
    }
    return PAYLOAD_FORMAT_UNKNOWN;
}

const char *payload_format_get_filesystem(PayloadFormat format)
{
    return (unsigned)format < PAYLOAD_FORMAT_MAX ? formats[format].filesystem : NULL;
}

/* Reads up to @size bytes at @offset; fewer only at the end. */
static ssize_t read_at(int fd, uint8_t *data, size_t size, off_t offset)
{
    size_t filled = 0;

    while (filled < size) {
        ssize_t n = pread(fd, data + filled, size - filled, offset + (off_t)filled);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        filled += (size_t)n;
    }
    return (ssize_t)filled;
}

int payload_image_copy_program(int source, int destination, PayloadFormat format)
{
    uint8_t block[COPY_BLOCK_SIZE];
    off_t offset = 0, end = 0; /* end: behind the last byte that is not zero */
    ssize_t n;

    while ((n = read_at(source, block, sizeof(block), offset)) > 0) {
        size_t used = (size_t)n;

        while (used > 0 && block[used - 1] == 0)
            used--;
        if (used > 0) {
            ssize_t written = pwrite(destination, block, used, offset);
            if (written < 0)
                return -errno;
            if ((size_t)written != used)
                return -ENOSPC;
            end = offset + (off_t)used;
        }
        offset += n;
    }
    if (n < 0)
        return (int)n;
    /* An ELF file keeps its zeros: a segment may end in them. */
    if (ftruncate(destination, format == PAYLOAD_FORMAT_SCRIPT ? end : offset) < 0)
        return -errno;
    return 0;
}

static int mount_filesystem(const char *device,
                            const char *filesystem,
                            const char *directory,
                            Error *error)
{
    char list[sizeof(MODULES_PREFIX) + 16];

    /* Loaded only when needed: a file system that nobody mounts would cost every boot. What is
     * built into the kernel has no list. */
    (void)snprintf(list, sizeof(list), MODULES_PREFIX "%s", filesystem);
    if (access(list, F_OK) == 0) {
        int r = modules_load(list, error);
        if (r < 0)
            return r;
    }
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make %s", directory);
    if (mount(device, directory, filesystem, MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, errno,
                               "cannot mount the file system (%s) at %s", filesystem, directory);
    return 0;
}

static int copy_program(int source, PayloadFormat format, Error *error)
{
    _cleanup_close_ int fd = open(COPIED_PATH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make %s", COPIED_PATH);

    int r = payload_image_copy_program(source, fd, format);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot copy the payload");
    return 0;
}

/* Opens the device, and looks what is on it. */
static int probe(const char *device, int *ret_fd, PayloadFormat *ret_format, Error *error)
{
    uint8_t head[PAYLOAD_HEAD_SIZE];

    _cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot open %s", device);
    ssize_t size = read_at(fd, head, sizeof(head), 0);
    if (size < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, (int)size, "cannot read %s", device);
    *ret_format = payload_format_detect(head, (size_t)size);
    *ret_fd = take_fd(&fd);
    return 0;
}

int payload_image_mount(const char *device, const char *directory, Error *error)
{
    _cleanup_close_ int fd = -EBADF;
    PayloadFormat format;

    int r = probe(device, &fd, &format, error);
    if (r < 0)
        return r;
    const char *filesystem = payload_format_get_filesystem(format);
    return filesystem ? mount_filesystem(device, filesystem, directory, error)
                      : error_set(error, ERROR_IMAGE_INVALID, "the image is no known file system");
}

int payload_image_prepare(const char *device, PayloadProgram *ret_program, Error *error)
{
    _cleanup_close_ int fd = -EBADF;
    PayloadProgram program;
    PayloadFormat format;
    struct stat status;

    int r = probe(device, &fd, &format, error);
    if (r < 0)
        return r;
    if (format == PAYLOAD_FORMAT_UNKNOWN)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the payload is neither a program nor a known file system");

    const char *filesystem = payload_format_get_filesystem(format);
    r = filesystem ? mount_filesystem(device, filesystem, MOUNT_POINT, error)
                   : copy_program(fd, format, error);
    if (r < 0)
        return r;

    program = filesystem ? (PayloadProgram){ .path = MOUNTED_PATH, .directory = MOUNT_POINT }
                         : (PayloadProgram){ .path = COPIED_PATH, .directory = "/" };
    if (stat(program.path, &status) < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, errno, "there is no /payload");
    if (!S_ISREG(status.st_mode) || !(status.st_mode & S_IXOTH))
        return error_set(error, ERROR_IMAGE_INVALID, "/payload is not an executable file");

    *ret_program = program;
    return 0;
}
