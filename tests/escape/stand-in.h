/* SPDX-License-Identifier: Apache-2.0 */
/* A VMM that was taken over: it stands in QEMU's place, is started like it, and tries to get out.
 * Each attempt is one forbidden act, named ROW.WORD by the row of the table in test-escape.py; the
 * test says which one on the kernel's command line, and does everything around it. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PLAN_FILES_MAX 64

/* What the stand-in finds on its command line, which is QEMU's. */
typedef struct Plan {
    char **arguments;
    const char *words; /* of -append */
    int qmp, console, vsock;
    int files[PLAN_FILES_MAX]; /* of -add-fd */
    size_t n_files;
    int read_only, writable; /* the first file of each kind, or negative */
    pid_t parent;            /* looked up when that was still allowed */
} Plan;

/* The value of KEY=VALUE, cut off at @size; "" when it is not there. */
void plan_get(const Plan *plan, const char *key, char *value, size_t size);
long plan_get_number(const Plan *plan, const char *key);

typedef struct Attempt {
    const char *name;
    int (*run)(const Plan *plan); /* 0 when the forbidden effect took place, or a negative errno */
} Attempt;

/* Each ends with one without a name. */
extern const Attempt file_attempts[];
extern const Attempt process_attempts[];
extern const Attempt execute_attempts[];
extern const Attempt network_attempts[];
extern const Attempt resource_attempts[];

/* A single system call. Failing with @passed counts as done: what forbids it is checked earlier. */
typedef struct CallAttempt {
    const char *name;
    long number;
    long arguments[6];
    int passed;
} CallAttempt;

extern const CallAttempt call_attempts[];

/* What a program says that was executed in the stand-in's place. */
int execute_main(char **arguments);

/* Prints what the box looks like from inside, a line each. */
void look_around(const Plan *plan);

/* Turns on whoever listens: 0, or a negative errno when there is no such way. */
int turn_on(const Plan *plan, const char *way);

/* Writes a line to standard error. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline int result(long r)
{
    return r < 0 ? -errno : 0;
}
