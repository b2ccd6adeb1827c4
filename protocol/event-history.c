/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/event-history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 16

static EventHistoryEntry *entry_at(const EventHistory *history, size_t index)
{
    return &history->entries[(history->first + index) % history->capacity];
}

void event_history_deinit(EventHistory *history)
{
    for (size_t i = 0; i < history->n_entries; i++)
        free(entry_at(history, i)->bytes);
    free(history->entries);
    *history = (EventHistory){ 0 };
}

static int grow(EventHistory *history)
{
    size_t capacity = history->capacity == 0 ? CAPACITY_FIRST : 2 * history->capacity;
    EventHistoryEntry *entries;

    if (capacity > EVENT_HISTORY_MAX)
        capacity = EVENT_HISTORY_MAX;
    entries = calloc(capacity, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; i < history->n_entries; i++)
        entries[i] = *entry_at(history, i);
    free(history->entries);
    history->entries = entries;
    history->capacity = capacity;
    history->first = 0;
    return 0;
}

int event_history_add(EventHistory *history, const SupervisorMessage *message)
{
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];

    if (event_history_find_after(history, message->event_number - 1))
        return -EINVAL;
    if (history->n_entries == history->capacity && history->capacity < EVENT_HISTORY_MAX) {
        int r = grow(history);
        if (r < 0)
            return r;
    }
    size_t size = supervisor_message_encode(message, bytes);
    uint8_t *copy = malloc(size);
    if (!copy)
        return -ENOMEM;

    memcpy(copy, bytes, size);
    if (history->n_entries == history->capacity) {
        free(entry_at(history, 0)->bytes);
        history->first = (history->first + 1) % history->capacity;
        history->n_entries--;
    }
    *entry_at(history, history->n_entries++) =
        (EventHistoryEntry){ .number = message->event_number, .bytes = copy, .size = size };
    return 0;
}

const EventHistoryEntry *event_history_find_after(const EventHistory *history, uint64_t number)
{
    for (size_t i = 0; i < history->n_entries; i++) {
        if (entry_at(history, i)->number > number)
            return entry_at(history, i);
    }
    return NULL;
}
