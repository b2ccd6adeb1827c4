/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json-keys.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define KEYS 4

static int check(const char *text, Error *error)
{
    return json_keys_check(text, strlen(text), KEYS, ERROR_INVALID_CONFIG, error);
}

static void sound_texts_pass(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "1",
        "\"a\"",
        "\"a:\"",
        "{}",
        "[]",
        "{\"a\":1}",
        "{\"a\":{\"a\":{\"a\":1}}}",       /* the same key in other objects */
        "[{\"a\":1},{\"a\":1},{\"a\":1}]", /* the same key in other objects */
        "{\"a\":\"a\",\"b\":\"a\"}",       /* values are no keys */
        "{\"a\":\"\\\":{\",\"b\":\"\\\\\"}",
        "{\"a\" :\t\"'\" ,\n\"b\"\r: [\"a\", \"a\"]}",
        "{\"a\":1,\"aa\":2,\"\":3}",
    };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++)
        assert_int_equal(check(texts[i], NULL), 0);
}

static void what_is_refused_is_named_by_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence;
    } cases[] = {
        { "{\"a\":1,\"a\":2}", "/a: the key is there twice" },
        { "{\"a\":1,\"b\":2 ,\t\"a\"\n:2}", "/a: the key is there twice" },
        { "{\"a\":{\"b\":1},\"a\":2}", "/a: the key is there twice" },
        { "{\"a\":{\"b\":1,\"b\":2}}", "/a/b: the key is there twice" },
        { "{\"a\":[0,[1,{\"b\":1}],{\"b\":1,\"b\":2}]}", "/a/2/b: the key is there twice" },
        { "{\"\":1,\"\":2}", "/: the key is there twice" },
        { "{\"\\u0061\":1}", "/\\x5cu0061: unknown key" },
        { "{'a':1}", "/: strings stand in double quotes" },
        { "{\"a\":['b']}", "/a/0: strings stand in double quotes" },
        { "{\"a\":{\"\x01\":1}}", "/a/: a string has a control character" },
        { "[\"a\", \"b\nc\"]", "/1: a string has a control character" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;

        assert_int_equal(check(cases[i].text, &error), -EINVAL);
        assert_int_equal(error.kind, ERROR_INVALID_CONFIG);
        assert_string_equal(error_get_message(&error), cases[i].sentence);
    }
}

static void keys_are_taken_up_to_the_maximum(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(check("{\"a\":{\"b\":1,\"c\":1},\"d\":1}", &error), 0);
    assert_int_equal(check("{\"a\":{\"b\":1,\"c\":1},\"d\":1,\"e\":1}", &error), -EINVAL);
    assert_string_equal(error_get_message(&error), "/e: too many keys");
    assert_int_equal(json_keys_check("{}", 2, 0, ERROR_FAILED, NULL), 0);
    assert_int_equal(json_keys_check("{\"a\":1}", 7, 0, ERROR_FAILED, NULL), -EIO);
}

static void containers_nest_up_to_the_maximum(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    char text[2 * JSON_KEYS_DEPTH_MAX + 3];

    memset(text, '[', JSON_KEYS_DEPTH_MAX);
    memset(text + JSON_KEYS_DEPTH_MAX, ']', JSON_KEYS_DEPTH_MAX);
    assert_int_equal(json_keys_check(text, 2 * JSON_KEYS_DEPTH_MAX, KEYS, ERROR_FAILED, &error), 0);
    memset(text, '[', JSON_KEYS_DEPTH_MAX + 1);
    memset(text + JSON_KEYS_DEPTH_MAX + 1, ']', JSON_KEYS_DEPTH_MAX + 1);
    assert_int_equal(json_keys_check(text, 2 * JSON_KEYS_DEPTH_MAX + 2, KEYS, ERROR_FAILED, &error),
                     -EIO);
    assert_non_null(strstr(error_get_message(&error), "/0/0: nested too deeply"));
}

static void long_places_are_cut(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    char text[3000];
    size_t length = 0;

    for (unsigned i = 0; i < 2; i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "{\"");
        memset(text + length, i == 0 ? 'x' : '\x7f', 1000);
        length += 1000;
        length += (size_t)snprintf(text + length, sizeof(text) - length, "\":");
    }
    (void)snprintf(text + length, sizeof(text) - length, "'");
    assert_int_equal(check(text, &error), -EINVAL);
    assert_true(strlen(error_get_message(&error)) < 300);
    assert_non_null(strstr(error_get_message(&error), "xxx: strings stand in double quotes"));
}

/* It is for text that a parser has taken, and must not run away on other text either. */
static void text_that_is_no_json_is_survived(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\"", "\"\\", "\"a\\\"", "{\"a", "{\"a\"", "{\"a\":", "}", "]]]]", "\"a\":1", ",,,", ":",
    };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++)
        (void)check(texts[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_texts_pass),
        cmocka_unit_test(what_is_refused_is_named_by_its_place),
        cmocka_unit_test(keys_are_taken_up_to_the_maximum),
        cmocka_unit_test(containers_nest_up_to_the_maximum),
        cmocka_unit_test(long_places_are_cut),
        cmocka_unit_test(text_that_is_no_json_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
