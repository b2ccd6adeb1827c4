/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/payload-deadline.h"

#include <time.h>

void payload_deadline_init(PayloadDeadline *deadline,
                           sd_event *event,
                           uint64_t timeout_usec,
                           void (*passed)(void *userdata),
                           void *userdata)
{
    *deadline = (PayloadDeadline){
        .event = event, .left_usec = timeout_usec, .passed = passed, .userdata = userdata
    };
}

void payload_deadline_deinit(PayloadDeadline *deadline)
{
    deadline->timer = sd_event_source_disable_unref(deadline->timer);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    PayloadDeadline *deadline = userdata;

    (void)source;
    (void)usec;
    deadline->passed(deadline->userdata);
    return 0;
}

int payload_deadline_run(PayloadDeadline *deadline)
{
    uint64_t left_usec = deadline->left_usec;

    if (left_usec == 0)
        return 0;
    deadline->left_usec = 0;
    return sd_event_add_time_relative(deadline->event, &deadline->timer, CLOCK_MONOTONIC, left_usec,
                                      0, on_timeout, deadline);
}

void payload_deadline_pause(PayloadDeadline *deadline)
{
    uint64_t now, end;

    if (deadline->timer && sd_event_now(deadline->event, CLOCK_MONOTONIC, &now) >= 0 &&
        sd_event_source_get_time(deadline->timer, &end) >= 0) {
        deadline->left_usec = end > now ? end - now : 1;
        deadline->timer = sd_event_source_disable_unref(deadline->timer);
    }
}

void payload_deadline_meet(PayloadDeadline *deadline)
{
    deadline->timer = sd_event_source_disable_unref(deadline->timer);
}
