/* SPDX-License-Identifier: Apache-2.0 */
/* Cores made by hand, with numbers that a test knows: a header, program headers, and notes behind
 * them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "guest/crash-core.h"

#define MADE_CORE_SIZE_MAX 131072

#define MADE_CORE_TID       77
#define MADE_CORE_BASE      UINT64_C(0x7f0000000000)
#define MADE_CORE_CODE      (MADE_CORE_BASE + 0x1000)
#define MADE_CORE_CODE_SIZE UINT64_C(0x2000)
#define MADE_CORE_OTHER     UINT64_C(0x7f0000100000)
/* What the registers have in them. */
#define MADE_CORE_REGISTER(which) \
    ((which) == CRASH_RIP ? MADE_CORE_CODE + 0x123 : UINT64_C(0x1000) + (unsigned)(which))

typedef struct MadeCore {
    uint8_t bytes[MADE_CORE_SIZE_MAX];
    size_t size;
} MadeCore;

/* One of thread MADE_CORE_TID, which got SIGSEGV: /lib/made.so is mapped at MADE_CORE_BASE, its
 * code a page behind that; the code of /other, without its start, at MADE_CORE_OTHER. */
void made_core_init(MadeCore *made);

/* One without notes. */
void made_core_init_empty(MadeCore *made);
void made_core_put_note(MadeCore *made, uint32_t type, const void *bytes, size_t size);
void made_core_put_status(MadeCore *made, uint32_t thread_id, uint16_t signal);

/* Has the program headers cover all notes; after the last note. */
void made_core_finish(MadeCore *made);

/* Puts the program headers behind the rest, with so many more, each executable. */
void made_core_add_code_segments(MadeCore *made, uint16_t n_segments);
