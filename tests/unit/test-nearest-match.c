/* SPDX-License-Identifier: Apache-2.0 */
#include "common/nearest-match.h"

#include "tests/helpers/test.h"

static const char *nearest(const char *word)
{
    static const char *const candidates[] = { "list", "run", "stop", "kill", "events", "info" };
    NearestMatch match;

    nearest_match_init(&match, word);
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
        nearest_match_offer(&match, candidates[i]);
    return match.best;
}

static void one_slip_is_found(void **state)
{
    (void)state;
    assert_string_equal(nearest("lst"), "list");
    assert_string_equal(nearest("lsit"), "list");
    assert_string_equal(nearest("stopp"), "stop");
    assert_string_equal(nearest("kull"), "kill");
    assert_string_equal(nearest("evnt"), "events");
}

static void far_words_have_no_match(void **state)
{
    (void)state;
    assert_null(nearest("frobnicate"));
    assert_null(nearest(""));
    assert_null(nearest("a-word-that-is-longer-than-all-candidates-together"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slip_is_found),
        cmocka_unit_test(far_words_have_no_match),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
