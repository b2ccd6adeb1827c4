/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/crash-report.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "tests/helpers/test.h"

/* A report of @size bytes @value, in pieces that do not divide it. */
static void write_many(CrashReport *report, char value, size_t size)
{
    char piece[777];

    memset(piece, value, sizeof(piece));
    while (size > 0) {
        size_t n = size < sizeof(piece) ? size : sizeof(piece);

        crash_report_write(report, piece, n);
        size -= n;
    }
}

static void no_report_is_none_in_the_record(void **state)
{
    CrashReport report = { 0 };
    DeathRecord record = { 0 };

    (void)state;
    crash_report_fill(&report, &record);
    assert_null(record.crash_report);
    assert_int_equal(record.crash_report_size, 0);
    assert_int_equal(record.crash_report_dropped, 0);
    crash_report_write(&report, "", 0);
    crash_report_fill(&report, &record);
    assert_int_equal(record.crash_report_size, 0);
    crash_report_deinit(&report);
    crash_report_deinit(&report);
}

static void report_is_escaped_whole_whatever_its_pieces(void **state)
{
    static const char source[] = "pid 7\r\nred \x1b[31m, \xc3\xa4\n\xff";
    static const char escaped[] = "pid 7\nred \\x1b[31m, \xc3\xa4\n\\xff";
    CrashReport report = { 0 };
    DeathRecord record = { 0 };

    (void)state;
    for (size_t i = 0; i < strlen(source); i++)
        crash_report_write(&report, source + i, 1);
    crash_report_fill(&report, &record);
    assert_int_equal(record.crash_report_size, strlen(escaped));
    assert_memory_equal(record.crash_report, escaped, strlen(escaped));
    assert_int_equal(record.crash_report_dropped, 0);
    crash_report_deinit(&report);
}

static void report_is_kept_up_to_its_maximum(void **state)
{
    (void)state;
    for (size_t more = 0; more <= 1; more++) {
        CrashReport report = { 0 };
        DeathRecord record = { 0 };

        write_many(&report, 'x', GUEST_CRASH_REPORT_MAX + more);
        crash_report_fill(&report, &record);
        assert_int_equal(record.crash_report_size, SUPERVISOR_CRASH_REPORT_MAX);
        assert_int_equal(record.crash_report_dropped, more);
        crash_report_deinit(&report);
    }
}

/* Four characters for each byte. */
static void what_grows_by_escaping_is_cut_and_counted(void **state)
{
    CrashReport report = { 0 };
    DeathRecord record = { 0 };

    (void)state;
    write_many(&report, '\x1b', GUEST_CRASH_REPORT_MAX + 5);
    crash_report_fill(&report, &record);
    assert_int_equal(record.crash_report_size, SUPERVISOR_CRASH_REPORT_MAX);
    assert_int_equal(record.crash_report_dropped,
                     GUEST_CRASH_REPORT_MAX + 5 - SUPERVISOR_CRASH_REPORT_MAX / 4);
    assert_true(text_is_printable(record.crash_report, record.crash_report_size));
    crash_report_deinit(&report);
}

static void a_report_without_end_takes_no_more_memory(void **state)
{
    CrashReport report = { 0 };
    DeathRecord record = { 0 };

    (void)state;
    write_many(&report, 'x', 1);
    const char *bytes = report.bytes;
    write_many(&report, 'y', 10 * GUEST_CRASH_REPORT_MAX);
    assert_ptr_equal(report.bytes, bytes);
    assert_int_equal(report.size, GUEST_CRASH_REPORT_MAX);
    crash_report_fill(&report, &record);
    assert_int_equal(record.crash_report_dropped, 9 * GUEST_CRASH_REPORT_MAX + 1);
    assert_int_equal(record.crash_report[0], 'x'); /* the first bytes count */
    crash_report_deinit(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_report_is_none_in_the_record),
        cmocka_unit_test(report_is_escaped_whole_whatever_its_pieces),
        cmocka_unit_test(report_is_kept_up_to_its_maximum),
        cmocka_unit_test(what_grows_by_escaping_is_cut_and_counted),
        cmocka_unit_test(a_report_without_end_takes_no_more_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
