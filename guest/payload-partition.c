/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-partition.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"

#define BLOCK_DIRECTORY "/sys/class/block"

/* The kernel scans a disk's partitions while its driver loads, so the first look finds nearly
 * always what there is; a pause this short does not show in the time to boot. */
#define POLL_PAUSE_MSEC 10

static void cleanup_closedirp(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

int uevent_get(const char *text, const char *key, char value[static UEVENT_VALUE_MAX + 1])
{
    size_t key_size = strlen(key);

    while (*text) {
        size_t size = strcspn(text, "\n");

        if (size > key_size && text[key_size] == '=' && memcmp(text, key, key_size) == 0) {
            size_t value_size = size - key_size - 1;

            if (value_size > UEVENT_VALUE_MAX)
                return -ENOBUFS;
            memcpy(value, text + key_size + 1, value_size);
            value[value_size] = '\0';
            return 0;
        }
        text += size;
        text += strspn(text, "\n");
    }
    return -ENOENT;
}

/* Returns 1 and the name of the device when the block device @name has that label, else 0. */
static int block_device_matches(int directory_fd,
                                const char *name,
                                const char *label,
                                char device[static UEVENT_VALUE_MAX + 1])
{
    char path[300], text[1024], value[UEVENT_VALUE_MAX + 1];

    if ((size_t)snprintf(path, sizeof(path), "%s/uevent", name) >= sizeof(path))
        return 0;
    _cleanup_close_ int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    if (size < 0)
        return 0;
    text[size] = '\0';
    return uevent_get(text, "PARTNAME", value) == 0 && strcmp(value, label) == 0 &&
           uevent_get(text, "DEVNAME", device) == 0;
}

/* Returns 1 when found, 0 when not. */
static int find_once(const char *label, char device[static UEVENT_VALUE_MAX + 1])
{
    _cleanup_(cleanup_closedirp) DIR *directory = opendir(BLOCK_DIRECTORY);
    if (!directory)
        return -errno;

    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry)
            return -errno;
        if (entry->d_name[0] != '.' &&
            block_device_matches(dirfd(directory), entry->d_name, label, device))
            return 1;
    }
}

int payload_partition_find(
    const char *label, Deadline deadline, char *path, size_t capacity, Error *error)
{
    const struct timespec pause = { .tv_nsec = POLL_PAUSE_MSEC * 1000000L };
    char device[UEVENT_VALUE_MAX + 1];
    int r;

    while ((r = find_once(label, device)) == 0) {
        if (deadline_get_left_msec(deadline) == 0)
            return error_set(error, ERROR_INVALID_FILE, "there is no partition '%s'", label);
        (void)nanosleep(&pause, NULL);
    }
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot list the block devices");
    if ((size_t)snprintf(path, capacity, "/dev/%s", device) >= capacity)
        return error_set_errno(error, ERROR_FAILED, ENAMETOOLONG, "cannot use /dev/%s", device);
    return 0;
}
