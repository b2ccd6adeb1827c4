/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of one of a living VM's logs. */
#pragma once

#include "common/error.h"
#include "vmctl/client.h"

/* The text, escaped, which the caller frees, of the log @which of the VM at @path ("console",
 * "guest" or "vmm"): what comes until nothing more has come for a moment. */
int log_tail_read(
    Client *client, const char *path, const char *which, char **ret_text, Error *error);
