/* SPDX-License-Identifier: Apache-2.0 */
/* Hands out vsock context ids (CIDs): unique among living VMs, and not reused soon. Source:
 * vsock(7) reserves 0 to 2; AVF begins at 2048. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol/launch-spec.h"

#define CID_COUNT (LAUNCH_SPEC_CID_MAX - LAUNCH_SPEC_CID_MIN + 1)

typedef struct CidPool {
    uint32_t last; /* handed out last; 0: none yet */
    uint8_t used[(CID_COUNT + 7) / 8];
} CidPool;

/* -EADDRNOTAVAIL when all are taken. */
int cid_pool_acquire(CidPool *pool, uint32_t *ret_cid);
/* Takes this one, of a VM that lives already. -EADDRINUSE. */
int cid_pool_take(CidPool *pool, uint32_t cid);
void cid_pool_release(CidPool *pool, uint32_t cid);
