/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/interrupt.h"

#include <errno.h>
#include <signal.h>

#include "common/cleanup.h"

int interrupt_watch(sd_event *event, sd_event_signal_handler_t on_interrupt, void *userdata)
{
    static const int signals[] = { SIGINT, SIGTERM };
    sigset_t set;
    int r = 0;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTS_OF(signals); i++)
        (void)sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(signals); i++)
        r = sd_event_add_signal(event, NULL, signals[i], on_interrupt, userdata);
    return r;
}
