/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of the sandbox, each of which has to hold by itself. The escape tests have a launcher
 * of their own, built with LAUNCHER_FOR_TESTS, that leaves layers out and dies where it is told to;
 * in the real one there is no code for either. */
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/drop-privileges.h"

typedef enum Layer {
    LAYER_SECCOMP = 'S',
    LAYER_MOUNTS = 'M',
    LAYER_UID = 'U',
    LAYER_CAPABILITIES = 'C', /* and no_new_privs */
    LAYER_NAMESPACES = 'N',
    LAYER_LIMITS = 'R',
    LAYER_CGROUP = 'G',
    LAYER_LANDLOCK = 'L',
    LAYER_DESCRIPTORS = 'F',
} Layer;

#ifdef LAUNCHER_FOR_TESTS

#    define LAYER_LEAKS_MAX 4

typedef struct LayerOptions {
    const char *without;                /* letters of layers */
    unsigned long kill_at;              /* number of a kill point of the launcher; 0: none */
    unsigned long kill_stub_at;         /* the same for the stub and what it forks */
    const char *leaks[LAYER_LEAKS_MAX]; /* paths to open and to leave open */
    size_t n_leaks;
} LayerOptions;

enum {
    LAYER_OPTION_WITHOUT = 1000,
    LAYER_OPTION_KILL_AT,
    LAYER_OPTION_KILL_STUB_AT,
    LAYER_OPTION_LEAK,
};
#    define LAYER_OPTIONS                                                           \
        { "without-layers", required_argument, NULL, LAYER_OPTION_WITHOUT },        \
            { "kill-at", required_argument, NULL, LAYER_OPTION_KILL_AT },           \
            { "kill-stub-at", required_argument, NULL, LAYER_OPTION_KILL_STUB_AT }, \
            { "leak", required_argument, NULL, LAYER_OPTION_LEAK },

bool layer_take_option(int option, const char *value, LayerOptions *options);
void layer_configure(const LayerOptions *options);
bool layer_is_on(Layer layer);
/* Drops as much of root as the layers say. */
int layer_drop_privileges(uid_t uid);
/* A step has been reached: they are numbered from 1 in the order that a process passes them. */
void layer_kill_point(void);

#else

typedef struct LayerOptions {
    char none;
} LayerOptions;

#    define LAYER_OPTIONS

static inline bool layer_take_option(int option, const char *value, LayerOptions *options)
{
    (void)option;
    (void)value;
    (void)options;
    return false;
}

static inline void layer_configure(const LayerOptions *options)
{
    (void)options;
}

static inline bool layer_is_on(Layer layer)
{
    (void)layer;
    return true;
}

static inline int layer_drop_privileges(uid_t uid)
{
    return drop_privileges(uid, (gid_t)uid);
}

static inline void layer_kill_point(void)
{
}

#endif
