/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of a core file of x86-64 Linux, as the kernel pipes it to a crash handler: who
 * crashed, of what, with which registers, and what was mapped. Parsed without any I/O; the crashed
 * program has a say in every byte of it, so nothing is taken for granted. Memory, which follows in
 * the file, is not looked at. Source: elf(5), the kernel's fs/binfmt_elf.c and linux/elfcore.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a core. The kernel's own bounds (65535 mappings, 4 MiB of their names) come to this. */
#define CRASH_CORE_SIZE_MAX (UINT32_C(8) << 20)

/* Mappings with code that are told apart; more, which no ordinary program has, are none. */
#define CRASH_CORE_CODE_MAX 1024

#define CRASH_CORE_NAME_MAX 15 /* the kernel's TASK_COMM_LEN */

/* In the order of struct user_regs_struct. */
typedef enum CrashRegister {
    CRASH_R15,
    CRASH_R14,
    CRASH_R13,
    CRASH_R12,
    CRASH_RBP,
    CRASH_RBX,
    CRASH_R11,
    CRASH_R10,
    CRASH_R9,
    CRASH_R8,
    CRASH_RAX,
    CRASH_RCX,
    CRASH_RDX,
    CRASH_RSI,
    CRASH_RDI,
    CRASH_ORIG_RAX,
    CRASH_RIP,
    CRASH_CS,
    CRASH_EFLAGS,
    CRASH_RSP,
    CRASH_SS,
    CRASH_FS_BASE,
    CRASH_GS_BASE,
    CRASH_DS,
    CRASH_ES,
    CRASH_FS,
    CRASH_GS,
    CRASH_REGISTER_MAX,
} CrashRegister;

typedef struct CrashRange {
    uint64_t start, end;
} CrashRange;

typedef struct CrashCore {
    uint32_t thread_id; /* of the thread that crashed, the first one in the core */
    uint32_t signal;
    uint64_t registers[CRASH_REGISTER_MAX];
    char name[CRASH_CORE_NAME_MAX + 1]; /* of the program; any bytes */

    bool has_details; /* from the signal's siginfo_t: */
    int32_t code;
    uint64_t fault_address;          /* of a signal that the processor caused */
    uint32_t sender_pid, sender_uid; /* of a signal that a process sent */

    CrashRange code_ranges[CRASH_CORE_CODE_MAX];
    size_t n_code_ranges;
    const uint8_t *files; /* lent by the bytes: the note NT_FILE */
    size_t files_size;
} CrashCore;

/* How many bytes of the core are of use, as far as the first @size of them tell: while it is more
 * than @size, more are to be read. At most CRASH_CORE_SIZE_MAX. -EBADMSG for what is no core. */
int crash_core_get_end(const uint8_t *bytes, size_t size, size_t *ret_end);

/* Parses the beginning of a core. Notes that are missing at its end, but the first, are no error;
 * @ret_core lends @bytes. -EBADMSG for what is no core. */
int crash_core_parse(const uint8_t *bytes, size_t size, CrashCore *ret_core);

/* Whether there is code at @address. */
bool crash_core_is_code(const CrashCore *core, uint64_t address);

typedef struct CrashModule {
    const char *path; /* lent by the core; no NUL ends it */
    size_t path_size;
    uint64_t base; /* where the file's first byte is mapped */
} CrashModule;

/* Finds the file that is mapped at @address. */
bool crash_core_find_module(const CrashCore *core, uint64_t address, CrashModule *ret_module);
