/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of the guest link: connections of a hostile guest, one Varlink call each
 * (protocol/guest-message.h), or one message of the guest's systemd (protocol/notify-message.h).
 * Every one is bounded in number, size and time; what breaks a bound gets a Varlink error and is
 * closed, and disturbs nothing else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "protocol/guest-message.h"
#include "protocol/notify-message.h"
#include "vmm-launcher/output.h"

/* Connections open at the same time, and how long one may take to send its call. */
#define GUEST_LINK_CONNECTIONS_MAX  16
#define GUEST_LINK_CALL_TIMEOUT_SEC 30

typedef struct GuestLink GuestLink;

typedef struct GuestLinkHandlers {
    /* A report. Negative with a sentence in @error when the VM's state does not allow it. */
    int (*report)(void *userdata, const GuestCall *call, Error *error);
    /* Where the stream of this name goes: NULL when there is no such stream. Its bytes are counted
     * as read and thrown away when *@ret_output is NULL. */
    int (*find_stream)(void *userdata, const char *name, Output **ret_output);
    /* A message of systemd's. */
    void (*notify)(void *userdata, const NotifyMessage *message);
} GuestLinkHandlers;

/* @handlers outlives the result. */
int guest_link_new(sd_event *event,
                   const GuestLinkHandlers *handlers,
                   void *userdata,
                   GuestLink **ret_link);
GuestLink *guest_link_free(GuestLink *link);
DEFINE_CLEANUP(GuestLink, guest_link_free);

/* Takes @fd, our end of a stream that the guest has dialled, for a call of its own or for a message
 * of systemd's. */
void guest_link_accept(GuestLink *link, int fd);
void guest_link_accept_notifier(GuestLink *link, int fd);

/* Sends @command to the guest's subscribers. Returns how many there are. */
size_t guest_link_send_command(GuestLink *link, GuestCommand command);

/* Reads what has come of the stream that goes to @output, if there is one. */
void guest_link_drain(GuestLink *link, const Output *output);

/* Whether a stream has not come to its end: after the VMM's, what it has sent may still be read. */
bool guest_link_has_streams(const GuestLink *link);
