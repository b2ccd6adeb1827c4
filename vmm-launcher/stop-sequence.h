/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of an orderly stop: the guest manager is asked, then the ACPI power button is pressed,
 * then the VM is killed. Each step has its time. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef enum StopStep {
    STOP_NONE,
    STOP_ASK_GUEST,
    STOP_POWER_BUTTON,
    STOP_KILL,
} StopStep;

typedef struct StopSequenceHandlers {
    /* Returns how many in the guest hear it: without any, the next step is taken at once. */
    size_t (*ask_guest)(void *userdata);
    void (*press_power_button)(void *userdata);
    void (*kill)(void *userdata);
} StopSequenceHandlers;

typedef struct StopSequence {
    sd_event *event;
    sd_event_source *timer;
    StopStep step;
    uint64_t timeout_usec;
    const StopSequenceHandlers *handlers;
    void *userdata;
} StopSequence;

/* Borrows @event; @handlers outlives it. */
void stop_sequence_init(StopSequence *sequence,
                        sd_event *event,
                        const StopSequenceHandlers *handlers,
                        void *userdata);
void stop_sequence_deinit(StopSequence *sequence);

/* Takes the first step, and the others when the one before has had @timeout_usec. */
void stop_sequence_begin(StopSequence *sequence, uint64_t timeout_usec);
