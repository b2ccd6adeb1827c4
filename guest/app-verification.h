/* SPDX-License-Identifier: Apache-2.0 */
/* Has the parts of an app VM verified by apk-verify, all in one run, for app-identity. */
#pragma once

#include "common/error.h"
#include "guest/instance-data.h"
#include "guest/partition-table.h"

typedef struct AppIdentity AppIdentity;

/* Fills in what only a verification tells: of APKs that are not those in @recorded, which may be
 * NULL, who has signed them and what they are; of the others that is in the record. Of modules
 * always: it is little work, and tells where in the partition the image is. ERROR_IMAGE_INVALID
 * says of which part what is wrong. */
int app_verification_run(const PartitionTable *partitions,
                         AppIdentity *identity,
                         const InstanceData *recorded,
                         Error *error);
