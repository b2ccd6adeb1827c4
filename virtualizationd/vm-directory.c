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
#include "virtualizationd/state-file.h"

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
    /* Daemons that came and went while a supervisor was stopped are still in its queue, and the
     * next one must find a place in it. Nobody else can reach the directory. */
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
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
                                         VM_DIRECTORY_DEATH_TOLD, STATE_FILE_UNFINISHED };

    if (*id == '\0')
        return; /* a VM that never got as far: it would be the directory of all */
    remove_files(parent, id, names, ELEMENTS_OF(names));
    if (unlinkat(parent, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
        log_warning("cannot remove the directory of VM %s: %s", id, strerror(errno));
}
