/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's end of the guest link: dials the host over AF_VSOCK, each call on a connection of its
 * own. Calls wait for their reply, at most GUEST_LINK_TIMEOUT_MSEC: the order of the reports is
 * what the host goes by. The messages are protocol/guest-message.h's. */
#pragma once

#include <sys/socket.h>

#include "common/error.h"
#include "protocol/guest-message.h"

#define GUEST_LINK_TIMEOUT_MSEC 5000

typedef struct GuestLink {
    struct sockaddr_storage address; /* of the host; a unit test puts another family here */
    socklen_t address_size;
} GuestLink;

/* Addresses the host: CID 2, and as port the guest's own CID (AVF's rule). Fails when the kernel
 * has no vsock transport. */
int guest_link_init(GuestLink *link, Error *error);

/* Makes @call, which is neither Subscribe nor OpenStream, and waits for the reply. An error reply
 * is -EREMOTEIO. */
int guest_link_call(const GuestLink *link, const GuestCall *call, Error *error);

/* Opens the stream @name. The caller owns *@ret_fd, which does not block. */
int guest_link_open_stream(const GuestLink *link, const char *name, int *ret_fd, Error *error);

/* The open Subscribe call, over which the host's commands come. */
typedef struct GuestSubscription {
    int fd; /* to be polled for input; does not block */
    size_t size;
    char buffer[GUEST_FRAME_SIZE_MAX + 1];
} GuestSubscription;

int guest_subscription_open(GuestSubscription *subscription, const GuestLink *link, Error *error);
void guest_subscription_close(GuestSubscription *subscription);

/* Returns 1 and a command, 0 when none has come yet, or a negative errno when none will come any
 * more: the host hung up (-ECONNRESET), refused, or sent something else. */
int guest_subscription_read(GuestSubscription *subscription,
                            GuestCommand *ret_command,
                            Error *error);
