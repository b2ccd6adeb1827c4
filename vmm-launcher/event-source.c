/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/event-source.h"

#include <sys/epoll.h>

int event_source_add_input(sd_event *event,
                           sd_event_source **ret_source,
                           int fd,
                           int64_t priority,
                           const char *description,
                           sd_event_io_handler_t handler,
                           void *userdata)
{
    int r = sd_event_add_io(event, ret_source, fd, EPOLLIN, handler, userdata);
    if (r < 0)
        return r;

    (void)sd_event_source_set_priority(*ret_source, priority);
    (void)sd_event_source_set_description(*ret_source, description);
    return 0;
}
