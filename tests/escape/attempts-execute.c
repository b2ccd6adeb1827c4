/* SPDX-License-Identifier: Apache-2.0 */
/* Rows 12 to 14 and 26: other programs, new code, and calls in the manner of other architectures.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/escape/stand-in.h"

#define PATH_SIZE 512
#define EXEC_FD   4000 /* the number that the policy allows to execute */
#define PAGE      4096

#define PAGE_ALIGNED __attribute__((aligned(PAGE)))

int execute_main(char **arguments)
{
    bool must_be_root = arguments[2] && arguments[3] && strcmp(arguments[3], "root") == 0;

    if (must_be_root && geteuid() != 0)
        say("STOPPED %s EPERM", arguments[2]);
    else
        say("SUCCESS %s", arguments[2] ? arguments[2] : "");
    return 0;
}

/* --- programs --- */

static int execute(const char *path, const char *name, const char *mode)
{
    char *const arguments[] = { (char *)(uintptr_t)path, (char[]){ "--executed" },
                                (char *)(uintptr_t)name, (char *)(uintptr_t)mode, NULL };

    return result(execve(path, arguments, NULL));
}

static int execute_named(const Plan *plan, const char *key, const char *name, const char *mode)
{
    char path[PATH_SIZE];

    plan_get(plan, key, path, sizeof(path));
    return execute(path, name, mode);
}

static int execute_vmm(const Plan *plan)
{
    return execute_named(plan, "program", "12.vmm", NULL);
}

static int execute_hosts(const Plan *plan)
{
    return execute_named(plan, "executable", "12.host", NULL);
}

static int execute_script(const Plan *plan)
{
    return execute_named(plan, "script", "12.script", NULL);
}

/* The VM's own file: the test's kernel is a program. */
static int execute_kernel(const Plan *plan)
{
    return execute_named(plan, "kernel", "12.kernel", NULL);
}

static int execute_set_uid(const Plan *plan)
{
    return execute_named(plan, "set-uid", "14.set-uid", "root");
}

/* clang-format off */
/* An ELF file that is nothing but: write(2, "SUCCESS 12.any\n", 15); exit(0). */
static const unsigned char tiny_program[] = {
    0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0x3e, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0, /* entry */
    0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0x40, 0, 0x38, 0, 1, 0, 0x40, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* all of it is loaded */
    0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0,
    0xa8, 0, 0, 0, 0, 0, 0, 0, 0xa8, 0, 0, 0, 0, 0, 0, 0,
    0, 0x10, 0, 0, 0, 0, 0, 0,
    0xb8, 1, 0, 0, 0,                /* mov $1, %eax */
    0xbf, 2, 0, 0, 0,                /* mov $2, %edi */
    0x48, 0x8d, 0x35, 0x10, 0, 0, 0, /* lea text(%rip), %rsi */
    0xba, 15, 0, 0, 0, 0x0f, 0x05,   /* mov $15, %edx; syscall */
    0xb8, 60, 0, 0, 0,               /* mov $60, %eax */
    0x31, 0xff, 0x0f, 0x05,          /* xor %edi, %edi; syscall */
    'S', 'U', 'C', 'C', 'E', 'S', 'S', ' ', '1', '2', '.', 'a', 'n', 'y', '\n',
};
/* clang-format on */

/* A descriptor of a file in memory with that program, or a negative errno. */
static int make_program(void)
{
    int fd = memfd_create("program", 0);

    if (fd < 0)
        return -errno;
    return write(fd, tiny_program, sizeof(tiny_program)) < 0 ? -errno : fd;
}

static int execute_descriptor(int fd)
{
    char *const arguments[] = { (char[]){ "program" }, (char[]){ "--executed" },
                                (char[]){ "12.any" }, NULL };

    return result(syscall(SYS_execveat, fd, "", arguments, NULL, AT_EMPTY_PATH));
}

static int execute_memory(const Plan *plan)
{
    (void)plan;
    int fd = make_program();
    return fd < 0 ? fd : execute_descriptor(fd);
}

