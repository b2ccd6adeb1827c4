/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of the daemon at which it might die and leave something half done. A build for the
 * tests, with DAEMON_FOR_TESTS, dies at one of them; in the real one there is no code for it. */
#pragma once

#include <stdbool.h>

typedef enum KillPoint {
    KILL_ADOPTING = 1,    /* before it connects to a supervisor that it has found */
    KILL_ADOPTED,         /* all have answered; the bus name is not its own yet */
    KILL_NAMED,           /* it has the bus name, and has told nothing yet */
    KILL_VM_CREATED,      /* the VM is in the table; nobody knows of it */
    KILL_DIRECTORY_MADE,  /* without a record in it */
    KILL_RECORD_WRITTEN,  /* no sockets yet */
    KILL_SPEC_UNSENT,     /* a launcher waits for it */
    KILL_SPEC_SENT,       /* the launcher works; it has not answered */
    KILL_ACCEPTED,        /* it has answered; the client has no reply */
    KILL_EVENT_NOTED,     /* the bus does not know of it */
    KILL_ANNOUNCED,       /* the bus does; the supervisor does not know that */
    KILL_ACKNOWLEDGING,   /* the same, and the bus has taken it */
    KILL_ACKNOWLEDGED,    /* the supervisor knows */
    KILL_DEATH_UNWRITTEN, /* the VM is dead; its supervisor waits */
    KILL_DEATH_WRITTEN,   /* its death is in its directory */
    KILL_FORGETTING,      /* its directory goes next */
    KILL_POINT_MAX,
} KillPoint;

#ifdef DAEMON_FOR_TESTS

#    define KILL_POINT_STATUS  137 /* as of a process that SIGKILL ended, in a shell */
#    define KILL_POINT_OPTION  1000
#    define KILL_POINT_OPTIONS { "kill-at", required_argument, NULL, KILL_POINT_OPTION },

/* "--kill-at=POINT:NTH": dies there, the nth time that it gets there. */
bool kill_point_take_option(int option, const char *value);
void kill_point(KillPoint point);

#else

#    define KILL_POINT_OPTIONS

static inline bool kill_point_take_option(int option, const char *value)
{
    (void)option;
    (void)value;
    return false;
}

static inline void kill_point(KillPoint point)
{
    (void)point;
}

#endif
