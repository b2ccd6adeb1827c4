/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/cid-pool.h"

#include <assert.h>
#include <errno.h>

static uint8_t bit(uint32_t index)
{
    return (uint8_t)(1U << index % 8);
}

int cid_pool_acquire(CidPool *pool, uint32_t *ret_cid)
{
    uint32_t first = pool->last == 0 ? 0 : pool->last - LAUNCH_SPEC_CID_MIN + 1;

    for (uint32_t i = 0; i < CID_COUNT; i++) {
        uint32_t index = (first + i) % CID_COUNT;

        if (pool->used[index / 8] & bit(index))
            continue;
        pool->used[index / 8] |= bit(index);
        pool->last = LAUNCH_SPEC_CID_MIN + index;
        *ret_cid = pool->last;
        return 0;
    }
    return -EADDRNOTAVAIL;
}

int cid_pool_take(CidPool *pool, uint32_t cid)
{
    assert(cid >= LAUNCH_SPEC_CID_MIN && cid <= LAUNCH_SPEC_CID_MAX);
    uint32_t index = cid - LAUNCH_SPEC_CID_MIN;

    if (pool->used[index / 8] & bit(index))
        return -EADDRINUSE;
    pool->used[index / 8] |= bit(index);
    if (cid > pool->last)
        pool->last = cid; /* what was handed out lately is likely below */
    return 0;
}

void cid_pool_release(CidPool *pool, uint32_t cid)
{
    assert(cid >= LAUNCH_SPEC_CID_MIN && cid <= LAUNCH_SPEC_CID_MAX);
    uint32_t index = cid - LAUNCH_SPEC_CID_MIN;
    pool->used[index / 8] &= (uint8_t)~bit(index);
}
