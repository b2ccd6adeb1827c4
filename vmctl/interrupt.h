/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT and SIGTERM on the event loop. */
#pragma once

#include <systemd/sd-event.h>

/* Blocks both signals and has @event call @on_interrupt, or end the loop if that is NULL. */
int interrupt_watch(sd_event *event, sd_event_signal_handler_t on_interrupt, void *userdata);
