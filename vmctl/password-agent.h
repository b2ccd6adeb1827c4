/* SPDX-License-Identifier: Apache-2.0 */
/* Has somebody ask the user at the terminal for the password that polkit wants to see:
 * pkttyagent(1) of polkit. */
#pragma once

#include "common/cleanup.h"

typedef struct PasswordAgent PasswordAgent;

/* Starts it, for calls of this process, and waits until polkit knows of it. NULL where standard
 * input is no terminal or there is no such program: then an agent of the user's session may be
 * there. */
PasswordAgent *password_agent_new(void);

/* Ends it. */
PasswordAgent *password_agent_free(PasswordAgent *agent);
DEFINE_CLEANUP(PasswordAgent, password_agent_free);
