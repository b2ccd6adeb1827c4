/* SPDX-License-Identifier: Apache-2.0 */
/* What it announces, on standard error, which ends up in the death record: "TRY name" before an
 * attempt, then "SUCCESS name" or "STOPPED name ERRNO". If the attempt ends the process, the second
 * line is missing and the death record tells how. */
#include "tests/escape/stand-in.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_SIZE 1024

enum {
    EXIT_STOPPED = 10,
    EXIT_DONE = 11,
    EXIT_UNKNOWN = 12,
};

void say(const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof(line) - 1)
        length = (int)sizeof(line) - 2;
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        _exit(EXIT_UNKNOWN);
}

/* --- the plan --- */

void plan_get(const Plan *plan, const char *key, char *value, size_t size)
{
    size_t key_length = strlen(key);

    value[0] = '\0';
    for (const char *word = plan->words; *word != '\0';) {
        size_t length = strcspn(word, " ");

        if (length > key_length && strncmp(word, key, key_length) == 0 && word[key_length] == '=') {
            (void)snprintf(value, size, "%.*s", (int)(length - key_length - 1),
                           word + key_length + 1);
            return;
        }
        word += length;
        word += strspn(word, " ");
    }
}

long plan_get_number(const Plan *plan, const char *key)
{
    char value[32];

    plan_get(plan, key, value, sizeof(value));
    return strtol(value, NULL, 0);
}

static int find_number(const char *text, const char *prefix)
{
    const char *found = strstr(text, prefix);

    return found ? atoi(found + strlen(prefix)) : -1;
}

static void add_file(Plan *plan, int fd)
{
    if (fd < 0 || plan->n_files == PLAN_FILES_MAX)
        return;
    plan->files[plan->n_files++] = fd;
    int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    if (mode == O_RDONLY && plan->read_only < 0)
        plan->read_only = fd;
    if (mode == O_RDWR && plan->writable < 0)
        plan->writable = fd;
}

static void make_plan(Plan *plan, char **arguments)
{
    *plan = (Plan){ .arguments = arguments,
                    .words = "",
                    .qmp = -1,
                    .console = -1,
                    .vsock = -1,
                    .read_only = -1,
                    .writable = -1,
                    .parent = getppid() };
    for (char **argument = arguments; argument[0] && argument[1]; argument++) {
        const char *value = argument[1];

        if (strcmp(argument[0], "-append") == 0)
            plan->words = value;
        else if (strcmp(argument[0], "-add-fd") == 0)
            add_file(plan, find_number(value, "fd="));
        else if (strncmp(value, "socket,id=qmp,", 14) == 0)
            plan->qmp = find_number(value, "fd=");
        else if (strncmp(value, "socket,id=console,", 18) == 0)
            plan->console = find_number(value, "fd=");
        else if (strncmp(value, "socket,id=vsock,", 16) == 0)
            plan->vsock = find_number(value, "fd=");
    }
}

/* --- the part of QMP that gets a VM to run --- */

static void qmp_write(const Plan *plan, const char *line)
{
    if (write(plan->qmp, line, strlen(line)) < 0)
        _exit(EXIT_UNKNOWN);
}

static void qmp_wait_for(const Plan *plan, const char *word)
{
    char line[LINE_SIZE];
    size_t size = 0;

    while (size < sizeof(line) - 1) {
        ssize_t n = read(plan->qmp, line + size, 1);
        if (n <= 0)
            _exit(EXIT_UNKNOWN);
        if (line[size++] != '\n')
            continue;
        line[size] = '\0';
        if (strstr(line, word))
            return;
        size = 0;
    }
    _exit(EXIT_UNKNOWN);
}

/* Like QEMU, which asks its devices for their features before it greets: vsock-device has started
 * then, and the seal does not find it in the middle of it. */
static void ask_vsock_device(const Plan *plan)
{
    static const uint32_t get_features[3] = { 1, 1, 0 };
    char reply[20];

    if (write(plan->vsock, get_features, sizeof(get_features)) < 0 ||
        read(plan->vsock, reply, sizeof(reply)) != sizeof(reply))
        _exit(EXIT_UNKNOWN);
}

static void *do_nothing(void *userdata)
{
    return userdata;
}

/* Like QEMU, which has threads when it greets: the first one has libc set up signals. */
static void start_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        _exit(EXIT_UNKNOWN);
}

/* After it the VM counts as running, and the sandbox is sealed. */
static void become_running(const Plan *plan)
{
    ask_vsock_device(plan);
    start_thread();
    qmp_write(plan, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n");
    qmp_wait_for(plan, "qmp_capabilities");
    qmp_write(plan, "{\"return\": {}}\n");
    qmp_wait_for(plan, "cont");
    qmp_write(plan, "{\"return\": {}}\n");
}

/* --- attempts --- */

static int tell(const char *name, int r)
{
    if (r >= 0)
        say("SUCCESS %s", name);
    else
        say("STOPPED %s %s", name, strerrorname_np(-r) ? strerrorname_np(-r) : "?");
    return r >= 0 ? EXIT_DONE : EXIT_STOPPED;
}

static int try_call(const CallAttempt *attempt)
{
    const long *a = attempt->arguments;

    say("TRY %s", attempt->name);
    long r = syscall(attempt->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return tell(attempt->name, r < 0 && errno == attempt->passed ? 0 : result(r));
}

static int try(const Plan *plan, const char *name)
{
    static const Attempt *const tables[] = { file_attempts, process_attempts, execute_attempts,
                                             network_attempts, resource_attempts };

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (const Attempt *attempt = tables[i]; attempt->name; attempt++) {
            if (strcmp(attempt->name, name) != 0)
                continue;
            say("TRY %s", name);
            return tell(name, attempt->run(plan));
        }
    }
    for (const CallAttempt *attempt = call_attempts; attempt->name; attempt++) {
        if (strcmp(attempt->name, name) == 0)
            return try_call(attempt);
    }
    say("UNKNOWN %s", name);
    return EXIT_UNKNOWN;
}

/* Answers QMP and does nothing until it is told to quit. */
static _Noreturn void live_on(const Plan *plan)
{
    char byte;

    while (read(plan->qmp, &byte, 1) == 1) {
        if (byte == '\n')
            qmp_write(plan, "{\"return\": {}}\n");
    }
    _exit(EXIT_STOPPED);
}

int main(int argc, char **argv)
{
    char name[64], way[64], phase[16];
    Plan plan;

    if (argc > 1 && strcmp(argv[1], "--executed") == 0)
        return execute_main(argv);
    make_plan(&plan, argv);
    plan_get(&plan, "escape", name, sizeof(name));
    plan_get(&plan, "turn-on", way, sizeof(way));
    plan_get(&plan, "phase", phase, sizeof(phase));

    if (strcmp(phase, "before") != 0)
        become_running(&plan);
    if (name[0] != '\0')
        return try(&plan, name);
    if (way[0] == '\0') {
        look_around(&plan);
        return EXIT_STOPPED;
    }
    int r = strcmp(way, "nobody") == 0 ? 0 : turn_on(&plan, way);
    say("TURNED %s %d", way, r);
    if (write(plan.console, "TURNED\n", 7) < 0)
        return EXIT_UNKNOWN;
    live_on(&plan);
}
