/* SPDX-License-Identifier: Apache-2.0 */
/* An account for each uid that holds something, and one sum. Accounts are found by walking over
 * them: there are as many as users, not as many as VMs, and one that is empty goes.
 *
 * Creations are a token bucket, kept as the time at which it will be full again: a creation moves
 * that by the time in which one token comes back, and is refused when it would lie more than a
 * whole bucket ahead. */
#include "virtualizationd/quota.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/ckd.h"
#include "common/clock.h"

struct QuotaUser {
    LIST_ENTRY(QuotaUser) link;
    Quota *quota;
    uid_t uid;
    size_t n_charges;
    uint64_t used[QUOTA_RESOURCE_MAX];
    uint64_t full_at_usec; /* of its bucket */
};

struct Quota {
    LIST_HEAD(, QuotaUser) users;
    QuotaLimits limits;
    uid_t exempt;
    uint64_t used[QUOTA_RESOURCE_MAX];
    uint64_t full_at_usec;
};

static const struct {
    const char *what;
    const char *setting, *setting_per_user;
    const char *remedy;
    uint64_t unit;
} texts[QUOTA_RESOURCE_MAX] = {
    [QUOTA_VMS] = { "VMs", "VMsMax", "VMsMaxPerUser", "end one", 1 },
    [QUOTA_CPUS] = { "vCPUs", "CpusMax", "CpusMaxPerUser", "end a VM", 1 },
    [QUOTA_MEMORY] = { "MiB of memory", "MemoryMaxMiB", "MemoryMaxPerUserMiB", "end a VM",
                       1 << 20 },
    [QUOTA_FILES] = { "files of VMs that were not started", "FilesMax", "FilesMaxPerUser",
                      "start a VM or end one", 1 },
    [QUOTA_CALLS] = { "calls that wait", "CallsMax", "CallsMaxPerUser", "wait for one", 1 },
    [QUOTA_DISK_JOBS] = { "jobs on images", "DiskJobsMax", "DiskJobsMaxPerUser", "wait for one",
                          1 },
    [QUOTA_RECORDS] = { "death records", "RecordsMax", "RecordsMaxPerUser", "wait", 1 },
};

Quota *quota_new(const QuotaLimits *limits, uid_t exempt)
{
    Quota *quota = calloc(1, sizeof(*quota));

    if (!quota)
        return NULL;
    LIST_INIT(&quota->users);
    quota->limits = *limits;
    quota->exempt = exempt;
    return quota;
}

Quota *quota_free(Quota *quota)
{
    QuotaUser *user;

    if (!quota)
        return NULL;
    while ((user = LIST_FIRST(&quota->users))) {
        assert(user->n_charges == 0); /* else a charge would point into the void */
        LIST_REMOVE(user, link);
        free(user);
    }
    free(quota);
    return NULL;
}

void quota_set_limits(Quota *quota, const QuotaLimits *limits)
{
    quota->limits = *limits;
}

bool quota_is_exempt(const Quota *quota, uid_t uid)
{
    return uid == 0 || uid == quota->exempt;
}

/* --- accounts --- */

static QuotaUser *find_user(const Quota *quota, uid_t uid)
{
    QuotaUser *user;

    LIST_FOREACH(user, &quota->users, link)
    {
        if (user->uid == uid)
            return user;
    }
    return NULL;
}

/* NULL when out of memory. */
static QuotaUser *ensure_user(Quota *quota, uid_t uid)
{
    QuotaUser *user = find_user(quota, uid);

    if (user)
        return user;
    user = calloc(1, sizeof(*user));
    if (!user)
        return NULL;
    user->quota = quota;
    user->uid = uid;
    LIST_INSERT_HEAD(&quota->users, user, link);
    return user;
}

/* Drops the accounts that nothing is known of any more. */
static void forget_idle_users(Quota *quota, uint64_t now_usec)
{
    QuotaUser *user, *next;

    for (user = LIST_FIRST(&quota->users); user; user = next) {
        next = LIST_NEXT(user, link);
        if (user->n_charges > 0 || user->full_at_usec > now_usec)
            continue;
        LIST_REMOVE(user, link);
        free(user);
    }
}

