/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/zip-files.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

#define SIZE      (96U << 10)
#define N_RANDOM  100
#define READ_MAX  5000
#define N_ENTRIES (2 + ZIP_FILES_STREAMS + 1)

enum {
    STORED,
    DEFLATED,
    OTHERS /* and on: deflated, one more than there are streams */
};

typedef struct Fixture {
    char *text;
    MadeZip zip;
    ByteSource source;
    ZipReader *reader;
    ZipFiles *files;
} Fixture;

/* The same numbers each time, of 15 bits. */
static uint32_t get_random(uint32_t *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16 & 0x7fff;
}

static int set_up(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));
    MadeEntry entries[N_ENTRIES] = { 0 };
    char names[N_ENTRIES][8];
    uint32_t seed = 1;

    assert_non_null(fixture);
    fixture->text = malloc(SIZE + 1);
    assert_non_null(fixture->text);
    for (size_t i = 0; i < SIZE; i++)
        fixture->text[i] = (char)('a' + get_random(&seed) % 16);
    fixture->text[SIZE] = '\0';
    for (size_t i = 0; i < N_ENTRIES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%zu", i);
        entries[i].entry.name = names[i];
        entries[i].entry.method = i == STORED ? ZIP_STORED : ZIP_DEFLATED;
        entries[i].content = fixture->text;
    }
    fixture->zip = made_zip_new(entries, N_ENTRIES);
    fixture->source = made_zip_source(&fixture->zip);
    assert_int_equal(zip_reader_new(&fixture->source, &fixture->reader, NULL), 0);
    assert_int_equal(zip_files_new(fixture->reader, &fixture->files, NULL), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    zip_files_free(fixture->files);
    zip_reader_free(fixture->reader);
    made_zip_free(&fixture->zip);
    free(fixture->text);
    free(fixture);
    return 0;
}

static void assert_reads(const Fixture *fixture, size_t index, uint64_t offset, size_t size)
{
    _cleanup_free_ char *buffer = malloc(size + 1);
    size_t left = offset < SIZE ? SIZE - (size_t)offset : 0, got = SIZE + 1;

    assert_non_null(buffer);
    assert_int_equal(zip_files_read(fixture->files, &fixture->reader->entries[index], offset,
                                    buffer, size, &got, NULL),
                     0);
    assert_int_equal(got, size < left ? size : left);
    if (got > 0)
        assert_memory_equal(buffer, fixture->text + offset, got);
}

static int try_read(
    const Fixture *fixture, size_t index, uint64_t offset, size_t size, Error *error)
{
    char buffer[READ_MAX];
    size_t got;

    assert_in_range(size, 0, READ_MAX);
    return zip_files_read(fixture->files, &fixture->reader->entries[index], offset, buffer, size,
                          &got, error);
}

static void assert_refused(const Fixture *fixture, size_t index, uint64_t offset, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_int_equal(try_read(fixture, index, offset, 10, &error), -EBADMSG);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void any_part_of_a_file_is_read(void **state)
{
    const Fixture *fixture = *state;

    for (size_t index = STORED; index <= DEFLATED; index++) {
        uint32_t seed = 7;

        assert_reads(fixture, index, 0, SIZE);
        assert_reads(fixture, index, 0, SIZE + 1);
        for (size_t i = 0; i < N_RANDOM; i++) {
            uint64_t offset = get_random(&seed) * 7 % SIZE;
            assert_reads(fixture, index, offset, get_random(&seed) % READ_MAX);
        }
    }
}

static void nothing_is_read_behind_the_end(void **state)
{
    static const uint64_t offsets[] = { SIZE - 1, SIZE, SIZE + 1, INT64_MAX, UINT64_MAX };
    const Fixture *fixture = *state;

    for (size_t index = STORED; index <= DEFLATED; index++) {
        for (size_t i = 0; i < ELEMENTS_OF(offsets); i++)
            assert_reads(fixture, index, offsets[i], 10);
        assert_reads(fixture, index, 0, 0);
    }
}

/* Backwards is what a stream cannot: each read begins anew. */
static void files_are_read_backwards(void **state)
{
    const Fixture *fixture = *state;

    for (uint64_t offset = SIZE - SIZE % READ_MAX; offset > 0; offset -= READ_MAX)
        assert_reads(fixture, DEFLATED, offset, READ_MAX);
}

/* In turns, more of them than there are streams: the one that is needed next is always the one
 * that was given up. */
static void more_files_are_read_at_once_than_there_are_streams(void **state)
{
    const Fixture *fixture = *state;

    for (uint64_t offset = 0; offset < SIZE; offset += SIZE / 8) {
        for (size_t index = OTHERS; index < N_ENTRIES; index++)
            assert_reads(fixture, index, offset, READ_MAX);
    }
}

/* Damage in the middle shows whether a read has begun before it again, or gone on behind it. */
static void a_read_goes_on_where_an_earlier_one_ended(void **state)
{
    const Fixture *fixture = *state;
    const ZipEntry *entry = &fixture->reader->entries[DEFLATED];
    uint64_t half = SIZE / 2;

    assert_reads(fixture, DEFLATED, half, READ_MAX);
    assert_reads(fixture, DEFLATED, 0, READ_MAX);        /* another stream */
    fixture->zip.data[entry->data_offset] = 0xff;        /* a block of a type that there is not */
    assert_reads(fixture, DEFLATED, half + READ_MAX, 1); /* the first stream is there still */
    assert_reads(fixture, DEFLATED, READ_MAX + 7, 1);    /* and the second */
    assert_refused(fixture, DEFLATED, READ_MAX, "its deflated data are damaged");
    assert_refused(fixture, DEFLATED, 0, "its deflated data are damaged"); /* again, not once */
    assert_reads(fixture, DEFLATED, half + 2 * READ_MAX, 1);
}

static void a_wrong_checksum_is_told_with_the_last_byte(void **state)
{
    const Fixture *fixture = *state;

    fixture->reader->entries[DEFLATED].checksum ^= 1;
    assert_reads(fixture, DEFLATED, SIZE - 100, 99);
    assert_refused(fixture, DEFLATED, SIZE - 1, "its checksum is wrong");
    assert_refused(fixture, DEFLATED, SIZE - 10, "its checksum is wrong");
    assert_reads(fixture, DEFLATED, 0, 100);
    assert_reads(fixture, DEFLATED + 1, SIZE - 10, 10);
}

static void a_source_that_became_shorter_is_told(void **state)
{
    const Fixture *fixture = *state;

    fixture->reader->source.size = fixture->reader->entries[STORED].data_offset + 100;
    assert_reads(fixture, STORED, 90, 10);
    assert_refused(fixture, STORED, 91, "cannot read zip entry '0'");
    assert_refused(fixture, DEFLATED, 0, "cannot read zip entry '1'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_part_of_a_file_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_read_behind_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_read_backwards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_files_are_read_at_once_than_there_are_streams, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_read_goes_on_where_an_earlier_one_ended, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_checksum_is_told_with_the_last_byte, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_source_that_became_shorter_is_told, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
