/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of VM instances, and whose they are: AVF's allocateInstanceId, claimVmInstance and
 * removeVmInstance. An instance keeps its id over all runs of its VM; what its secrets are made of
 * comes with it. Kept in a directory of one file an id, which is named by it.
 *
 * A library's database (AVF has SQLite) would have to open files for writing under the daemon's
 * seccomp policy, for a table of which one row at a time is changed: a file that is renamed into
 * place is as safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"

#define INSTANCE_ID_SIZE 64 /* bytes, as AVF's */

/* Ids of one uid, and of all: every one stays in memory. */
#define INSTANCES_OF_USER_MAX 1024
#define INSTANCES_MAX         65536

typedef struct InstanceRegistry InstanceRegistry;

/* Reads what is kept in @directory, which is taken. Files that are no instances are left alone and
 * logged. */
int instance_registry_new(int directory, InstanceRegistry **ret_registry, Error *error);
InstanceRegistry *instance_registry_free(InstanceRegistry *registry);
DEFINE_CLEANUP(InstanceRegistry, instance_registry_free);

/* A new id of @owner's. ERROR_LIMITS_EXCEEDED. */
int instance_registry_allocate(InstanceRegistry *registry,
                               uid_t owner,
                               uint8_t ret_id[static INSTANCE_ID_SIZE],
                               Error *error);

/* Makes @id @owner's: one that is not known, as it comes from elsewhere, or its own already; with
 * @force anybody's. ERROR_ACCESS_DENIED when it is another user's. */
int instance_registry_claim(InstanceRegistry *registry,
                            const uint8_t id[static INSTANCE_ID_SIZE],
                            uid_t owner,
                            bool force,
                            Error *error);

/* Whether @id is @owner's. */
bool instance_registry_has(const InstanceRegistry *registry,
                           const uint8_t id[static INSTANCE_ID_SIZE],
                           uid_t owner);

/* Forgets @id, which is @owner's, or with @force anybody's. ERROR_NO_SUCH_INSTANCE when it is not,
 * whether or not it is somebody else's. */
int instance_registry_remove(InstanceRegistry *registry,
                             const uint8_t id[static INSTANCE_ID_SIZE],
                             uid_t owner,
                             bool force,
                             Error *error);