static uint64_t get_max(const Quota *quota, uid_t uid, const QuotaLimit *limit)
{
    return quota_is_exempt(quota, uid) ? QUOTA_INFINITE : limit->per_user;
}

/* --- charges --- */

int quota_charge_open(Quota *quota, uid_t uid, QuotaCharge *charge, Error *error)
{
    assert(!charge->user);
    charge->user = ensure_user(quota, uid);
    if (!charge->user)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    charge->user->n_charges++;
    return 0;
}

/* Infinity is above every sum; one that overflows is above every limit but that. */
static bool is_too_much(uint64_t used, uint64_t more, uint64_t max)
{
    uint64_t sum;

    return ckd_add(&sum, used, more) || sum > max;
}

static int check(const QuotaUser *user, QuotaResource resource, uint64_t more, Error *error)
{
    const Quota *quota = user->quota;
    const QuotaLimit *limit = &quota->limits.resources[resource];
    uint64_t unit = texts[resource].unit, max = get_max(quota, user->uid, limit);

    if (is_too_much(user->used[resource], more, max))
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "uid %u has %" PRIu64 " %s, and with %" PRIu64 " more would be above its "
                         "limit of %" PRIu64 " (%s= in [Limits]): %s",
                         user->uid, user->used[resource] / unit, texts[resource].what, more / unit,
                         max / unit, texts[resource].setting_per_user, texts[resource].remedy);
    if (is_too_much(quota->used[resource], more, limit->total))
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "%" PRIu64 " more %s would be above the limit of %" PRIu64
                         " of all users together (%s= in [Limits]): %s",
                         more / unit, texts[resource].what, limit->total / unit,
                         texts[resource].setting, texts[resource].remedy);
    return 0;
}

void quota_charge_force(QuotaCharge *charge, QuotaResource resource, uint64_t amount)
{
    QuotaUser *user = charge->user;
    uint64_t before = charge->amounts[resource];

    user->used[resource] = user->used[resource] - before + amount;
    user->quota->used[resource] = user->quota->used[resource] - before + amount;
    charge->amounts[resource] = amount;
}

int quota_charge_set(QuotaCharge *charge, QuotaResource resource, uint64_t amount, Error *error)
{
    uint64_t before = charge->amounts[resource];

    if (amount == before)
        return 0;
    int r = amount > before ? check(charge->user, resource, amount - before, error) : 0;
    if (r < 0)
        return r;
    quota_charge_force(charge, resource, amount);
    return 0;
}

void quota_charge_release(QuotaCharge *charge)
{
    QuotaUser *user = charge->user;

    if (!user)
        return;
    for (QuotaResource resource = 0; resource < QUOTA_RESOURCE_MAX; resource++)
        quota_charge_force(charge, resource, 0);
    charge->user = NULL;
    user->n_charges--;
    if (user->n_charges == 0 && user->full_at_usec == 0) {
        LIST_REMOVE(user, link);
        free(user);
    }
}

int quota_charge_call(Quota *quota, uid_t uid, QuotaCharge *charge, Error *error)
{
    int r = quota_charge_open(quota, uid, charge, error);

    if (r < 0)
        return r;
    r = quota_charge_set(charge, QUOTA_CALLS, 1, error);
    if (r < 0)
        quota_charge_release(charge);
    return r;
}

/* --- creations --- */

/* How long it takes for one token to come back; 0 when there is no limit. */
static uint64_t token_usec(uint64_t rate)
{
    return rate == QUOTA_INFINITE ? 0 : USEC_PER_SEC / rate;
}

static uint64_t count_used(uint64_t full_at_usec, uint64_t rate, uint64_t now_usec)
{
    uint64_t token = token_usec(rate);

    return token == 0 || full_at_usec <= now_usec ? 0
                                                  : (full_at_usec - now_usec + token - 1) / token;
}

