/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/quota.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "tests/helpers/test.h"

#define TOTAL    5
#define PER_USER 3
#define OWN      4000 /* a user's own daemon's */
#define NOW      (100 * USEC_PER_SEC)

static Quota *make_quota(void)
{
    QuotaLimits limits = { .creation_rate = { 10, 2 }, .creation_burst = { 6, 3 } };

    for (QuotaResource i = 0; i < QUOTA_RESOURCE_MAX; i++)
        limits.resources[i] = (QuotaLimit){ TOTAL, PER_USER };
    Quota *quota = quota_new(&limits, OWN);
    assert_non_null(quota);
    return quota;
}

static QuotaCharge open_charge(Quota *quota, uid_t uid)
{
    QuotaCharge charge = { 0 };

    assert_int_equal(quota_charge_open(quota, uid, &charge, NULL), 0);
    return charge;
}

static void assert_refused(QuotaCharge *charge,
                           QuotaResource resource,
                           uint64_t amount,
                           const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    uint64_t before = charge->amounts[resource];

    assert_true(quota_charge_set(charge, resource, amount, &error) < 0);
    assert_int_equal(error.kind, ERROR_LIMITS_EXCEEDED);
    assert_non_null(strstr(error_get_message(&error), sentence));
    assert_int_equal(charge->amounts[resource], before);
}

static void each_resource_is_taken_up_to_the_users_limit_and_no_further(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();
    static const char *const settings[QUOTA_RESOURCE_MAX] = {
        [QUOTA_VMS] = "(VMsMaxPerUser=",          [QUOTA_CPUS] = "(CpusMaxPerUser=",
        [QUOTA_MEMORY] = "(MemoryMaxPerUserMiB=", [QUOTA_FILES] = "(FilesMaxPerUser=",
        [QUOTA_CALLS] = "(CallsMaxPerUser=",      [QUOTA_DISK_JOBS] = "(DiskJobsMaxPerUser=",
        [QUOTA_RECORDS] = "(RecordsMaxPerUser=",
    };

    (void)state;
    for (QuotaResource i = 0; i < QUOTA_RESOURCE_MAX; i++) {
        QuotaCharge first = open_charge(quota, 1000), second = open_charge(quota, 1000);

        assert_int_equal(quota_charge_set(&first, i, PER_USER - 1, NULL), 0);
        assert_int_equal(quota_charge_set(&second, i, 1, NULL), 0);
        assert_refused(&second, i, 2, settings[i]);
        assert_refused(&second, i, 2, "uid 1000 ");
        assert_refused(&second, i, UINT64_MAX, settings[i]);
        assert_int_equal(quota_get_use(quota, 1000, i).used, PER_USER);
        assert_int_equal(quota_get_use(quota, 1000, i).max, PER_USER);
        assert_int_equal(quota_get_use(quota, 1001, i).used, 0);

        quota_charge_release(&first);
        quota_charge_release(&first);
        assert_int_equal(quota_get_use(quota, 1000, i).used, 1);
        assert_int_equal(quota_charge_set(&second, i, PER_USER, NULL), 0);
        quota_charge_release(&second);
        assert_int_equal(quota_get_total(quota, i).used, 0);
    }
}

static void all_users_together_are_held_to_the_total(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();
    QuotaCharge one = open_charge(quota, 1000), other = open_charge(quota, 1001);
    QuotaCharge root = open_charge(quota, 0);

    (void)state;
    assert_int_equal(quota_charge_set(&one, QUOTA_VMS, 3, NULL), 0);
    assert_int_equal(quota_charge_set(&other, QUOTA_VMS, 2, NULL), 0);
    assert_refused(&other, QUOTA_VMS, 3, "limit of 5 of all users together (VMsMax=");
    assert_refused(&root, QUOTA_VMS, 1, "(VMsMax=");
    assert_int_equal(quota_charge_set(&one, QUOTA_VMS, 2, NULL), 0);
    assert_int_equal(quota_charge_set(&root, QUOTA_VMS, 1, NULL), 0);
    assert_int_equal(quota_get_total(quota, QUOTA_VMS).used, TOTAL);
    assert_int_equal(quota_get_total(quota, QUOTA_VMS).max, TOTAL);
    quota_charge_release(&one);
    quota_charge_release(&other);
    quota_charge_release(&root);
}

