/* SPDX-License-Identifier: Apache-2.0 */
/* Writes guest output to a descriptor that a client brought, without ever blocking: a little is
 * kept while the client does not read, and what does not fit is dropped and counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

/* Bytes kept for a client that does not read at the moment. */
#define OUTPUT_PENDING_MAX 65536

typedef struct Output Output;

/* For @fd, a client's: an open file description whose non-blocking flag is ours to set, or the
 * same descriptor where there is no need (regular files, sockets). Needs the privilege to open the
 * file anew. */
int output_open(int fd, int *ret_fd);

/* Takes @fd, of output_open(). */
int output_new(sd_event *event, int fd, Output **ret_output);

/* Takes @fd, a socket. Without the look at the kind of file, which a sealed supervisor may not
 * take.
 */
int output_new_for_socket(sd_event *event, int fd, Output **ret_output);
Output *output_free(Output *output);
DEFINE_CLEANUP(Output, output_free);

/* Calls @on_watched when one of @events, or a hang-up, is there on the descriptor of a new output.
 * It and the drained handler may free the output. */
int output_watch(Output *output,
                 int64_t priority,
                 uint32_t events,
                 void (*on_watched)(void *userdata, uint32_t revents),
                 void *userdata);

/* Other events for an output that is watched. */
void output_set_watched(Output *output, uint32_t events);

/* For a stream that no client takes, but may be copied. */
int output_new_without_client(sd_event *event, Output **ret_output);

/* Calls @copy with everything that is written, whatever becomes of it. */
void output_set_copy_handler(Output *output,
                             void (*copy)(void *userdata, const char *data, size_t size),
                             void *userdata);

/* Calls @drained each time everything kept has been written. */
void output_set_drained_handler(Output *output, void (*drained)(void *userdata), void *userdata);

void output_write(Output *output, const char *data, size_t size);

/* Whether something is kept: a source that can wait should. */
bool output_is_behind(const Output *output);

uint64_t output_get_dropped(const Output *output);
