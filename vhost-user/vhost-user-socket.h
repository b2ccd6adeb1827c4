/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the messages of a vhost-user front-end together from its stream socket, never blocking:
 * a front-end that stops in the middle of a message keeps nobody waiting. */
#pragma once

#include "common/error.h"
#include "vhost-user/vhost-user-protocol.h"

typedef struct VhostUserSocket {
    int fd; /* owned */
    uint8_t buffer[VHOST_USER_MESSAGE_SIZE_MAX];
    size_t received; /* bytes of the current message */
    VhostUserHeader header;
    int fds[VHOST_USER_FDS_MAX]; /* owned; came with the current message */
    size_t n_fds;
} VhostUserSocket;

/* Takes @fd. */
void vhost_user_socket_init(VhostUserSocket *socket, int fd);
void vhost_user_socket_deinit(VhostUserSocket *socket);

/* 1 and a request, for vhost_user_request_deinit(); 0 when more has to arrive; -ECONNRESET when the
 * front-end is gone; any other error is a violation of the protocol, told in @error. */
int vhost_user_socket_receive(VhostUserSocket *socket, VhostUserRequest *ret_request, Error *error);

/* A front-end waits for a reply before it asks again, so that there is always room for one. */
int vhost_user_socket_send(VhostUserSocket *socket, const VhostUserReply *reply, Error *error);
