/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's link to the daemon (protocol/supervisor-message.h), which may die and come back
 * at any moment. What happens to the VM is kept here, and sent in order to whichever daemon is
 * there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "protocol/supervisor-message.h"

typedef struct DaemonLink DaemonLink;

typedef struct DaemonLinkHandlers {
    /* A daemon wants something. *@fd, if it is not negative, may be taken. */
    void (*request)(void *userdata, const SupervisorMessage *message, int *fd);
    /* Fills in the state for a daemon that has come back; the rest of @message is done. */
    void (*describe)(void *userdata, SupervisorMessage *message);
    /* No daemon is there any more, or one is there again. */
    void (*lost)(void *userdata);
    void (*found)(void *userdata);
} DaemonLinkHandlers;

/* Takes @connection, of the daemon that asked for the VM, and @listener, a listening socket, or a
 * negative number for none. @handlers outlives the result. Negative errno. */
int daemon_link_new(sd_event *event,
                    int64_t priority,
                    int connection,
                    int listener,
                    const DaemonLinkHandlers *handlers,
                    void *userdata,
                    DaemonLink **ret_link);
DaemonLink *daemon_link_free(DaemonLink *link);
DEFINE_CLEANUP(DaemonLink, daemon_link_free);

/* Something has happened to the VM: gives @message the next number, keeps it and sends it. */
void daemon_link_tell(DaemonLink *link, SupervisorMessage *message);

/* Sends @message, which answers a request: without a daemon it is of no use to anybody. */
void daemon_link_answer(DaemonLink *link, const SupervisorMessage *message);

/* Whether a daemon has still to acknowledge something. */
bool daemon_link_is_behind(const DaemonLink *link);
