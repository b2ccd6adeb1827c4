/* SPDX-License-Identifier: Apache-2.0 */
/* Where guest-manager gets its payload from: a partition that holds it as it is (raw-payload.c), or
 * the signed archive of an app VM (app-payload.c). Each program has one. */
#pragma once

#include "common/error.h"
#include "guest/boot-times.h"
#include "guest/payload-service.h"
#include "guest/payload.h"
#include "protocol/guest-message.h"

typedef struct PayloadState PayloadState;

typedef struct PayloadSource {
    /* Readies the machine as far as it was not done by an earlier stage; before the console is
     * opened. */
    int (*set_up)(Error *error);

    /* Makes the payload runnable: *@ret_options lends from *@ret_state. When it fails, @ret_code is
     * what the host is told besides the sentence. @times gets what steps there are. */
    int (*prepare)(PayloadState **ret_state,
                   PayloadOptions *ret_options,
                   BootTimes *times,
                   GuestErrorCode *ret_code,
                   Error *error);

    /* Whether whoever starts the VM may look into it, once it is prepared: by commands
     * (exec-service.h) and in the log. */
    bool (*is_debuggable)(const PayloadState *state);

    /* Lends what answers the payload's calls; NULL when nothing does. */
    PayloadService *(*get_service)(PayloadState *state);

    /* Once nothing of the payload runs any more: what it wrote is put on the disk, and *@end, the
     * report of its end, corrected by what only the source knows. */
    void (*finish)(PayloadState *state, GuestCall *end);

    PayloadState *(*free)(PayloadState *state); /* NULL is fine */
} PayloadSource;

extern const PayloadSource raw_payload_source;
extern const PayloadSource app_payload_source;
