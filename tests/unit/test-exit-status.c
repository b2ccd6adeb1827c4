/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/exit-status.h"

#include "tests/helpers/test.h"

static int status_of(const char *record)
{
    struct json_object *object = json_tokener_parse(record);
    int status = exit_status_from_death_record(object);

    assert_non_null(object);
    json_object_put(object);
    return status;
}

static void kinds_of_errors_have_the_documented_status(void **state)
{
    (void)state;
    assert_int_equal(exit_status_from_error(ERROR_NONE), 0);
    assert_int_equal(exit_status_from_error(ERROR_FAILED), 1);
    assert_int_equal(exit_status_from_error(ERROR_INVALID_CONFIG), 1);
    assert_int_equal(exit_status_from_error(ERROR_INVALID_ARGUMENT), 2);
    assert_int_equal(exit_status_from_error(ERROR_INVALID_STATE), 3);
    assert_int_equal(exit_status_from_error(ERROR_NO_SUCH_VM), 4);
    assert_int_equal(exit_status_from_error(ERROR_ACCESS_DENIED), 5);
    assert_int_equal(exit_status_from_error(ERROR_AUTHORIZATION_REQUIRED), 5);
    assert_int_equal(exit_status_from_error(ERROR_VM_EXISTS), 6);
    assert_int_equal(exit_status_from_error(ERROR_IMAGE_BUSY), 6);
    assert_int_equal(exit_status_from_error(ERROR_TIMED_OUT), 7);
    assert_int_equal(exit_status_from_error(ERROR_LIMITS_EXCEEDED), 8);
    assert_int_equal(exit_status_from_error(ERROR_UNAVAILABLE), 69);
}

static void no_error_has_the_status_of_success(void **state)
{
    (void)state;
    for (unsigned kind = ERROR_FAILED; kind < ERROR_KIND_MAX; kind++)
        assert_int_not_equal(exit_status_from_error((ErrorKind)kind), 0);
}

static void run_leaves_small_numbers_to_the_payload(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of_run_from_error(ERROR_NO_SUCH_VM), 125);
    assert_int_equal(exit_status_of_run_from_error(ERROR_INVALID_CONFIG), 125);
    assert_int_equal(exit_status_of_run_from_error(ERROR_UNAVAILABLE), 69);
}

static void exit_code_of_the_payload_is_passed_on(void **state)
{
    (void)state;
    assert_int_equal(status_of("{\"payload-exit-code\": 0}"), 0);
    assert_int_equal(status_of("{\"payload-exit-code\": 255}"), 255);
}

static void signal_of_the_payload_counts_from_128(void **state)
{
    (void)state;
    assert_int_equal(status_of("{\"payload-signal\": 11}"), 139);
    assert_int_equal(status_of("{\"payload-exit-code\": 1, \"payload-signal\": 9}"), 137);
}

static void record_without_the_payloads_end_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(status_of("{}"), 125);
    assert_int_equal(status_of("{\"vmm-exit-code\": 0}"), 125);
    assert_int_equal(status_of("{\"payload-exit-code\": \"0\"}"), 125);
}

static void number_out_of_range_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(status_of("{\"payload-exit-code\": 256}"), 125);
    assert_int_equal(status_of("{\"payload-exit-code\": -1}"), 125);
    assert_int_equal(status_of("{\"payload-signal\": 65}"), 125);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_of_errors_have_the_documented_status),
        cmocka_unit_test(no_error_has_the_status_of_success),
        cmocka_unit_test(run_leaves_small_numbers_to_the_payload),
        cmocka_unit_test(exit_code_of_the_payload_is_passed_on),
        cmocka_unit_test(signal_of_the_payload_counts_from_128),
        cmocka_unit_test(record_without_the_payloads_end_is_a_failure),
        cmocka_unit_test(number_out_of_range_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
