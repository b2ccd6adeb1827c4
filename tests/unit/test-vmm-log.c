/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vmm-log.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

typedef struct Fixture {
    VmmLog log;
    int saved_stderr;
    int read_end;
    char logged[65536];
} Fixture;

/* Puts a pipe in the place of standard error. */
static void begin(Fixture *fixture)
{
    int ends[2];

    vmm_log_init(&fixture->log);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    fixture->read_end = ends[0];
    fixture->saved_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    (void)fd_close(ends[1]);
}

static void end(Fixture *fixture)
{
    assert_int_equal(dup2(fixture->saved_stderr, STDERR_FILENO), STDERR_FILENO);
    (void)fd_close(fixture->saved_stderr);
    ssize_t n = read(fixture->read_end, fixture->logged, sizeof(fixture->logged) - 1);
    fixture->logged[n > 0 ? n : 0] = '\0';
    (void)fd_close(fixture->read_end);
    vmm_log_deinit(&fixture->log);
}

static size_t count_lines(const char *text)
{
    size_t n_lines = 0;

    for (; *text; text++)
        n_lines += *text == '\n';
    return n_lines;
}

static void every_line_has_the_prefix(void **state)
{
    Fixture fixture;

    (void)state;
    begin(&fixture);
    vmm_log_write(&fixture.log, "one\n<0>forged\nthr", 17, 0);
    vmm_log_write(&fixture.log, "ee\n\nlast", 8, 0);
    vmm_log_flush(&fixture.log, 0);
    end(&fixture);
    assert_string_equal(fixture.logged, "vmm: one\nvmm: <0>forged\nvmm: three\nvmm: last\n");
}

static void foreign_bytes_are_escaped_and_long_lines_cut(void **state)
{
    char line[VMM_LOG_LINE_MAX + 1];
    Fixture fixture;

    (void)state;
    memset(line, 'x', sizeof(line));
    line[0] = '\x1b';
    begin(&fixture);
    vmm_log_write(&fixture.log, line, sizeof(line), 0);
    vmm_log_flush(&fixture.log, 0);
    end(&fixture);
    assert_memory_equal(fixture.logged, "vmm: \\x1bxxx", 12);
    assert_int_equal(count_lines(fixture.logged), 2);
}

static void flood_is_counted_not_logged(void **state)
{
    Fixture fixture;

    (void)state;
    begin(&fixture);
    for (int i = 0; i < VMM_LOG_BURST_MAX + 50; i++)
        vmm_log_write(&fixture.log, "x\n", 2, 1);
    vmm_log_write(&fixture.log, "later\n", 6, 1 + VMM_LOG_PERIOD_USEC);
    end(&fixture);
    assert_int_equal(count_lines(fixture.logged), VMM_LOG_BURST_MAX + 2);
    assert_non_null(strstr(fixture.logged, "vmm: 50 lines were not logged\nvmm: later\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_has_the_prefix),
        cmocka_unit_test(foreign_bytes_are_escaped_and_long_lines_cut),
        cmocka_unit_test(flood_is_counted_not_logged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
