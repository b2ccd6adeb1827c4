/* SPDX-License-Identifier: Apache-2.0 */
/* Copies what a pipe brings to a descriptor of ours. The writer of the pipe never waits and drops
 * what does not fit, so the pipe is emptied at once, however slow our own reader is. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

typedef struct OutputCopy OutputCopy;

typedef enum OutputCopyMode {
    OUTPUT_COPY_RAW,
    OUTPUT_COPY_ESCAPED, /* for a terminal, which control characters could drive */
} OutputCopyMode;

/* Copies from @source_fd, which is consumed on success, to @destination_fd, which stays the
 * caller's. @on_done is called once, when all is written or output_copy_get_error() is set. */
int output_copy_new(sd_event *event,
                    int source_fd,
                    int destination_fd,
                    OutputCopyMode mode,
                    void (*on_done)(void *userdata),
                    void *userdata,
                    OutputCopy **ret_copy);
OutputCopy *output_copy_free(OutputCopy *copy);
DEFINE_CLEANUP(OutputCopy, output_copy_free);

/* Copies these bytes as if the source had brought them. -ENOMEM. */
int output_copy_feed(OutputCopy *copy, const void *bytes, size_t size);

/* Nothing more is read of the source. */
void output_copy_end(OutputCopy *copy);

/* From now on an empty pipe is the end, even if somebody still holds its writing end. */
void output_copy_finish(OutputCopy *copy);

bool output_copy_is_done(const OutputCopy *copy);

/* 0, or why copying ended early. */
int output_copy_get_error(const OutputCopy *copy);
