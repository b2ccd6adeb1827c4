/* SPDX-License-Identifier: Apache-2.0 */
/* The option --host: vmctl runs there, as descriptors do not travel. */
#pragma once

#include "vmctl/options.h"

/* Becomes ssh(1), which runs this command line there. Comes back only with an error. */
int remote_execute(const Options *options, Error *error);
