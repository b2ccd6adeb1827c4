/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/detach-key.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

#define KEY "\x1d" /* Ctrl+] */

static size_t type(DetachKey *detach, const char *keys, uint64_t now_usec)
{
    return detach_key_inspect(detach, (const uint8_t *)keys, strlen(keys), now_usec);
}

static void three_presses_within_a_second_detach(void **state)
{
    DetachKey detach;

    (void)state;
    assert_int_equal(detach_key_init(&detach, NULL, NULL), 0);
    assert_int_equal(type(&detach, "ab" KEY KEY KEY "c", 0), 4);
    assert_int_equal(detach_key_init(&detach, NULL, NULL), 0);
    assert_int_equal(type(&detach, KEY, 0), 1);
    assert_int_equal(type(&detach, KEY, 500000), 1);
    assert_int_equal(type(&detach, KEY, 1000000), 0);
}

static void slow_presses_do_not(void **state)
{
    DetachKey detach;

    (void)state;
    assert_int_equal(detach_key_init(&detach, NULL, NULL), 0);
    assert_int_equal(type(&detach, KEY, 0), 1);
    assert_int_equal(type(&detach, KEY, 600000), 1);
    assert_int_equal(type(&detach, KEY, 1000001), 1);
    /* But the last three do: they were within a second. */
    assert_int_equal(type(&detach, KEY, 1600000), 0);
}

static void other_keys_between_them_count_anew(void **state)
{
    DetachKey detach;

    (void)state;
    assert_int_equal(detach_key_init(&detach, NULL, NULL), 0);
    assert_int_equal(type(&detach, KEY KEY "x" KEY KEY, 0), 5);
    assert_int_equal(type(&detach, KEY, 0), 0);
}

static void chosen_keys_detach_at_once(void **state)
{
    static const struct {
        const char *text;
        char key;
        const char *description;
    } keys[] = { { "^]", '\x1d', "Ctrl+]" }, { "^a", '\x01', "Ctrl+A" }, { "^A", '\x01', "Ctrl+A" },
                 { "^@", '\0', "Ctrl+@" },   { "^_", '\x1f', "Ctrl+_" }, { "~", '~', "~" },
                 { "^", '^', "^" } };

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const uint8_t typed[] = { 'x', (uint8_t)keys[i].key };
        DetachKey detach;
        char text[64];

        assert_int_equal(detach_key_init(&detach, keys[i].text, NULL), 0);
        assert_int_equal(detach_key_inspect(&detach, typed, 2, 0), 1);
        assert_string_equal(detach_key_describe(&detach, text), keys[i].description);
    }
}

static void other_words_are_refused(void **state)
{
    static const char *const words[] = { "", " ", "ab", "^^^", "^1", "^~", "\xc3\xa4", "\x7f" };

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        DetachKey detach;
        Error error = ERROR_INIT;

        assert_int_equal(detach_key_init(&detach, words[i], &error), -EINVAL);
        assert_non_null(strstr(error_get_message(&error), "--escape"));
        error_clear(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_presses_within_a_second_detach),
        cmocka_unit_test(slow_presses_do_not),
        cmocka_unit_test(other_keys_between_them_count_anew),
        cmocka_unit_test(chosen_keys_detach_at_once),
        cmocka_unit_test(other_words_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
