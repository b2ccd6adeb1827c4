/* SPDX-License-Identifier: Apache-2.0 */
/* The last things that happened to a VM, as the messages that tell of them (supervisor-message.h):
 * the supervisor keeps them for the next daemon, the daemon for its clients. When there are too
 * many, the oldest goes; numbers show the gap. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "protocol/supervisor-message.h"

/* Enough for every event that a guest can cause, and for some dozens of suspensions. */
#define EVENT_HISTORY_MAX 256

typedef struct EventHistoryEntry {
    uint64_t number;
    uint8_t *bytes; /* the encoded message */
    size_t size;
} EventHistoryEntry;

/* Starts as { 0 }. */
typedef struct EventHistory {
    EventHistoryEntry *entries; /* a ring of @capacity */
    size_t capacity;
    size_t first;
    size_t n_entries;
} EventHistory;

void event_history_deinit(EventHistory *history);

/* Keeps a copy of @message, which has an event number. -EINVAL when that is not above the last one,
 * -ENOMEM. */
int event_history_add(EventHistory *history, const SupervisorMessage *message);

/* Lends the first entry with a number above @number; NULL when there is none. */
const EventHistoryEntry *event_history_find_after(const EventHistory *history, uint64_t number);
