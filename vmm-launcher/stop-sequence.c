/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/stop-sequence.h"

#include <time.h>

void stop_sequence_init(StopSequence *sequence,
                        sd_event *event,
                        const StopSequenceHandlers *handlers,
                        void *userdata)
{
    *sequence = (StopSequence){ .event = event, .handlers = handlers, .userdata = userdata };
}

void stop_sequence_deinit(StopSequence *sequence)
{
    sequence->timer = sd_event_source_disable_unref(sequence->timer);
}

static void next_step(StopSequence *sequence);

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    next_step(userdata);
    return 0;
}

static void next_step(StopSequence *sequence)
{
    const StopSequenceHandlers *handlers = sequence->handlers;

    sequence->timer = sd_event_source_disable_unref(sequence->timer);
    sequence->step++;
    if (sequence->step == STOP_ASK_GUEST && handlers->ask_guest(sequence->userdata) == 0)
        sequence->step++;
    if (sequence->step == STOP_POWER_BUTTON)
        handlers->press_power_button(sequence->userdata);
    if (sequence->step >= STOP_KILL ||
        sd_event_add_time_relative(sequence->event, &sequence->timer, CLOCK_MONOTONIC,
                                   sequence->timeout_usec, 0, on_timeout, sequence) < 0)
        handlers->kill(sequence->userdata);
}

void stop_sequence_begin(StopSequence *sequence, uint64_t timeout_usec)
{
    sequence->timeout_usec = timeout_usec;
    next_step(sequence);
}
