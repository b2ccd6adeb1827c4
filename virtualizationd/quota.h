/* SPDX-License-Identifier: Apache-2.0 */
/* What users hold of the daemon and of the host, and how much of it they may: each uid, and all
 * together. Everything that a caller can make the daemon keep is charged to its uid here, and given
 * back when its holder goes. Knows nothing of VMs and calls.
 *
 * root, and with --user the user, has no limits of its own but counts in the total, which also
 * refuses it: what protects users from each other is not for them, what protects the host is. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"

#define QUOTA_INFINITE UINT64_MAX

typedef enum QuotaResource {
    QUOTA_VMS, /* living VMs. Each has one CID, so this is the number of CIDs as well */
    QUOTA_CPUS,
    QUOTA_MEMORY,    /* bytes */
    QUOTA_FILES,     /* descriptors held for VMs that have not been started */
    QUOTA_CALLS,     /* calls that wait: for a launcher, a guest, polkit, a job on images */
    QUOTA_DISK_JOBS, /* jobs on images: each holds a process and a uid of the VMs' */
    QUOTA_RECORDS,   /* death records; what is too much is forgotten, not refused */
    QUOTA_RESOURCE_MAX,
} QuotaResource;

typedef struct QuotaLimit {
    uint64_t total, per_user; /* QUOTA_INFINITE: none */
} QuotaLimit;

typedef struct QuotaLimits {
    QuotaLimit resources[QUOTA_RESOURCE_MAX];
    QuotaLimit creation_rate;  /* VMs a second */
    QuotaLimit creation_burst; /* how many at once after a pause */
} QuotaLimits;

typedef struct Quota Quota;
typedef struct QuotaUser QuotaUser;

/* What one holder, such as a VM or a waiting call, has of @user's. All zero: nothing. */
typedef struct QuotaCharge {
    QuotaUser *user;
    uint64_t amounts[QUOTA_RESOURCE_MAX];
} QuotaCharge;

typedef struct QuotaUse {
    uint64_t used, max;
} QuotaUse;

/* @exempt is a uid besides root that has no limits of its own. */
Quota *quota_new(const QuotaLimits *limits, uid_t exempt);
/* All charges must have been released. */
Quota *quota_free(Quota *quota);
DEFINE_CLEANUP(Quota, quota_free);

/* For what is charged from then on: nothing is taken away. */
void quota_set_limits(Quota *quota, const QuotaLimits *limits);

/* Opens @charge, which is all zero, on @uid's account. ERROR_NO_MEMORY. */
int quota_charge_open(Quota *quota, uid_t uid, QuotaCharge *charge, Error *error);
/* Sets what @charge has of @resource. Less always works; more is ERROR_LIMITS_EXCEEDED with a
 * sentence that names limit and setting, and @charge is as it was. */
int quota_charge_set(QuotaCharge *charge, QuotaResource resource, uint64_t amount, Error *error);
/* The same for what is there already: it counts, even above the limit. */
void quota_charge_force(QuotaCharge *charge, QuotaResource resource, uint64_t amount);
/* Gives all back. May be called twice, and on a charge that was never opened. */
void quota_charge_release(QuotaCharge *charge);

/* Opens @charge and charges one call. */
int quota_charge_call(Quota *quota, uid_t uid, QuotaCharge *charge, Error *error);

/* Counts a creation at @now_usec (CLOCK_MONOTONIC). ERROR_LIMITS_EXCEEDED when there were too many
 * in too little time; that attempt does not count. */
int quota_count_creation(Quota *quota, uid_t uid, uint64_t now_usec, Error *error);

/* Whether one more death record of @uid is too many; then @ret_uid is whose oldest has to go: its
 * own, or, where only the total is full, of whom has the most. So nobody's deaths push out what
 * others have while it has more than they. */
bool quota_is_record_too_much(const Quota *quota, uid_t uid, uid_t *ret_uid);

bool quota_is_exempt(const Quota *quota, uid_t uid);
QuotaUse quota_get_use(const Quota *quota, uid_t uid, QuotaResource resource);
QuotaUse quota_get_total(const Quota *quota, QuotaResource resource);
/* The used part of the burst, as it is at @now_usec. */
QuotaUse quota_get_creations(const Quota *quota, uid_t uid, uint64_t now_usec);
QuotaUse quota_get_total_creations(const Quota *quota, uint64_t now_usec);
