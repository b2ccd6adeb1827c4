/* SPDX-License-Identifier: Apache-2.0 */
/* crash-reporter: the kernel runs it as root when a program crashes, with the core as its standard
 * input, and keeps what is left of the program until this one has ended. It opens what takes
 * privilege, drops it, and only then reads what the crashed program has a say in. The report of the
 * last crash is the one that stays. Source: core(5), "Piping core dumps to a program". */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/drop-privileges.h"
#include "common/fd.h"
#include "common/text.h"
#include "guest/crash-core.h"
#include "guest/crash-report.h"
#include "guest/crash-reporting.h"

typedef struct Crash {
    pid_t pid;
    uid_t uid;
    int signal;
    const char *report_path;
} Crash;

static int parse_arguments(int argc, char **argv, Crash *ret_crash)
{
    uint64_t pid, signal, uid;

    if (argc < 4 || argc > 5)
        return -EINVAL;
    if (text_parse_u64(argv[1], INT32_MAX, &pid) < 0 ||
        text_parse_u64(argv[2], INT32_MAX, &signal) < 0 ||
        text_parse_u64(argv[3], UINT32_MAX, &uid) < 0)
        return -EINVAL;
    *ret_crash = (Crash){ .pid = (pid_t)pid,
                          .uid = (uid_t)uid,
                          .signal = (int)signal,
                          .report_path = argc == 5 ? argv[4] : CRASH_REPORT_PATH };
    return 0;
}

static int open_memory(pid_t pid)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* A new file, so that one who still writes to the old one does not write to this. */
static int open_report(const char *path)
{
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* Reads of the core what is of use. The caller frees *@ret_bytes. */
static int read_core(int fd, uint8_t **ret_bytes, size_t *ret_size)
{
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size = 0, end;

    for (;;) {
        int r = crash_core_get_end(bytes, size, &end);
        if (r < 0)
            return r;
        if (size >= end)
            break;
        uint8_t *grown = realloc(bytes, end);
        if (!grown)
            return -ENOMEM;
        bytes = grown;
        ssize_t n = read(fd, bytes + size, end - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break; /* the kernel could not write it all */
        size += (size_t)n;
    }
    *ret_bytes = TAKE_PTR(bytes);
    *ret_size = size;
    return 0;
}

/* The words from the stack pointer up; fewer where the stack ends, none where there is none. */
static size_t read_stack(int memory_fd, uint64_t stack_pointer, uint64_t *stack)
{
    uint64_t start = (stack_pointer + 7) & ~UINT64_C(7);

    if (memory_fd < 0 || start > INT64_MAX)
        return 0;
    ssize_t n = pread(memory_fd, stack, CRASH_STACK_WORDS_MAX * sizeof(*stack), (off_t)start);
    return n < 0 ? 0 : (size_t)n / sizeof(*stack);
}

static size_t make_report(const Crash *crash, int memory_fd, char *text)
{
    static uint64_t stack[CRASH_STACK_WORDS_MAX];
    static CrashCore core;
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size = 0;

    if (read_core(STDIN_FILENO, &bytes, &size) < 0 || crash_core_parse(bytes, size, &core) < 0)
        return crash_report_make_brief(crash->pid, crash->uid, crash->signal, text,
                                       CRASH_REPORT_SIZE_MAX);
    size_t n_words = read_stack(memory_fd, core.registers[CRASH_RSP], stack);
    return crash_report_make(&core, crash->pid, crash->uid, stack, n_words, text,
                             CRASH_REPORT_SIZE_MAX);
}

static int report(const Crash *crash)
{
    static char text[CRASH_REPORT_SIZE_MAX];

    /* Without the memory there still is a report. */
    _cleanup_close_ int memory_fd = open_memory(crash->pid);
    _cleanup_close_ int report_fd = open_report(crash->report_path);
    if (report_fd < 0)
        return report_fd;
    int r = drop_privileges(CRASH_REPORTER_UID, CRASH_REPORTER_UID);
    if (r < 0)
        return r;
    return fd_write_all(report_fd, text, make_report(crash, memory_fd, text));
}

/* The kernel's log is the only place there is: a crash handler has no standard output. */
static void complain(int log_fd, const char *what)
{
    char line[128];

    int length = snprintf(line, sizeof(line), "<3>crash-reporter: %s\n", what);
    if (log_fd >= 0 && length < (int)sizeof(line))
        (void)!write(log_fd, line, (size_t)length);
}

int main(int argc, char **argv)
{
    _cleanup_close_ int log_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    Crash crash;

    if (parse_arguments(argc, argv, &crash) < 0) {
        complain(log_fd, "wants the number of a process, of a signal, and of a user");
        return EXIT_FAILURE;
    }
    int r = report(&crash);
    if (r < 0) {
        complain(log_fd, strerror(-r));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
