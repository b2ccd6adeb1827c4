/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of cores that are made by hand, and of a crash that happens. */
#include "guest/crash-report.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "tests/helpers/made-core.h"
#include "tests/helpers/test.h"

#define RULE "*** *** *** *** *** *** *** *** *** *** *** *** *** *** *** ***\n"

static CrashCore core;
static char text[CRASH_REPORT_SIZE_MAX + 1];

/* Makes the report of a made core. Returns it as a string. */
static const char *make_report(const MadeCore *made, const uint64_t *stack, size_t n_words)
{
    assert_int_equal(crash_core_parse(made->bytes, made->size, &core), 0);
    size_t size = crash_report_make(&core, 76, 6000, stack, n_words, text, CRASH_REPORT_SIZE_MAX);
    assert_true(size <= CRASH_REPORT_SIZE_MAX);
    text[size] = '\0';
    return text;
}

static void report_tells_all_of_a_crash(void **state)
{
    static const uint64_t stack[] = { 1, MADE_CORE_CODE + 0x456, MADE_CORE_BASE, MADE_CORE_CODE };
    MadeCore made;

    (void)state;
    made_core_init(&made);
    assert_string_equal(make_report(&made, stack, 4), RULE
                        "pid: 76, tid: 77, uid: 6000, name: made\n"
                        "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0000000000000010\n"
                        "    rax 000000000000100a  rbx 0000000000001005  rcx 000000000000100b  "
                        "rdx 000000000000100c\n"
                        "    r8  0000000000001009  r9  0000000000001008  r10 0000000000001007  "
                        "r11 0000000000001006\n"
                        "    r12 0000000000001003  r13 0000000000001002  r14 0000000000001001  "
                        "r15 0000000000001000\n"
                        "    rdi 000000000000100e  rsi 000000000000100d  rbp 0000000000001004  "
                        "rsp 0000000000001013\n"
                        "    rip 00007f0000001123  eflags 00001012\n"
                        "stack addresses with their modules:\n"
                        "    #00 pc 00007f0000001123 /lib/made.so (+0x1123)\n"
                        "    #01 pc 00007f0000001456 /lib/made.so (+0x1456)\n"
                        "    #02 pc 00007f0000001000 /lib/made.so (+0x1000)\n");
}

static void sender_of_a_signal_is_named(void **state)
{
    static const uint8_t information[128] = { 6, [8] = 0xfa, 0xff, 0xff, 0xff, [16] = 5, [20] = 9 };
    MadeCore made;

    (void)state;
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 6);
    made_core_put_note(&made, NT_SIGINFO, information, sizeof(information));
    made_core_finish(&made);
    assert_non_null(strstr(make_report(&made, NULL, 0),
                           "signal 6 (SIGABRT), code -6 (SI_TKILL), from pid 5, uid 9\n"));
}

static void crash_without_details_or_modules_is_told(void **state)
{
    MadeCore made;

    (void)state;
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 999);
    made_core_finish(&made);
    const char *report = make_report(&made, NULL, 0);
    assert_non_null(strstr(report, "signal 999 (SIG?)\n"));
    assert_non_null(strstr(report, "    #00 pc 00007f0000001123 <anonymous>\n"));
}

static void program_counter_outside_code_is_told(void **state)
{
    MadeCore made;

    (void)state;
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 11);
    made_core_finish(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    core.registers[CRASH_RIP] = 0;
    size_t size = crash_report_make(&core, 1, 0, NULL, 0, text, CRASH_REPORT_SIZE_MAX);
    text[size] = '\0';
    assert_non_null(strstr(text, "    #00 pc 0000000000000000 <no code>\n"));
}

static void addresses_are_bounded(void **state)
{
    uint64_t stack[CRASH_STACK_HITS_MAX + 1];
    MadeCore made;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(stack); i++)
        stack[i] = MADE_CORE_CODE + i;
    made_core_init(&made);
    assert_non_null(strstr(make_report(&made, stack, ELEMENTS_OF(stack)), "    #64 pc "));
    assert_null(strstr(text, "    #65 pc "));
}

