/* SPDX-License-Identifier: Apache-2.0 */
/* The time in which a payload has to report for the first time. It runs while the vCPUs do. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct PayloadDeadline {
    sd_event *event;
    sd_event_source *timer;
    uint64_t left_usec; /* while it does not run; 0: there is no deadline, or not any more */
    void (*passed)(void *userdata);
    void *userdata;
} PayloadDeadline;

/* Borrows @event. @timeout_usec 0: there is no deadline. @passed is called once, when it is over.
 */
void payload_deadline_init(PayloadDeadline *deadline,
                           sd_event *event,
                           uint64_t timeout_usec,
                           void (*passed)(void *userdata),
                           void *userdata);
void payload_deadline_deinit(PayloadDeadline *deadline);

/* The vCPUs run. Negative errno when there is no timer to be had. */
int payload_deadline_run(PayloadDeadline *deadline);

/* The vCPUs stand still. */
void payload_deadline_pause(PayloadDeadline *deadline);

/* The payload has reported: its deadline will not pass. */
void payload_deadline_meet(PayloadDeadline *deadline);
