/* SPDX-License-Identifier: Apache-2.0 */
/* Tells a person why a VM ended. */
#pragma once

#include <json-c/json.h>

/* A sentence, without its end, for a reason of the bus; NULL for one that is not known. */
const char *death_report_explain(const char *reason);

/* Prints on stderr what the death record of the VM @name says, unless its payload ended by itself
 * and nothing is left to say. @instance: of an app, where its instance is, or NULL. */
void death_report_print(const char *name, const char *instance, struct json_object *record);
