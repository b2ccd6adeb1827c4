/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the supervisor add to its event loop. */
#pragma once

#include <stdint.h>

#include <systemd/sd-event.h>

/* Calls @handler whenever @fd can be read. Errors are those of sd_event_add_io(3). */
int event_source_add_input(sd_event *event,
                           sd_event_source **ret_source,
                           int fd,
                           int64_t priority,
                           const char *description,
                           sd_event_io_handler_t handler,
                           void *userdata);
