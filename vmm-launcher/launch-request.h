/* SPDX-License-Identifier: Apache-2.0 */
/* What a launcher is asked for, received from the daemon: a VM by its spec and descriptors, or a
 * job on one file. */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "protocol/launch-spec.h"

typedef enum LaunchRequestKind {
    REQUEST_VM,
    REQUEST_INITIALIZE_PARTITION,
} LaunchRequestKind;

typedef struct LaunchRequest {
    LaunchRequestKind kind;
    LaunchSpec spec; /* of a VM */
    int *fds;        /* owned; by the spec's indexes, or the one file of the job */
    size_t n_fds;
    uint32_t partition_type;
    uint64_t partition_size;
} LaunchRequest;

/* Waits for the request on @connection, a few seconds at most. */
int launch_request_receive(int connection, LaunchRequest *ret_request, Error *error);
void launch_request_deinit(LaunchRequest *request);
