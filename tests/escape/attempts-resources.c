/* SPDX-License-Identifier: Apache-2.0 */
/* Rows 25, 28, 32 and 34: limits. */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/escape/stand-in.h"

/* More than any VM gets; see stub.c and launch.c for the limits themselves. */
#define THREADS_MANY 300
#define FILES_MANY   2000
#define STACK_SIZE   (size_t)16384

static void *wait_forever(void *semaphore)
{
    (void)sem_wait(semaphore);
    return NULL;
}

static int start_many_threads(const Plan *plan)
{
    static sem_t never;
    pthread_attr_t attributes;
    pthread_t thread;

    (void)plan;
    (void)sem_init(&never, 0, 0);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (int i = 0; i < THREADS_MANY; i++) {
        int r = pthread_create(&thread, &attributes, wait_forever, &never);
        if (r != 0)
            return -r;
    }
    return 0;
}

static int open_many_descriptors(const Plan *plan)
{
    (void)plan;
    for (int i = 0; i < FILES_MANY; i++) {
        if (fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) < 0)
            return -errno;
    }
    return 0;
}

static int lock_memory(const Plan *plan)
{
    (void)plan;
    void *memory = malloc(1 << 20);
    return memory ? result(syscall(SYS_mlock, memory, 1 << 20)) : -ENOMEM;
}

static int make_large_memory_file(const Plan *plan)
{
    int fd = (int)syscall(SYS_memfd_create, "large", 0);

    return fd < 0 ? -errno : result(ftruncate(fd, plan_get_number(plan, "limit") + 4096));
}

static int queue_many_signals(const Plan *plan)
{
    siginfo_t info = { .si_code = SI_QUEUE };
    sigset_t blocked;

    (void)plan;
    (void)sigfillset(&blocked);
    (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
    for (int i = 0; i < 200; i++) {
        if (syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN, &info) < 0)
            return -errno;
    }
    return 0;
}

static int dump_core(const Plan *plan)
{
    struct rlimit limit;

    (void)plan;
    if (syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &limit) < 0)
        return -errno;
    return limit.rlim_max > 0 ? 0 : -EFBIG;
}

/* --- raising them --- */

static int set_limit(int resource, rlim_t value)
{
    const struct rlimit limit = { value, value };

    return result(syscall(SYS_prlimit64, 0, resource, &limit, NULL));
}

static int raise_files(const Plan *plan)
{
    (void)plan;
    return set_limit(RLIMIT_NOFILE, 500000);
}

static int raise_priority(const Plan *plan)
{
    (void)plan;
    return set_limit(RLIMIT_RTPRIO, 50);
}

static int raise_by_setrlimit(const Plan *plan)
{
    const struct rlimit limit = { 500000, 500000 };

    (void)plan;
    return result(syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit));
}

static int run_in_real_time(const Plan *plan)
{
    const int priority = 1;

    (void)plan;
    if (syscall(SYS_sched_setscheduler, 0, 1 /* SCHED_FIFO */, &priority) < 0)
        return -errno;
    return 0;
}

/* To what it is. */
static int set_clock(const Plan *plan)
{
    struct timespec now;

    (void)plan;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return result(syscall(SYS_clock_settime, CLOCK_REALTIME, &now));
}

static int set_affinity(const Plan *plan)
{
    const unsigned long first = 1;

    (void)plan;
    return result(syscall(SYS_sched_setaffinity, 0, sizeof(first), &first));
}

const Attempt resource_attempts[] = {
    { "25.clock_settime", set_clock },
    { "28.nofile", raise_files },
    { "28.setrlimit", raise_by_setrlimit },
    { "28.rtprio", raise_priority },
    { "28.fifo", run_in_real_time },
    { "28.affinity", set_affinity },
    { "32.threads", start_many_threads },
    { "32.files", open_many_descriptors },
    { "32.mlock", lock_memory },
    { "32.memfd", make_large_memory_file },
    { "32.signals", queue_many_signals },
    { "34.core", dump_core },
    { NULL, NULL },
};