static void names_cannot_forge_lines(void **state)
{
    static const uint8_t process[136] = { [40] = 'a', '\n', 'b', 0x1b, 0xff };
    MadeCore made;

    (void)state;
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 11);
    made_core_put_note(&made, NT_PRPSINFO, process, sizeof(process));
    made_core_finish(&made);
    assert_non_null(strstr(make_report(&made, NULL, 0), ", name: a?b\\x1b\\xff\n"));
}

static void report_has_whole_lines_only(void **state)
{
    MadeCore made;

    (void)state;
    made_core_init(&made);
    size_t all = strlen(make_report(&made, NULL, 0));
    for (size_t capacity = 0; capacity < all; capacity++) {
        size_t size = crash_report_make(&core, 76, 6000, NULL, 0, text, capacity);
        assert_true(size <= capacity);
        assert_true(size == 0 || text[size - 1] == '\n');
    }
}

static void brief_report_has_what_is_known(void **state)
{
    (void)state;
    size_t size = crash_report_make_brief(76, 6000, 11, text, CRASH_REPORT_SIZE_MAX);
    text[size] = '\0';
    assert_string_equal(text, RULE "pid: 76, uid: 6000\n"
                                   "signal 11 (SIGSEGV)\n"
                                   "no core that could be read\n");
}

/* Whether the kernel puts a core file into the working directory. */
static bool cores_are_files(void)
{
    char pattern[8] = { 0 };
    _cleanup_close_ int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, pattern, sizeof(pattern) - 1) > 0 && strcmp(pattern, "core\n") == 0;
}

/* A crash in a payload that is a library, in a directory of its own. */
typedef struct RealCrash {
    char directory[32], core[40], library[256];
    const uint8_t *bytes;
    size_t size;
} RealCrash;