static void root_and_a_users_own_daemon_have_no_limit_of_their_own(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uid_t uid = i == 0 ? 0 : OWN;
        QuotaCharge charge = open_charge(quota, uid);

        assert_true(quota_is_exempt(quota, uid));
        assert_int_equal(quota_charge_set(&charge, QUOTA_CPUS, TOTAL, NULL), 0);
        assert_refused(&charge, QUOTA_CPUS, TOTAL + 1, "(CpusMax=");
        assert_true(quota_get_use(quota, uid, QUOTA_CPUS).max == QUOTA_INFINITE);
        quota_charge_release(&charge);
    }
    assert_false(quota_is_exempt(quota, OWN + 1));
}

static void what_is_there_counts_above_the_limit(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();
    QuotaCharge adopted = open_charge(quota, 1000), more = open_charge(quota, 1000);

    (void)state;
    quota_charge_force(&adopted, QUOTA_VMS, 9);
    assert_int_equal(quota_get_use(quota, 1000, QUOTA_VMS).used, 9);
    assert_refused(&more, QUOTA_VMS, 1, "uid 1000 has 9 VMs");
    assert_int_equal(quota_charge_set(&adopted, QUOTA_VMS, 8, NULL), 0); /* less always works */
    quota_charge_release(&adopted);
    assert_int_equal(quota_charge_set(&more, QUOTA_VMS, 1, NULL), 0);
    quota_charge_release(&more);
}

static void new_limits_take_nothing_away(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();
    QuotaCharge charge = open_charge(quota, 1000);
    QuotaLimits limits = { .creation_rate = { 1, 1 }, .creation_burst = { 1, 1 } };

    (void)state;
    assert_int_equal(quota_charge_set(&charge, QUOTA_VMS, 3, NULL), 0);
    limits.resources[QUOTA_VMS] = (QuotaLimit){ QUOTA_INFINITE, 1 };
    quota_set_limits(quota, &limits);
    assert_int_equal(quota_get_use(quota, 1000, QUOTA_VMS).used, 3);
    assert_refused(&charge, QUOTA_VMS, 4, "limit of 1 (");
    limits.resources[QUOTA_VMS].per_user = QUOTA_INFINITE;
    quota_set_limits(quota, &limits);
    assert_int_equal(quota_charge_set(&charge, QUOTA_VMS, 1 << 20, NULL), 0);
    quota_charge_release(&charge);
}

static void calls_are_charged_one_by_one(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();
    QuotaCharge charges[PER_USER + 1] = { 0 };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < PER_USER; i++)
        assert_int_equal(quota_charge_call(quota, 1000, &charges[i], NULL), 0);
    assert_true(quota_charge_call(quota, 1000, &charges[PER_USER], &error) < 0);
    assert_int_equal(error.kind, ERROR_LIMITS_EXCEEDED);
    assert_null(charges[PER_USER].user);
    for (size_t i = 0; i < PER_USER; i++)
        quota_charge_release(&charges[i]);
    assert_int_equal(quota_get_total(quota, QUOTA_CALLS).used, 0);
}

static void assert_creation_refused(Quota *quota, uid_t uid, uint64_t now, const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_true(quota_count_creation(quota, uid, now, &error) < 0);
    assert_int_equal(error.kind, ERROR_LIMITS_EXCEEDED);
    assert_non_null(strstr(error_get_message(&error), sentence));
}

