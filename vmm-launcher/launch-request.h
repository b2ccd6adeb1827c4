/* SPDX-License-Identifier: Apache-2.0 */
/* What a launcher is asked for, received from the daemon: a VM by its spec and descriptors, or a
 * job on files; and the answer. */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "protocol/launch-spec.h"
#include "protocol/supervisor-message.h"

typedef enum LaunchRequestKind {
    REQUEST_VM,
    REQUEST_DISK_JOB,
} LaunchRequestKind;

#define DISK_JOB_FILES_MAX 3

typedef struct LaunchRequest {
    LaunchRequestKind kind;
    LaunchSpec spec; /* of a VM */
    int *fds;        /* owned; by the spec's indexes, or the files of the job */
    size_t n_fds;
    SupervisorMessage *job; /* owned; of a job, as it came */
} LaunchRequest;

/* Waits for the request on @connection, a few seconds at most. */
int launch_request_receive(int connection, LaunchRequest *ret_request, Error *error);
void launch_request_deinit(LaunchRequest *request);

/* Sends the job of @request, with its files, for somebody else to receive. */
int launch_request_forward_job(const LaunchRequest *request, int socket);

/* Tells the daemon that the request is accepted, or refused when @error is set. */
void launch_request_answer(int connection, const Error *error);

/* After a refusal: waits some seconds for the other side to hang up, and takes what it still sends.
 * A socket that is closed with something unread resets the connection, and the answer is lost. */
void launch_request_await_hang_up(int connection);
