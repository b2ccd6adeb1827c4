/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the VMs of an earlier daemon by their directories and takes them over: owner, name,
 * configuration, client and limits from the record that was written then, the state from each
 * supervisor. A VM without a supervisor has died; a directory without a record never got as far. */
#pragma once

#include "common/error.h"
#include "virtualizationd/daemon.h"

/* For the time before the bus name is requested, when the loop does not run yet. Returns once every
 * supervisor has answered, or has had some seconds for it. */
int vm_adopt_all(Daemon *daemon, Error *error);
