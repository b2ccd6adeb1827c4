/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/output-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define BIG_SIZE (256 * 1024) /* more than the pipe to the reader holds */

typedef struct Fixture {
    sd_event *event;
    int source[2];
    unsigned n_done;
} Fixture;

static void on_done(void *userdata)
{
    Fixture *fixture = userdata;

    fixture->n_done++;
    assert_true(sd_event_exit(fixture->event, 0) >= 0);
}

static void set_up(Fixture *fixture)
{
    *fixture = (Fixture){ 0 };
    assert_true(sd_event_new(&fixture->event) >= 0);
    assert_int_equal(pipe2(fixture->source, O_CLOEXEC), 0);
}

static OutputCopy *copy_to(Fixture *fixture, int destination, OutputCopyMode mode)
{
    OutputCopy *copy = NULL;

    assert_int_equal(output_copy_new(fixture->event, fixture->source[0], destination, mode, on_done,
                                     fixture, &copy),
                     0);
    return copy;
}

static void put(Fixture *fixture, const char *text)
{
    assert_int_equal(fd_write_all(fixture->source[1], text, strlen(text)), 0);
}

static void assert_copied(int fd, const char *text)
{
    char bytes[256] = { 0 };

    assert_int_equal(pread(fd, bytes, sizeof(bytes) - 1, 0), (ssize_t)strlen(text));
    assert_string_equal(bytes, text);
}

static void file_gets_every_byte(void **state)
{
    Fixture fixture;
    int file = memfd_create("copy", MFD_CLOEXEC);

    (void)state;
    set_up(&fixture);
    OutputCopy *copy = copy_to(&fixture, file, OUTPUT_COPY_RAW);
    put(&fixture, "one\n\x1b[31mtwo");
    (void)fd_close(fixture.source[1]);
    assert_true(sd_event_loop(fixture.event) >= 0);
    assert_int_equal(fixture.n_done, 1);
    assert_true(output_copy_is_done(copy));
    assert_int_equal(output_copy_get_error(copy), 0);
    assert_copied(file, "one\n\x1b[31mtwo");
    output_copy_free(copy);
    sd_event_unref(fixture.event);
    (void)fd_close(file);
}

static void terminal_gets_controls_escaped(void **state)
{
    Fixture fixture;
    int file = memfd_create("copy", MFD_CLOEXEC);

    (void)state;
    set_up(&fixture);
    OutputCopy *copy = copy_to(&fixture, file, OUTPUT_COPY_ESCAPED);
    put(&fixture, "a\r\n\t\x1b[m \xc3\xa9 \xc2\x9b \x7f");
    (void)fd_close(fixture.source[1]);
    assert_true(sd_event_loop(fixture.event) >= 0);
    assert_copied(file, "a\r\n\t\\x1b[m \xc3\xa9 \xc2\\x9b \\x7f");
    output_copy_free(copy);
    sd_event_unref(fixture.event);
    (void)fd_close(file);
}

static void open_writing_end_does_not_keep_a_finished_copy(void **state)
{
    Fixture fixture;
    int file = memfd_create("copy", MFD_CLOEXEC);

    (void)state;
    set_up(&fixture);
    OutputCopy *copy = copy_to(&fixture, file, OUTPUT_COPY_RAW);
    put(&fixture, "last words");
    output_copy_finish(copy);
    assert_true(output_copy_is_done(copy));
    assert_int_equal(fixture.n_done, 1);
    assert_copied(file, "last words");
    output_copy_free(copy);
    sd_event_unref(fixture.event);
    (void)fd_close(fixture.source[1]);
    (void)fd_close(file);
}

/* The source is emptied although the reader does not read, and nothing is lost. */
static void slow_reader_gets_everything(void **state)
{
    static char block[4096];
    Fixture fixture;
    int reader[2];
    size_t n_put = 0, n_got = 0;

    (void)state;
    set_up(&fixture);
    assert_int_equal(pipe2(reader, O_CLOEXEC | O_NONBLOCK), 0);
    OutputCopy *copy = copy_to(&fixture, reader[1], OUTPUT_COPY_RAW);
    memset(block, 'x', sizeof(block));
    for (; n_put < BIG_SIZE; n_put += sizeof(block)) {
        assert_int_equal(fd_write_all(fixture.source[1], block, sizeof(block)), 0);
        while (sd_event_run(fixture.event, 0) > 0)
            ;
    }
    (void)fd_close(fixture.source[1]);
    while (!output_copy_is_done(copy) || n_got < n_put) {
        assert_true(output_copy_is_done(copy) || sd_event_run(fixture.event, 0) >= 0);
        ssize_t n = read(reader[0], block, sizeof(block));
        n_got += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(n_got, BIG_SIZE);
    output_copy_free(copy);
    sd_event_unref(fixture.event);
    fd_close_many(reader, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_gets_every_byte),
        cmocka_unit_test(terminal_gets_controls_escaped),
        cmocka_unit_test(open_writing_end_does_not_keep_a_finished_copy),
        cmocka_unit_test(slow_reader_gets_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
