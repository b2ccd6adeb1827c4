/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a program of this project in a clean surrounding. */
#pragma once

#include <sys/types.h>

/* The number that the program finds its descriptor at. */
#define SPAWN_FD 3

/* Executes @path with @arguments (NULL-terminated) in a session of its own, with default signals,
 * our environment and standard descriptors, and a copy of @fd at SPAWN_FD; nothing else is open.
 * The caller reaps @ret_pid. */
int spawn_program(const char *path, char *const *arguments, int fd, pid_t *ret_pid);
