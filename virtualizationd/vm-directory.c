/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"

/* A file that is being written. */
#define UNFINISHED ".unfinished"

int vm_directory_open(int parent, const char *id, int *ret_directory)
{
    int directory = openat(parent, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (directory < 0)
        return -errno;
    *ret_directory = directory;
    return 0;
}

int vm_directory_make(int parent, const char *id, int *ret_directory)
{
    if (mkdirat(parent, id, 0700) < 0)
        return -errno;
    return vm_directory_open(parent, id, ret_directory);
}

/* Through the directory's descriptor: its path may be longer than a socket address. */
static void make_address(int directory, const char *name, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    (void)snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", directory,
                   name);
}

int vm_directory_listen(int directory, const char *name, int type, int *ret_socket)
{
    struct sockaddr_un address;
    _cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    make_address(directory, name, &address);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
        return -errno;

    *ret_socket = take_fd(&fd);
    return 0;
}

int vm_directory_connect(int directory, const char *name, int type, int *ret_socket)
{
    struct sockaddr_un address;
    _cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    make_address(directory, name, &address);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;

    *ret_socket = take_fd(&fd);
    return 0;
}

int vm_directory_write(int directory, const char *name, const void *bytes, size_t size)
{
    const char *rest = bytes;
    size_t left = size;

    if (unlinkat(directory, UNFINISHED, 0) < 0 && errno != ENOENT)
        return -errno;
    _cleanup_close_ int fd =
        openat(directory, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    while (left > 0) {
        ssize_t n = write(fd, rest, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        rest += n;
        left -= (size_t)n;
    }
    /* Not synchronised: what the file tells of does not outlive the machine's memory either. */
    return renameat(directory, UNFINISHED, directory, name) < 0 ? -errno : 0;
}

int vm_directory_read(
    int directory, const char *name, size_t size_max, uint8_t **ret_bytes, size_t *ret_size)
{
    struct stat status;
    size_t size = 0;

    _cleanup_close_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size > (off_t)size_max)
        return -EFBIG;
    size_t wanted = (size_t)status.st_size;
    _cleanup_free_ uint8_t *bytes = malloc(wanted + 1);
    if (!bytes)
        return -ENOMEM;
    while (size < wanted) {
        ssize_t n = read(fd, bytes + size, wanted - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        size += (size_t)n;
    }

    *ret_bytes = TAKE_PTR(bytes);
    *ret_size = size;
    return 0;
}

int vm_directory_rename(int parent, const char *id, const char *from, const char *to)
{
    _cleanup_close_ int directory = -EBADF;

    int r = vm_directory_open(parent, id, &directory);
    if (r < 0)
        return r;
    return renameat(directory, from, directory, to) < 0 ? -errno : 0;
}

void vm_directory_end(int parent, const char *id)
{
    _cleanup_close_ int directory = -EBADF, stub = -EBADF;

    if (vm_directory_open(parent, id, &directory) >= 0)
        (void)vm_directory_connect(directory, VM_DIRECTORY_STUB, SOCK_STREAM, &stub); /* enough */
}

static void remove_files(int parent, const char *id, const char *const *names, size_t n_names)
{
    _cleanup_close_ int directory = -EBADF;

    if (vm_directory_open(parent, id, &directory) < 0)
        return;
    for (size_t i = 0; i < n_names; i++) {
        if (unlinkat(directory, names[i], 0) < 0 && errno != ENOENT)
            log_warning("cannot remove %s of VM %s: %s", names[i], id, strerror(errno));
    }
}

void vm_directory_remove_sockets(int parent, const char *id)
{
    static const char *const names[] = { VM_DIRECTORY_STUB, VM_DIRECTORY_SUPERVISOR };

    remove_files(parent, id, names, ELEMENTS_OF(names));
}

void vm_directory_remove(int parent, const char *id)
{
    static const char *const names[] = { VM_DIRECTORY_STUB,       VM_DIRECTORY_SUPERVISOR,
                                         VM_DIRECTORY_RECORD,     VM_DIRECTORY_DEATH,
                                         VM_DIRECTORY_DEATH_TOLD, UNFINISHED };

    if (*id == '\0')
        return; /* a VM that never got as far: it would be the directory of all */
    remove_files(parent, id, names, ELEMENTS_OF(names));
    if (unlinkat(parent, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
        log_warning("cannot remove the directory of VM %s: %s", id, strerror(errno));
}
