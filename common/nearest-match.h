/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several words a mistyped one was meant to be. */
#pragma once

#include <stddef.h>

/* Keeps the best candidate of those offered so far. */
typedef struct NearestMatch {
    const char *word;
    const char *best; /* NULL: nothing near enough yet */
    size_t distance;  /* of the best */
} NearestMatch;

void nearest_match_init(NearestMatch *match, const char *word);

/* @candidate is kept when it needs fewer insertions, deletions, replacements and swaps of
 * neighbours than the best before it, and no more than one or a third of the longer word's length.
 */
void nearest_match_offer(NearestMatch *match, const char *candidate);
