/* SPDX-License-Identifier: Apache-2.0 */
/* The datagram socket on which the payload says that it is ready. A message is text of the form
 * that sd_notify(3) sends; the only line that counts is READY=1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define READY_MESSAGE_SIZE_MAX 1024

bool ready_message_is_ready(const char *message, size_t size);

/* Binds the socket at @path for the user @uid. The caller owns *@ret_fd, which does not block. */
int ready_socket_open(const char *path, uid_t uid, int *ret_fd);

/* Reads all that has come. Returns 1 when the user @uid said READY=1, else 0. */
int ready_socket_receive(int fd, uid_t uid);