/* Sets @ret_full to when the bucket would be full after one more; false when it has no token. */
static bool use_token(
    uint64_t full_at_usec, uint64_t rate, uint64_t burst, uint64_t now_usec, uint64_t *ret_full)
{
    uint64_t full = full_at_usec > now_usec ? full_at_usec : now_usec;
    uint64_t token = token_usec(rate), ahead;

    full += token;
    if (token != 0 && !ckd_mul(&ahead, burst, token) && full - now_usec > ahead)
        return false;
    *ret_full = full;
    return true;
}

int quota_count_creation(Quota *quota, uid_t uid, uint64_t now_usec, Error *error)
{
    uint64_t rate = get_max(quota, uid, &quota->limits.creation_rate);
    uint64_t burst = get_max(quota, uid, &quota->limits.creation_burst);
    uint64_t full_of_user, full_of_all;

    forget_idle_users(quota, now_usec);
    QuotaUser *user = ensure_user(quota, uid);
    if (!user)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (!use_token(user->full_at_usec, rate, burst, now_usec, &full_of_user))
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "uid %u makes more than %" PRIu64 " VMs a second "
                         "(CreationRatePerUser= in [Limits]) after %" PRIu64
                         " at once (CreationBurstPerUser=): try again in a moment",
                         uid, rate, burst);
    rate = quota->limits.creation_rate.total;
    burst = quota->limits.creation_burst.total;
    if (!use_token(quota->full_at_usec, rate, burst, now_usec, &full_of_all))
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "all users together make more than %" PRIu64 " VMs a second "
                         "(CreationRate= in [Limits]) after %" PRIu64
                         " at once (CreationBurst=): try again in a moment",
                         rate, burst);
    user->full_at_usec = full_of_user;
    quota->full_at_usec = full_of_all;
    return 0;
}

/* --- death records --- */

bool quota_is_record_too_much(const Quota *quota, uid_t uid, uid_t *ret_uid)
{
    const QuotaLimit *limit = &quota->limits.resources[QUOTA_RECORDS];
    const QuotaUser *own = find_user(quota, uid), *user;
    uint64_t most = own ? own->used[QUOTA_RECORDS] : 0;
    uid_t heaviest = uid;

    if (most >= get_max(quota, uid, limit)) {
        *ret_uid = uid;
        return true;
    }
    if (quota->used[QUOTA_RECORDS] < limit->total)
        return false;
    LIST_FOREACH(user, &quota->users, link)
    {
        if (user->used[QUOTA_RECORDS] > most) {
            most = user->used[QUOTA_RECORDS];
            heaviest = user->uid;
        }
    }
    *ret_uid = heaviest;
    return true;
}

/* --- what is in use --- */

QuotaUse quota_get_use(const Quota *quota, uid_t uid, QuotaResource resource)
{
    const QuotaUser *user = find_user(quota, uid);

    return (QuotaUse){ .used = user ? user->used[resource] : 0,
                       .max = get_max(quota, uid, &quota->limits.resources[resource]) };
}

QuotaUse quota_get_total(const Quota *quota, QuotaResource resource)
{
    return (QuotaUse){ .used = quota->used[resource],
                       .max = quota->limits.resources[resource].total };
}

QuotaUse quota_get_creations(const Quota *quota, uid_t uid, uint64_t now_usec)
{
    uint64_t rate = get_max(quota, uid, &quota->limits.creation_rate);
    const QuotaUser *user = find_user(quota, uid);

    return (QuotaUse){ .used = user ? count_used(user->full_at_usec, rate, now_usec) : 0,
                       .max = get_max(quota, uid, &quota->limits.creation_burst) };
}

QuotaUse quota_get_total_creations(const Quota *quota, uint64_t now_usec)
{
    return (QuotaUse){ .used = count_used(quota->full_at_usec, quota->limits.creation_rate.total,
                                          now_usec),
                       .max = quota->limits.creation_burst.total };
}
