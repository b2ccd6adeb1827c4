/* SPDX-License-Identifier: Apache-2.0 */
#include "common/nearest-match.h"

#include <string.h>

/* Words that are longer have no near match among ours. */
#define LENGTH_MAX 32

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edit distance with swaps of neighbours: "optimal string alignment", by the usual table. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t length_a = strlen(a), length_b = strlen(b);
    size_t cost[LENGTH_MAX + 1][LENGTH_MAX + 1] = { 0 };

    for (size_t i = 0; i <= length_a; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= length_b; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        for (size_t j = 1; j <= length_b; j++) {
            size_t replaced = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);

            cost[i][j] = min_of(replaced, min_of(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = min_of(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[length_a][length_b];
}

void nearest_match_init(NearestMatch *match, const char *word)
{
    *match = (NearestMatch){ .word = word };
}

void nearest_match_offer(NearestMatch *match, const char *candidate)
{
    size_t word_length = strlen(match->word), candidate_length = strlen(candidate);
    size_t longer = word_length > candidate_length ? word_length : candidate_length;

    if (longer > LENGTH_MAX)
        return;
    size_t distance = edit_distance(match->word, candidate);
    if (distance > 1 && distance > longer / 3)
        return;
    if (!match->best || distance < match->distance) {
        match->best = candidate;
        match->distance = distance;
    }
}
