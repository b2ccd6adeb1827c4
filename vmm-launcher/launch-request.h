/* SPDX-License-Identifier: Apache-2.0 */
/* What a launcher is asked for: the spec and its descriptors, received from the daemon. */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "protocol/launch-spec.h"

typedef struct LaunchRequest {
    LaunchSpec spec;
    int *fds; /* owned; by the spec's indexes */
    size_t n_fds;
} LaunchRequest;

/* Waits for the request on @connection, a few seconds at most. */
int launch_request_receive(int connection, LaunchRequest *ret_request, Error *error);
void launch_request_deinit(LaunchRequest *request);
