/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/options.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

#define ARGUMENTS_MAX 8

static int do_nothing(const Options *options)
{
    (void)options;
    return 0;
}

static const Verb verbs[] = {
    { .name = "list", .options = "all json", .run = do_nothing },
    { .name = "run",
      .n_min = 1,
      .n_max = 1,
      .argument = "a file",
      .options = "console detach name",
      .run = do_nothing },
    { .name = "run-app",
      .n_min = 1,
      .n_max = 3,
      .argument = "an archive",
      .options = "extra-apk extra-idsig payload-binary-name payload_path",
      .run = do_nothing },
    { .name = "stop", .n_min = 1, .n_max = SIZE_MAX, .argument = "a VM", .run = do_nothing },
    { .name = NULL },
};

/* Parses the NULL-terminated @arguments, which getopt reorders. */
static int parse(char *arguments[static ARGUMENTS_MAX], Options *options, Error *error)
{
    int n = 0;

    while (arguments[n])
        n++;
    return options_parse(n, arguments, verbs, options, error);
}

#define WORD(text) \
    (char[])       \
    {              \
        text       \
    }

static void no_verb_is_the_first(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_string_equal(options.verb->name, "list");
    assert_string_equal(options.bus, "system");
    assert_int_equal(options.json, JSON_FORMAT_OFF);
}

static void options_stand_anywhere(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl"),        WORD("-d"),     WORD("run"),
                                       WORD("c.json"),       WORD("--name"), WORD("alpha"),
                                       WORD("--bus=session") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_string_equal(options.verb->name, "run");
    assert_int_equal(options.n_arguments, 1);
    assert_string_equal(options.arguments[0], "c.json");
    assert_string_equal(options.name, "alpha");
    assert_string_equal(options.bus, "session");
    assert_true(options.detach);
    options_deinit(&options);
}

static void two_dashes_end_the_options(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("stop"), WORD("--"), WORD("--all") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_int_equal(options.n_arguments, 1);
    assert_string_equal(options.arguments[0], "--all");
    options_deinit(&options);
}

static void json_takes_its_formats_only(void **state)
{
    char *pretty[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("--json=pretty") };
    char *wrong[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("--json=long") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(pretty, &options, NULL), 0);
    assert_int_equal(options.json, JSON_FORMAT_PRETTY);
    options_deinit(&options);
    assert_int_equal(parse(wrong, &options, NULL), -EINVAL);
}

