/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that loses power: what is asked of it is noted between begin and end, and every state that
 * it could be in at any moment of that is made afterwards. A program that has it is linked with
 * $(power_cut_ldflags). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POWER_CUT_SECTOR       512 /* is written whole or not at all */
#define POWER_CUT_REQUESTS_MAX 16

typedef struct DiskRequest {
    bool is_flush;
    uint64_t offset;
    size_t size;
    uint8_t *bytes; /* owned */
} DiskRequest;

typedef struct PowerCut {
    size_t fail_at; /* this request and all after it fail; 0: none, 1: the first */
    size_t n_requests;
    DiskRequest requests[POWER_CUT_REQUESTS_MAX]; /* in order */
} PowerCut;

/* From here on pwrite(2), fsync(2) and fdatasync(2) of any file are noted in @cut, which is
 * overwritten. */
void power_cut_begin(PowerCut *cut, size_t fail_at);
void power_cut_end(void);
void power_cut_deinit(PowerCut *cut);

/* Calls @judge with every state of a disk that had the @size bytes of @before. Of what was written
 * since the last flush each sector may be there or not: all combinations of a few sectors; of many,
 * the first ones, the last ones, all but one and one alone. The last call has all that was written,
 * which must have been flushed. */
typedef void (*PowerCutJudge)(const uint8_t *bytes, void *userdata);
void power_cut_try(
    const PowerCut *cut, const uint8_t *before, size_t size, PowerCutJudge judge, void *userdata);