static void run_crash(RealCrash *crash)
{
    const struct rlimit unlimited = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
    char launcher[256], top[200];
    struct rlimit limit;
    struct stat status;
    int wait_status;

    if (!cores_are_files() || getrlimit(RLIMIT_CORE, &limit) < 0 ||
        (limit.rlim_max != RLIM_INFINITY && geteuid() != 0))
        skip();
    assert_non_null(getcwd(top, sizeof(top)));
    (void)snprintf(launcher, sizeof(launcher), "%s/programs/payload-launcher", top);
    (void)snprintf(crash->library, sizeof(crash->library), "%s/programs/payloads/libcrash.so", top);
    (void)snprintf(crash->directory, sizeof(crash->directory), "/tmp/test-crash-report-XXXXXX");
    assert_non_null(mkdtemp(crash->directory));
    (void)snprintf(crash->core, sizeof(crash->core), "%s/core", crash->directory);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setrlimit(RLIMIT_CORE, &unlimited) < 0 || chdir(crash->directory) < 0)
            _exit(126);
        (void)execl(launcher, launcher, crash->library, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_true(WIFSIGNALED(wait_status) && WCOREDUMP(wait_status));

    int fd = open(crash->core, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    crash->size = (size_t)status.st_size;
    crash->bytes = mmap(NULL, crash->size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(crash->bytes != MAP_FAILED);
    (void)close(fd);
}

static void clean_up_crash(RealCrash *crash)
{
    (void)munmap((void *)(uintptr_t)crash->bytes, crash->size);
    (void)unlink(crash->core);
    (void)rmdir(crash->directory);
}

/* The stack's words as the core has them, where /proc/PID/mem would. */
static size_t copy_stack(const RealCrash *crash, uint64_t address, uint64_t *ret_stack)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;

    memcpy(&header, crash->bytes, sizeof(header));
    for (size_t i = 0; i < header.e_phnum; i++) {
        memcpy(&segment, crash->bytes + header.e_phoff + i * sizeof(segment), sizeof(segment));
        if (segment.p_type != PT_LOAD || address < segment.p_vaddr ||
            address >= segment.p_vaddr + segment.p_filesz)
            continue;
        uint64_t skipped = address - segment.p_vaddr;
        size_t n = (size_t)(segment.p_filesz - skipped) / 8;
        n = n < CRASH_STACK_WORDS_MAX ? n : CRASH_STACK_WORDS_MAX;
        memcpy(ret_stack, crash->bytes + segment.p_offset + skipped, n * 8);
        return n;
    }
    return 0;
}

/* Where a symbol of the library is in its file, as the library tells when it is loaded here. */
static uint64_t get_offset(const char *library, const char *symbol)
{
    Dl_info info;
    void *handle = dlopen(library, RTLD_NOW);
    assert_non_null(handle);
    void *address = dlsym(handle, symbol);
    assert_non_null(address);
    assert_true(dladdr(address, &info) != 0);
    return (uint64_t)((uintptr_t)address - (uintptr_t)info.dli_fbase);
}

/* Whether the report has an address in the function, in a line that begins so. */
static bool has_address_in(const char *start, const RealCrash *crash, const char *symbol)
{
    uint64_t function = get_offset(crash->library, symbol);
    char path[300];

    (void)snprintf(path, sizeof(path), " %s (+0x", crash->library);
    for (const char *line = strstr(text, start); line; line = strstr(line + 1, start)) {
        const char *offset = strstr(line, path);
        if (!offset || memchr(line, '\n', (size_t)(offset - line)))
            continue;
        uint64_t value = strtoull(offset + strlen(path), NULL, 16);
        if (value >= function && value < function + 64)
            return true;
    }
    return false;
}

static void crash_that_happens_is_told(void **state)
{
    static uint64_t stack[CRASH_STACK_WORDS_MAX];
    RealCrash crash;
    size_t end;

    (void)state;
    run_crash(&crash);
    assert_int_equal(crash_core_get_end(crash.bytes, crash.size, &end), 0);
    assert_true(end < crash.size);
    assert_int_equal(crash_core_parse(crash.bytes, end, &core), 0);
    size_t n_words = copy_stack(&crash, core.registers[CRASH_RSP], stack);
    assert_true(n_words > 0);
    size_t size = crash_report_make(&core, 1, 2, stack, n_words, text, CRASH_REPORT_SIZE_MAX);
    text[size] = '\0';

    assert_non_null(strstr(text, ", name: payload-launch"));
    assert_non_null(
        strstr(text, "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0000000000000010\n"));
    assert_true(has_address_in("    #00 pc ", &crash, "crash_here"));
    assert_true(has_address_in("    #01 pc ", &crash, "AVmPayload_main"));
    assert_non_null(strstr(text, "/programs/payload-launcher (+0x"));
    clean_up_crash(&crash);
}

static void program_writes_the_report(void **state)
{
    char pid_text[16], report_path[48];
    RealCrash crash;
    int wait_status;

    (void)state;
    if (geteuid() != 0)
        skip();
    run_crash(&crash);
    (void)snprintf(report_path, sizeof(report_path), "%s/report", crash.directory);
    /* The crashed process is gone; this one stands for it, and has no stack there. */
    (void)snprintf(pid_text, sizeof(pid_text), "%d", getpid());
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(crash.core, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
            _exit(126);
        (void)execl("programs/crash-reporter", "crash-reporter", pid_text, "11", "6000",
                    report_path, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(wait_status, 0);

    _cleanup_close_ int fd = open(report_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "uid: 6000, name: payload-launch"));
    assert_true(has_address_in("    #00 pc ", &crash, "crash_here"));
    (void)unlink(report_path);
    clean_up_crash(&crash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_tells_all_of_a_crash),
        cmocka_unit_test(sender_of_a_signal_is_named),
        cmocka_unit_test(crash_without_details_or_modules_is_told),
        cmocka_unit_test(program_counter_outside_code_is_told),
        cmocka_unit_test(addresses_are_bounded),
        cmocka_unit_test(names_cannot_forge_lines),
        cmocka_unit_test(report_has_whole_lines_only),
        cmocka_unit_test(brief_report_has_what_is_known),
        cmocka_unit_test(crash_that_happens_is_told),
        cmocka_unit_test(program_writes_the_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
