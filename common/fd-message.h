/* SPDX-License-Identifier: Apache-2.0 */
/* One message and its file descriptors over a SOCK_SEQPACKET socket, never blocking. */
#pragma once

#include <stddef.h>

/* SCM_MAX_FD is 253; a little below it, as kernels have lowered it before. */
#define FD_MESSAGE_FDS_MAX 250

/* Sends @data with @n_fds descriptors, which stay the caller's. -EAGAIN when the socket is full,
 * -EPIPE or -ECONNRESET when the peer is gone. No SIGPIPE. */
int fd_message_send(int socket_fd, const void *data, size_t size, const int *fds, size_t n_fds);

/* Receives one message of at most @capacity bytes into @data and its descriptors, close-on-exec,
 * into @fds, which has room for @fds_capacity; the caller owns them. @ret_size 0 means that the
 * peer is gone. A message or descriptor list that does not fit is -EBADMSG, and nothing is kept. */
int fd_message_receive(int socket_fd,
                       void *data,
                       size_t capacity,
                       size_t *ret_size,
                       int *fds,
                       size_t fds_capacity,
                       size_t *ret_n_fds);
