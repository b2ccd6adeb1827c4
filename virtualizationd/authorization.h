/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what. Owners do everything to their own VMs and root to all, without asking anyone;
 * others are polkit's to allow, which is asked without blocking, and where there is no polkit on
 * the bus, members of the group of the settings may do what root may. A user's own daemon
 * (--user) takes the user for root and asks nobody.
 * The actions are in policy/org.virtualizationd1.policy. */
#pragma once

#include "dbus/bus-service.h"
#include "virtualizationd/daemon.h"

#define ACTION_CREATE        "org.virtualizationd1.create"
#define ACTION_CREATE_CUSTOM "org.virtualizationd1.create-custom"
#define ACTION_MANAGE_OTHERS "org.virtualizationd1.manage-others"
#define ACTION_DEBUG         "org.virtualizationd1.debug"

/* Whether the caller may make @call for the right @action, on @vm or, with NULL, on none; and
 * @second, if not NULL, as well. To be returned by a BusAuthorize. */
int authorization_check(Daemon *daemon,
                        BusCall *call,
                        const char *action,
                        const char *second,
                        const Vm *vm,
                        Error *error);

/* Whether @uid may do everything: root, and the user of a daemon of its own. */
bool authorization_is_privileged(const Daemon *daemon, uid_t uid);

/* Takes back the questions for this client, which has gone. */
void authorization_client_gone(Daemon *daemon, const char *client);

/* Ends all questions: for the end of the daemon. */
void authorization_give_up(Daemon *daemon);
