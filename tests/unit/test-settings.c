/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/settings.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

static int load(const char *text, Settings *settings, Error *error)
{
    _cleanup_close_ int fd = memfd_create("settings", MFD_CLOEXEC);
    char path[64];

    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return settings_load(path, settings, error);
}

static void empty_file_leaves_the_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "\n", "[Daemon]\n", "# a comment\n; another\n" };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        Settings settings = { 0 };

        assert_int_equal(load(texts[i], &settings, NULL), 0);
        assert_string_equal(settings.user, "virtualizationd");
        assert_string_equal(settings.group, "virtualizationd");
        assert_int_equal(settings.death_record_sec, 300);
        assert_int_equal(settings.vms_max, 256);
        settings_deinit(&settings);
        settings_deinit(&settings);
    }
}

static void settings_are_taken_up_to_their_maximum(void **state)
{
    (void)state;
    Settings settings = { 0 };

    assert_int_equal(load("[Daemon]\nUser=somebody\nDeathRecordSec=0\nVMsMax=1\n", &settings, NULL),
                     0);
    assert_string_equal(settings.user, "somebody");
    assert_int_equal(settings.death_record_sec, 0);
    assert_int_equal(settings.vms_max, 1);
    settings_deinit(&settings);

    assert_int_equal(load("[Daemon]\nUser = a\nUser = b\nDeathRecordSec = 86400\nVMsMax = 4096\n",
                          &settings, NULL),
                     0);
    assert_string_equal(settings.user, "b"); /* the last one counts */
    assert_int_equal(settings.death_record_sec, 86400);
    assert_int_equal(settings.vms_max, 4096);
    settings_deinit(&settings);
}

static void bad_settings_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence; /* its end */
    } cases[] = {
        { "[Daemon]\nUser=\n", ": User= is not valid" },
        { "[Daemon]\nDeathRecordSec=86401\n", ": DeathRecordSec=86401 is not valid" },
        { "[Daemon]\nDeathRecordSec=-1\n", ": DeathRecordSec=-1 is not valid" },
        { "[Daemon]\nDeathRecordSec=5min\n", ": DeathRecordSec=5min is not valid" },
        { "[Daemon]\nVMsMax=0\n", ": VMsMax=0 is not valid" },
        { "[Daemon]\nVMsMax=4097\n", ": VMsMax=4097 is not valid" },
        { "[Daemon]\nVmsMax=1\n", ": there is no setting VmsMax in [Daemon]" },
        { "[Other]\nVMsMax=1\n", ": there is no setting VMsMax in [Other]" },
        { "VMsMax=1\n", ": there is no setting VMsMax in []" },
        { "[Daemon]\nVMsMax=1\nUser=x\nnonsense\n", ": line 4 is no setting" },
        { "[Daemon\n", ": line 1 is no setting" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        Settings settings = { .vms_max = 42 };

        assert_int_equal(load(cases[i].text, &settings, &error), -EINVAL);
        assert_int_equal(settings.vms_max, 42);
        assert_int_equal(error.kind, ERROR_INVALID_ARGUMENT);
        const char *message = error_get_message(&error);
        assert_memory_equal(message, "/proc/self/fd/", 14);
        assert_non_null(strstr(message, cases[i].sentence));
        assert_string_equal(strstr(message, cases[i].sentence), cases[i].sentence);
    }
}

static void named_file_must_be_there(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Settings settings;

    assert_int_equal(settings_load("/proc/self/no-such-file", &settings, &error), -ENOENT);
    assert_non_null(strstr(error_get_message(&error), "/proc/self/no-such-file: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_leaves_the_defaults),
        cmocka_unit_test(settings_are_taken_up_to_their_maximum),
        cmocka_unit_test(bad_settings_are_refused_by_name),
        cmocka_unit_test(named_file_must_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
