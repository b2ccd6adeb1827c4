/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/virtio-device.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fd.h"

#define DEVICES "/sys/bus/virtio/devices"

/* The device's file "device" holds the type as "0x0005". */
static bool has_type(int devices, const char *name, unsigned type)
{
    char path[300], text[16];

    (void)snprintf(path, sizeof(path), "%s/device", name);
    _cleanup_close_ int fd = openat(devices, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return strtoul(text, NULL, 16) == type;
}

bool virtio_device_is_there(unsigned type)
{
    DIR *directory = opendir(DEVICES);
    const struct dirent *entry;
    bool is_there = false;

    while (directory && !is_there && (entry = readdir(directory)))
        is_there = entry->d_name[0] != '.' && has_type(dirfd(directory), entry->d_name, type);
    if (directory)
        (void)closedir(directory); /* only read */
    return is_there;
}