/* Each command line is refused with a sentence that has the text. */
static void wrong_usage_is_named(void **state)
{
    static const struct {
        const char *arguments[4];
        const char *text;
    } cases[] = {
        { { "lsit" }, "did you mean 'list'" },
        { { "--alll" }, "did you mean '--all'" },
        { { "--jsn=short" }, "unknown option '--jsn'" },
        { { "-x" }, "unknown option '-x'" },
        { { "frobnicate" }, "unknown verb 'frobnicate'" },
        { { "--bus" }, "'--bus' needs a value" },
        { { "--all=yes" }, "'--all' takes no value" },
        { { "run" }, "'run' needs a file" },
        { { "run", "a", "b" }, "too many: 'b'" },
        { { "stop", "a", "--all" }, "'stop' takes no option '--all'" },
        { { "run", "a", "-ckey" }, "'run' takes no option '--cert'" },
        { { "run", "a", "-k" }, "'--key' needs a value" },
        { { "--version=1" }, "'--version' takes no value" },
        { { "run", "a", "--detach", "--console" }, "does not go with" },
        { { "--user", "--system" }, "does not go with" },
        { { "--json=shrt" }, "'off', 'short' or 'pretty', not 'shrt': did you mean 'short'" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char copies[4][16];
        char *arguments[ARGUMENTS_MAX] = { WORD("vmctl") };
        Error error = ERROR_INIT;
        Options options = { 0 };

        for (size_t j = 0; j < 4 && cases[i].arguments[j]; j++) {
            strcpy(copies[j], cases[i].arguments[j]);
            arguments[j + 1] = copies[j];
        }
        assert_int_equal(parse(arguments, &options, &error), -EINVAL);
        assert_non_null(strstr(error_get_message(&error), cases[i].text));
        assert_null(options.verb);
        error_clear(&error);
    }
}

static void lists_keep_their_order(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("--extra-apk=a"), WORD("run-app"),
                                       WORD("app"),   WORD("--extra-apk"),   WORD("b") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_int_equal(options.n_arguments, 1);
    assert_int_equal(options.extra_apks.n_values, 2);
    assert_string_equal(options.extra_apks.values[0], "a");
    assert_string_equal(options.extra_apks.values[1], "b");
    assert_int_equal(options.extra_idsigs.n_values, 0);
    options_deinit(&options);
}

static void a_list_has_an_end(void **state)
{
    char option[] = "--extra-apk=a", program[] = "vmctl", verb[] = "run-app", app[] = "app";
    char *arguments[OPTION_VALUES_MAX + 5] = { program, verb, app };
    Options options = { 0 }, too_many = { 0 };
    Error error = ERROR_INIT;

    (void)state;
    for (int i = 0; i < OPTION_VALUES_MAX + 1; i++)
        arguments[3 + i] = option;
    assert_int_equal(options_parse(3 + OPTION_VALUES_MAX, arguments, verbs, &options, NULL), 0);
    assert_int_equal(options.extra_apks.n_values, OPTION_VALUES_MAX);
    options_deinit(&options);
    assert_int_equal(options_parse(4 + OPTION_VALUES_MAX, arguments, verbs, &too_many, &error),
                     -EINVAL);
    assert_non_null(strstr(error_get_message(&error), "'--extra-apk' is given more than 64 times"));
    error_clear(&error);
    options_deinit(&too_many);
}

static void console_is_standard_error_without_a_file(void **state)
{
    char *bare[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("run"), WORD("--console"), WORD("a") };
    char *file[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("run"), WORD("-d"), WORD("--console=f"),
                                  WORD("a") };
    Options options = { 0 };

    (void)state;
    assert_false(options_wants_console(&options));
    assert_int_equal(parse(bare, &options, NULL), 0);
    assert_true(options_wants_console(&options));
    assert_string_equal(options.arguments[0], "a");
    options_deinit(&options);
    assert_int_equal(parse(file, &options, NULL), 0);
    assert_false(options_wants_console(&options));
    assert_string_equal(options.console, "f");
    options_deinit(&options);
}

static void avfs_other_name_is_known(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("run-app"), WORD("a"),
                                       WORD("--payload_path"), WORD("lib.so") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_string_equal(options.binary, "lib.so");
    options_deinit(&options);
}

static void help_needs_no_verb(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("-h") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_true(options.help);
    assert_null(options.verb);
    options_deinit(&options);
}

static void help_of_a_verb_needs_no_arguments(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl"), WORD("run"), WORD("--help") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_true(options.help);
    assert_string_equal(options.verb->name, "run");
    options_deinit(&options);
}

static void what_was_given_is_kept_in_its_order(void **state)
{
    char *arguments[ARGUMENTS_MAX] = { WORD("vmctl"),  WORD("run"), WORD("--name=a"),
                                       WORD("c.json"), WORD("-d"),  WORD("--user") };
    Options options = { 0 };

    (void)state;
    assert_int_equal(parse(arguments, &options, NULL), 0);
    assert_int_equal(options.n_given, 3);
    assert_string_equal(option_get_name(&options.given[0]), "name");
    assert_string_equal(options.given[0].value, "a");
    assert_string_equal(option_get_name(&options.given[1]), "detach");
    assert_null(options.given[1].value);
    assert_string_equal(options.bus, "session");
    options_deinit(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_verb_is_the_first),
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(json_takes_its_formats_only),
        cmocka_unit_test(wrong_usage_is_named),
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(a_list_has_an_end),
        cmocka_unit_test(console_is_standard_error_without_a_file),
        cmocka_unit_test(avfs_other_name_is_known),
        cmocka_unit_test(help_needs_no_verb),
        cmocka_unit_test(help_of_a_verb_needs_no_arguments),
        cmocka_unit_test(what_was_given_is_kept_in_its_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
