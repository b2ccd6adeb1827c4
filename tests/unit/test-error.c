/* SPDX-License-Identifier: Apache-2.0 */
#include "common/error.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

static void kind_sentence_and_errno_belong_together(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_string_equal(error_get_message(&error), "no error");
    assert_int_equal(error_set(&error, ERROR_NO_SUCH_VM, "no VM named '%s'", "x"), -ENOENT);
    assert_int_equal(error.kind, ERROR_NO_SUCH_VM);
    assert_string_equal(error_get_message(&error), "no VM named 'x'");
    error_clear(&error);
    assert_int_equal(error.kind, ERROR_NONE);
    error_clear(&error);
    assert_int_equal(error_set(NULL, ERROR_IMAGE_BUSY, "unheard"), -EBUSY);
}

static void first_cause_wins(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)error_set(&error, ERROR_INVALID_FILE, "first");
    /* Each still returns its own number. */
    assert_int_equal(error_set(&error, ERROR_TIMED_OUT, "second"), -ETIMEDOUT);
    assert_int_equal(error_set_errno(&error, ERROR_FAILED, EPERM, "third"), -EPERM);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    assert_string_equal(error_get_message(&error), "first");
}

static void failed_call_keeps_its_own_errno(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    char expected[128];

    assert_int_equal(error_set_errno(&error, ERROR_INVALID_FILE, -EXDEV, "disk %d", 3), -EXDEV);
    (void)snprintf(expected, sizeof(expected), "disk 3: %s", strerror(EXDEV));
    assert_string_equal(error_get_message(&error), expected);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    assert_int_equal(error_set_errno(NULL, ERROR_FAILED, EXDEV, "unheard"), -EXDEV);
}

static void lack_of_memory_overrules_the_kind(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(error_set_errno(&error, ERROR_FAILED, ENOMEM, "x"), -ENOMEM);
    assert_int_equal(error.kind, ERROR_NO_MEMORY);
    error_clear(&error);
    error.kind = ERROR_NO_MEMORY; /* as when the sentence could not be allocated */
    assert_string_equal(error_get_message(&error), strerror(ENOMEM));
}

static void move_empties_its_source(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error destination = ERROR_INIT;
    Error source = ERROR_INIT;

    error_move(&destination, &source); /* nothing to move */
    assert_int_equal(destination.kind, ERROR_NONE);

    (void)error_set(&source, ERROR_VM_EXISTS, "moved");
    error_move(&destination, &source);
    assert_int_equal(source.kind, ERROR_NONE);
    assert_null(source.message);
    assert_string_equal(error_get_message(&destination), "moved");

    (void)error_set(&source, ERROR_FAILED, "too late");
    error_move(&destination, &source);
    assert_int_equal(source.kind, ERROR_NONE);
    assert_int_equal(destination.kind, ERROR_VM_EXISTS);

    (void)error_set(&source, ERROR_FAILED, "nobody wants it");
    error_move(NULL, &source);
    assert_null(source.message);
}

static void every_kind_has_an_errno_and_a_bus_name_of_its_own(void **state)
{
    (void)state;

    for (unsigned kind = ERROR_FAILED; kind < ERROR_KIND_MAX; kind++) {
        const char *name = error_kind_to_bus_name((ErrorKind)kind);

        assert_true(error_kind_to_errno((ErrorKind)kind) > 0);
        assert_true(strncmp(name, "org.virtualizationd1.Error.", 27) == 0 ||
                    strncmp(name, "org.freedesktop.DBus.Error.", 27) == 0);
        assert_int_equal(error_kind_from_bus_name(name), kind);
    }
    assert_int_equal(error_kind_to_errno(ERROR_NONE), 0);
    assert_int_equal(error_kind_from_bus_name("org.example.Unheard"), ERROR_FAILED);
    assert_int_equal(error_kind_from_bus_name(""), ERROR_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kind_sentence_and_errno_belong_together),
        cmocka_unit_test(first_cause_wins),
        cmocka_unit_test(failed_call_keeps_its_own_errno),
        cmocka_unit_test(lack_of_memory_overrules_the_kind),
        cmocka_unit_test(move_empties_its_source),
        cmocka_unit_test(every_kind_has_an_errno_and_a_bus_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