static void creations_are_limited_by_burst_then_by_rate(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();

    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(quota_count_creation(quota, 1000, NOW, NULL), 0);
        assert_int_equal(quota_get_creations(quota, 1000, NOW).used, i);
    }
    assert_int_equal(quota_get_creations(quota, 1000, NOW).max, 3);
    assert_creation_refused(quota, 1000, NOW, "CreationRatePerUser=");
    /* Two a second: one token is back after half of it, and not a microsecond before. */
    assert_creation_refused(quota, 1000, NOW + USEC_PER_SEC / 2 - 1, "uid 1000 ");
    assert_int_equal(quota_count_creation(quota, 1000, NOW + USEC_PER_SEC / 2, NULL), 0);
    assert_creation_refused(quota, 1000, NOW + USEC_PER_SEC / 2, "CreationBurstPerUser=");
    /* A long pause fills the bucket, and no more than that. */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(quota_count_creation(quota, 1000, 2 * NOW, NULL), 0);
    assert_creation_refused(quota, 1000, 2 * NOW, "uid 1000 ");
}

static void creations_of_all_are_limited_together(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(quota_count_creation(quota, 1000, NOW, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(quota_count_creation(quota, 0, NOW, NULL), 0);
    assert_creation_refused(quota, 0, NOW, "(CreationRate=");
    assert_creation_refused(quota, 1001, NOW, "(CreationRate=");
    assert_int_equal(quota_get_creations(quota, 1001, NOW).used, 0); /* a refusal costs nothing */
    assert_int_equal(quota_get_total_creations(quota, NOW).used, 6);
    assert_int_equal(quota_count_creation(quota, 1001, NOW + USEC_PER_SEC / 10, NULL), 0);
}

static void infinite_rate_refuses_nothing(void **state)
{
    const QuotaLimits limits = { .creation_rate = { QUOTA_INFINITE, QUOTA_INFINITE },
                                 .creation_burst = { 1, 1 } };
    _cleanup_(quota_freep) Quota *quota = quota_new(&limits, 0);

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(quota_count_creation(quota, 1000, NOW, NULL), 0);
    assert_int_equal(quota_get_creations(quota, 1000, NOW).used, 0);
}

static void add_records(Quota *quota, uid_t uid, uint64_t n, QuotaCharge *ret_charge)
{
    *ret_charge = open_charge(quota, uid);
    quota_charge_force(ret_charge, QUOTA_RECORDS, n);
}

static void too_many_records_push_out_their_own_or_the_heaviest_users(void **state)
{
    _cleanup_(quota_freep) Quota *quota = make_quota();
    QuotaCharge own, other, root;
    uid_t whose = 42;

    (void)state;
    add_records(quota, 1001, 3, &other);
    assert_true(quota_is_record_too_much(quota, 1001, &whose)); /* its own limit */
    assert_int_equal(whose, 1001);
    assert_false(quota_is_record_too_much(quota, 1000, &whose));
    add_records(quota, 1000, 2, &own);
    assert_true(quota_is_record_too_much(quota, 1000, &whose)); /* the total */
    assert_int_equal(whose, 1001);
    assert_true(quota_is_record_too_much(quota, 1002, &whose)); /* one who has none yet */
    assert_int_equal(whose, 1001);
    quota_charge_force(&other, QUOTA_RECORDS, 1);
    add_records(quota, 0, 2, &root);
    assert_true(quota_is_record_too_much(quota, 0, &whose)); /* as many as another: its own */
    assert_int_equal(whose, 0);
    assert_true(quota_is_record_too_much(quota, 1000, &whose));
    assert_int_equal(whose, 1000);
    quota_charge_release(&own);
    assert_false(quota_is_record_too_much(quota, 1001, &whose));
    quota_charge_release(&other);
    quota_charge_release(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_resource_is_taken_up_to_the_users_limit_and_no_further),
        cmocka_unit_test(all_users_together_are_held_to_the_total),
        cmocka_unit_test(root_and_a_users_own_daemon_have_no_limit_of_their_own),
        cmocka_unit_test(what_is_there_counts_above_the_limit),
        cmocka_unit_test(new_limits_take_nothing_away),
        cmocka_unit_test(calls_are_charged_one_by_one),
        cmocka_unit_test(creations_are_limited_by_burst_then_by_rate),
        cmocka_unit_test(creations_of_all_are_limited_together),
        cmocka_unit_test(infinite_rate_refuses_nothing),
        cmocka_unit_test(too_many_records_push_out_their_own_or_the_heaviest_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
