/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/log-tail.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "dbus/interfaces.h"
#include "vmctl/output.h"

#define LOG_SIZE_MAX 131072 /* more than is kept of any */
#define MOMENT_MSEC  100    /* the supervisor sends at once what it has */

/* The number of bytes; what is there is as good as it gets, so that errors are an end. */
static size_t read_all(int fd, char *text)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    size_t size = 0;

    while (size < LOG_SIZE_MAX && poll(&wait, 1, MOMENT_MSEC) > 0) {
        ssize_t n = read(fd, text + size, LOG_SIZE_MAX - size);
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    return size;
}

int log_tail_read(
    Client *client, const char *path, const char *which, char **ret_text, Error *error)
{
    _cleanup_free_ char *text = malloc(LOG_SIZE_MAX + 1);
    _cleanup_close_ int fd = -EBADF;

    if (!text)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = client_call_for_fd(client,
                               client_new_call(client, path, BUS_VM_INTERFACE, "OpenLog",
                                               DBUS_TYPE_STRING, &which, DBUS_TYPE_INVALID),
                               &fd, error);
    if (r < 0)
        return r;
    size_t size = read_all(fd, text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0')
            text[i] = '.'; /* a string's end it is not */
    }
    text[size] = '\0';
    *ret_text = output_dup_log(text);
    return *ret_text ? 0 : error_set(error, ERROR_NO_MEMORY, "out of memory");
}
