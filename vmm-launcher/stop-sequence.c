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

static uint64_t get_timeout_usec(const StopSequence *sequence, StopStep step)
{
    return step == STOP_STEP_GUEST ? sequence->plan.guest_timeout_usec
                                   : sequence->plan.acpi_timeout_usec;
}

static void take_step(StopSequence *sequence, StopStep step);

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    StopSequence *sequence = userdata;

    (void)source;
    (void)usec;
    take_step(sequence, sequence->step + 1);
    return 0;
}

/* Whether there is something to wait for. */
static bool ask(StopSequence *sequence, StopStep step)
{
    const StopSequenceHandlers *handlers = sequence->handlers;
    uint64_t timeout_usec = get_timeout_usec(sequence, step);

    if (timeout_usec == 0)
        return false;
    if (step == STOP_STEP_GUEST && handlers->ask_guest(sequence->userdata) == 0)
        return false;
    if (step == STOP_STEP_ACPI)
        handlers->press_power_button(sequence->userdata);
    /* Without a timer the next step comes too early, which is better than never. */
    return sd_event_add_time_relative(sequence->event, &sequence->timer, CLOCK_MONOTONIC,
                                      timeout_usec, 0, on_timeout, sequence) >= 0;
}

/* Takes @step, or the first behind it that can be taken. */
static void take_step(StopSequence *sequence, StopStep step)
{
    const StopSequenceHandlers *handlers = sequence->handlers;

    sequence->timer = sd_event_source_disable_unref(sequence->timer);
    while (step < STOP_STEP_KILL && !ask(sequence, step))
        step++;
    if (step == STOP_STEP_KILL && !sequence->plan.kill) {
        handlers->stepped(sequence->userdata, STOP_STEP_NONE);
        return;
    }
    sequence->step = step;
    handlers->stepped(sequence->userdata, step);
    if (step == STOP_STEP_KILL)
        handlers->kill(sequence->userdata);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Ends the time of the step that is under way when the plan says so. */
static void bring_forward(StopSequence *sequence)
{
    uint64_t now, end, timeout_usec = get_timeout_usec(sequence, sequence->step);

    if (sd_event_now(sequence->event, CLOCK_MONOTONIC, &now) >= 0 &&
        sd_event_source_get_time(sequence->timer, &end) >= 0 && now + timeout_usec < end)
        (void)sd_event_source_set_time(sequence->timer, now + timeout_usec);
}

void stop_sequence_run(StopSequence *sequence, const StopPlan *plan)
{
    StopPlan *own = &sequence->plan;

    if (sequence->step == STOP_STEP_KILL)
        return;
    if (!sequence->timer) {
        *own = *plan;
        take_step(sequence, plan->first);
        return;
    }

    own->guest_timeout_usec = smaller(own->guest_timeout_usec, plan->guest_timeout_usec);
    own->acpi_timeout_usec = smaller(own->acpi_timeout_usec, plan->acpi_timeout_usec);
    own->kill = own->kill || plan->kill;
    if (plan->first > sequence->step)
        take_step(sequence, plan->first);
    else
        bring_forward(sequence);
}

void stop_sequence_cut(StopSequence *sequence)
{
    if (sequence->step == STOP_STEP_NONE || sequence->step == STOP_STEP_KILL)
        return;
    sequence->timer = sd_event_source_disable_unref(sequence->timer);
    sequence->step = STOP_STEP_KILL;
    sequence->handlers->stepped(sequence->userdata, STOP_STEP_KILL);
}
