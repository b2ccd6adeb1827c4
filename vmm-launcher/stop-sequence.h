/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the steps of an orderly stop (protocol/stop-plan.h), one after the other, while the VM
 * lives. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "protocol/stop-plan.h"

typedef struct StopSequenceHandlers {
    /* Returns how many in the guest hear it: without any, the next step is taken at once. */
    size_t (*ask_guest)(void *userdata);
    void (*press_power_button)(void *userdata);
    void (*kill)(void *userdata);
    /* This step has been taken; STOP_STEP_NONE: all are through, and none was a kill. */
    void (*stepped)(void *userdata, StopStep step);
} StopSequenceHandlers;

typedef struct StopSequence {
    sd_event *event;
    sd_event_source *timer; /* while a step has time left */
    StopStep step;          /* the last that was taken */
    StopPlan plan;
    const StopSequenceHandlers *handlers;
    void *userdata;
} StopSequence;

/* Borrows @event; @handlers outlives it. */
void stop_sequence_init(StopSequence *sequence,
                        sd_event *event,
                        const StopSequenceHandlers *handlers,
                        void *userdata);
void stop_sequence_deinit(StopSequence *sequence);

/* Begins with the steps of @plan; again, when they are through. While a step is under way it makes
 * the stop harsher, and never milder: the shorter times count, from now on, a later first step is
 * taken now, and a kill that either plan has is in it. */
void stop_sequence_run(StopSequence *sequence, const StopPlan *plan);

/* The VM is being killed, by somebody else: if a stop has begun, that is its last step. */
void stop_sequence_cut(StopSequence *sequence);
