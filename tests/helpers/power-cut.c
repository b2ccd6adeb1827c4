/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helpers/power-cut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define COMBINED_MAX 8 /* sectors of which all combinations are tried */

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

static PowerCut *current; /* what notes; NULL: nothing is noted */

/* --- noting --- */

static bool note(DiskRequest request)
{
    if (!current)
        return true;
    assert_true(current->n_requests < POWER_CUT_REQUESTS_MAX);
    current->requests[current->n_requests++] = request;
    return current->fail_at == 0 || current->n_requests < current->fail_at;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    DiskRequest request = { .offset = (uint64_t)offset, .size = size };

    if (current) {
        assert_int_equal(offset % POWER_CUT_SECTOR, 0);
        request.bytes = malloc(size + 1);
        assert_non_null(request.bytes);
        memcpy(request.bytes, bytes, size);
    }
    if (!note(request)) {
        errno = EIO;
        return -1;
    }
    return __real_pwrite(fd, bytes, size, offset);
}

static bool note_flush(void)
{
    bool works = note((DiskRequest){ .is_flush = true });

    errno = EIO;
    return works;
}

int __wrap_fsync(int fd)
{
    return note_flush() ? __real_fsync(fd) : -1;
}

int __wrap_fdatasync(int fd)
{
    return note_flush() ? __real_fdatasync(fd) : -1;
}

void power_cut_begin(PowerCut *cut, size_t fail_at)
{
    assert_null(current);
    *cut = (PowerCut){ .fail_at = fail_at };
    current = cut;
}

void power_cut_end(void)
{
    assert_non_null(current);
    current = NULL;
}

void power_cut_deinit(PowerCut *cut)
{
    for (size_t i = 0; i < cut->n_requests; i++)
        free(cut->requests[i].bytes);
    cut->n_requests = 0;
}

/* --- states --- */

/* What was written between two flushes, and what was on the disk before it. */
typedef struct Window {
    const DiskRequest *requests;
    size_t n_requests, n_sectors;
    const uint8_t *flushed;
    size_t size;
    uint8_t *bytes;
    PowerCutJudge judge;
    void *userdata;
} Window;

typedef enum Choice {
    CHOOSE_FIRST,  /* those before the number */
    CHOOSE_LAST,   /* the others */
    CHOOSE_ONE,    /* only this one */
    CHOOSE_OTHERS, /* all but this one */
    CHOOSE_BITS,   /* those whose bit is set in the number */
    CHOICE_MAX,
} Choice;

static bool is_chosen(Choice choice, size_t number, size_t sector)
{
    switch (choice) {
    case CHOOSE_FIRST:
        return sector < number;
    case CHOOSE_LAST:
        return sector >= number;
    case CHOOSE_ONE:
        return sector == number;
    case CHOOSE_OTHERS:
        return sector != number;
    case CHOOSE_BITS:
        return number >> sector & 1;
    case CHOICE_MAX:
    default:
        fail();
        return false;
    }
}

static void try_state(const Window *window, Choice choice, size_t number)
{
    size_t sector = 0;

    memcpy(window->bytes, window->flushed, window->size);
    for (size_t i = 0; i < window->n_requests; i++) {
        const DiskRequest *request = &window->requests[i];

        assert_true(request->offset + request->size <= window->size);
        for (size_t at = 0; at < request->size; at += POWER_CUT_SECTOR, sector++) {
            size_t left = request->size - at;

            if (is_chosen(choice, number, sector))
                memcpy(window->bytes + request->offset + at, request->bytes + at,
                       left < POWER_CUT_SECTOR ? left : POWER_CUT_SECTOR);
        }
    }
    window->judge(window->bytes, window->userdata);
}

static void try_window(Window *window)
{
    window->n_sectors = 0;
    for (size_t i = 0; i < window->n_requests; i++)
        window->n_sectors += (window->requests[i].size + POWER_CUT_SECTOR - 1) / POWER_CUT_SECTOR;
    if (window->n_sectors <= COMBINED_MAX) {
        for (size_t bits = 0; bits < (size_t)1 << window->n_sectors; bits++)
            try_state(window, CHOOSE_BITS, bits);
        return;
    }
    for (size_t number = 0; number < window->n_sectors; number++) {
        for (Choice choice = CHOOSE_FIRST; choice < CHOOSE_BITS; choice++)
            try_state(window, choice, number);
    }
}

void power_cut_try(
    const PowerCut *cut, const uint8_t *before, size_t size, PowerCutJudge judge, void *userdata)
{
    _cleanup_free_ uint8_t *flushed = malloc(size), *bytes = malloc(size);
    Window window = { .flushed = flushed, .size = size, .bytes = bytes };
    size_t first = 0;

    assert_non_null(flushed);
    assert_non_null(bytes);
    window.judge = judge;
    window.userdata = userdata;
    memcpy(flushed, before, size);
    for (size_t i = 0; i < cut->n_requests; i++) {
        if (!cut->requests[i].is_flush)
            continue;
        window.requests = &cut->requests[first];
        window.n_requests = i - first;
        try_window(&window);
        for (; first < i; first++)
            memcpy(flushed + cut->requests[first].offset, cut->requests[first].bytes,
                   cut->requests[first].size);
        first++;
    }
    assert_int_equal(first, cut->n_requests); /* nothing is left in the disk's cache */
    judge(flushed, userdata);
}