/* The test's read-only disk is a program. */
static int execute_disk(const Plan *plan)
{
    return execute_descriptor(plan->read_only);
}

/* What the policy lets through, when nothing is there. */
static int execute_again(const Plan *plan)
{
    (void)plan;
    return execute_descriptor(EXEC_FD);
}

static int execute_by_dup2(const Plan *plan)
{
    if (syscall(SYS_dup2, plan->read_only, EXEC_FD) < 0)
        return -errno;
    return execute_descriptor(EXEC_FD);
}

static int execute_by_dupfd(const Plan *plan)
{
    if (fcntl(plan->read_only, F_DUPFD_CLOEXEC, EXEC_FD) < 0)
        return -errno;
    return execute_descriptor(EXEC_FD);
}

/* --- code --- */

static unsigned char page[PAGE] PAGE_ALIGNED = { 0xc3 };

static int map(int protection, int flags, int fd)
{
    return mmap(NULL, PAGE, protection, flags, fd, 0) == MAP_FAILED ? -errno : 0;
}

static int map_code(const Plan *plan)
{
    (void)plan;
    return map(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int map_shared_code(const Plan *plan)
{
    (void)plan;
    return map(PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static int map_disk_code(const Plan *plan)
{
    return map(PROT_READ | PROT_EXEC, MAP_PRIVATE, plan->writable);
}

static int map_memory_code(const Plan *plan)
{
    (void)plan;
    int fd = memfd_create("code", 0);
    return fd < 0 ? -errno : map(PROT_EXEC, MAP_PRIVATE, fd);
}

static int protect_data(const Plan *plan)
{
    (void)plan;
    return result(mprotect(page, PAGE, PROT_READ | PROT_EXEC));
}

static int protect_heap(const Plan *plan)
{
    (void)plan;
    void *heap = aligned_alloc(PAGE, PAGE);
    return heap ? result(mprotect(heap, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC)) : -ENOMEM;
}

static int protect_stack(const Plan *plan)
{
    unsigned char here PAGE_ALIGNED = 0;

    (void)plan;
    return result(mprotect(&here, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN));
}

static int protect_by_key(const Plan *plan)
{
    (void)plan;
    return result(syscall(SYS_pkey_mprotect, page, PAGE, PROT_READ | PROT_EXEC, -1));
}

static int share_code(const Plan *plan)
{
    (void)plan;
    int id = (int)syscall(SYS_shmget, IPC_PRIVATE, PAGE, 0700);
    if (id < 0)
        return -errno;
    int r = result(syscall(SYS_shmat, id, NULL, SHM_EXEC));
    (void)syscall(SYS_shmctl, id, IPC_RMID, NULL);
    return r;
}

/* --- other architectures: getpid(2) of each --- */

static int call_as_32_bit(const Plan *plan)
{
    long r = 20;

    (void)plan;
    __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
    return r < 0 ? (int)r : 0;
}

static int call_as_x32(const Plan *plan)
{
    (void)plan;
    return result(syscall(0x40000000 + SYS_getpid));
}

const Attempt execute_attempts[] = {
    { "12.vmm", execute_vmm },         { "12.host", execute_hosts },
    { "12.script", execute_script },   { "12.kernel", execute_kernel },
    { "12.memfd", execute_memory },    { "12.disk", execute_disk },
    { "12.again", execute_again },     { "12.dup2", execute_by_dup2 },
    { "12.dupfd", execute_by_dupfd },  { "13.mmap", map_code },
    { "13.shared", map_shared_code },  { "13.disk", map_disk_code },
    { "13.memfd", map_memory_code },   { "13.data", protect_data },
    { "13.heap", protect_heap },       { "13.stack", protect_stack },
    { "13.pkey", protect_by_key },     { "13.shm", share_code },
    { "14.set-uid", execute_set_uid }, { "26.int80", call_as_32_bit },
    { "26.x32", call_as_x32 },         { NULL, NULL },
};
