/* SPDX-License-Identifier: Apache-2.0 */
/* All that can be told of one VM, as the object that "vmctl status --json" has. */
#pragma once

#include <json-c/json.h>

#include "vmctl/client.h"

/* The properties (vm-properties.h) and "since", "events", "death", "console", "denied". @events is
 * an answer of client_get_events(). What the caller may not see is null. */
int vm_status_new(Client *client,
                  const char *path,
                  struct json_object *events,
                  struct json_object **ret_status,
                  Error *error);

/* Prints it for people. */
void vm_status_print(struct json_object *status);
