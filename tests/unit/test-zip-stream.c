/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-stream.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

#define LARGE_SIZE (300 << 10)

enum {
    STORED,
    DEFLATED,
    EMPTY,
    EMPTY_DEFLATED,
    N_ENTRIES
};

/* Text that deflates to more than one buffer of input. */
static char *make_text(void)
{
    char *text = malloc(LARGE_SIZE + 1);
    uint32_t random = 1;

    assert_non_null(text);
    for (size_t i = 0; i < LARGE_SIZE; i++) {
        random = random * 1103515245 + 12345;
        text[i] = (char)('a' + (random >> 16) % 16);
    }
    text[LARGE_SIZE] = '\0';
    return text;
}

typedef struct Fixture {
    char *text;
    MadeZip zip;
    ByteSource source;
    ZipReader *reader;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    fixture->text = make_text();
    const MadeEntry entries[N_ENTRIES] = {
        [STORED] = { { .name = "stored" }, fixture->text },
        [DEFLATED] = { { .name = "deflated", .method = ZIP_DEFLATED }, fixture->text },
        [EMPTY] = { { .name = "empty" }, "" },
        [EMPTY_DEFLATED] = { { .name = "nothing", .method = ZIP_DEFLATED }, "" },
    };
    fixture->zip = made_zip_new(entries, N_ENTRIES);
    fixture->source = made_zip_source(&fixture->zip);
    assert_int_equal(zip_reader_new(&fixture->source, &fixture->reader, NULL), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;

    zip_reader_free(fixture->reader);
    made_zip_free(&fixture->zip);
    free(fixture->text);
    free(fixture);
    return 0;
}

static ZipEntry *entry_of(const Fixture *fixture, size_t index)
{
    return &fixture->reader->entries[index];
}

/* Reads all in pieces; 0 or the error's text in @ret_words, which the caller frees. */
static int read_in_pieces(const Fixture *fixture,
                          size_t index,
                          size_t piece,
                          char *buffer,
                          size_t *ret_size,
                          Error *error)
{
    _cleanup_(zip_stream_freep) ZipStream *stream = NULL;
    size_t size = 0, done;

    assert_int_equal(zip_stream_new(fixture->reader, entry_of(fixture, index), &stream, NULL), 0);
    do {
        int r = zip_stream_read(stream, buffer + size, piece, &done, error);
        if (r < 0) {
            char more;
            assert_int_equal(zip_stream_read(stream, &more, 1, &done, NULL), -EBADMSG);
            return r;
        }
        size += done;
    } while (done > 0);
    *ret_size = size;
    return 0;
}

static void assert_refused(const Fixture *fixture, size_t index, const char *words)
{
    static const size_t pieces[] = { 1000, LARGE_SIZE, LARGE_SIZE + 1 };
    _cleanup_free_ char *buffer = malloc(2 * LARGE_SIZE + 2);

    assert_non_null(buffer);
    for (size_t i = 0; i < ELEMENTS_OF(pieces); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        size_t size;

        assert_int_equal(read_in_pieces(fixture, index, pieces[i], buffer, &size, &error),
                         -EBADMSG);
        if (!strstr(error_get_message(&error), words))
            fail_msg("'%s' without '%s'", error_get_message(&error), words);
    }
}

static void entries_are_read_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = { 1, 1000, 16384, 65536, LARGE_SIZE, LARGE_SIZE + 1 };
    const Fixture *fixture = *state;
    _cleanup_free_ char *buffer = malloc(2 * LARGE_SIZE + 2);

    assert_non_null(buffer);
    for (size_t i = 0; i < ELEMENTS_OF(pieces); i++) {
        for (size_t index = 0; index < N_ENTRIES; index++) {
            size_t expected = index <= DEFLATED ? LARGE_SIZE : 0, size;

            assert_int_equal(read_in_pieces(fixture, index, pieces[i], buffer, &size, NULL), 0);
            assert_int_equal(size, expected);
            assert_memory_equal(buffer, fixture->text, size);
        }
    }
}

static void the_last_bytes_are_not_given_when_the_checksum_is_wrong(void **state)
{
    const Fixture *fixture = *state;

    for (size_t index = 0; index < N_ENTRIES; index++) {
        entry_of(fixture, index)->checksum ^= 1;
        assert_refused(fixture, index, "its checksum is wrong");
    }
}

static void damaged_data_are_refused(void **state)
{
    const Fixture *fixture = *state;
    uint8_t *stored = fixture->zip.data + entry_of(fixture, STORED)->data_offset;
    uint8_t *deflated = fixture->zip.data + entry_of(fixture, DEFLATED)->data_offset;

    stored[LARGE_SIZE / 2] ^= 1;
    assert_refused(fixture, STORED, "'stored': its checksum is wrong");
    deflated[0] = 0xff; /* a block of a type that there is not */
    assert_refused(fixture, DEFLATED, "'deflated': its deflated data are damaged");
}

static void sizes_are_exact(void **state)
{
    const Fixture *fixture = *state;
    ZipEntry *entry = entry_of(fixture, DEFLATED);
    const ZipEntry good = *entry;

    entry->size++;
    assert_refused(fixture, DEFLATED, "it inflates to less than its size");
    *entry = good;
    entry->size--;
    assert_refused(fixture, DEFLATED, "it inflates to more than its size");
    *entry = good;
    entry->compressed_size--;
    assert_refused(fixture, DEFLATED, "its deflated data are cut short");
    *entry = good;
    entry->compressed_size++;
    assert_refused(fixture, DEFLATED, "bytes behind its deflated data");
    entry->compressed_size = good.compressed_size + 40000; /* more than a buffer of input */
    made_zip_insert(&((Fixture *)*state)->zip, good.data_offset + good.compressed_size, 40000);
    fixture->reader->source = made_zip_source(&fixture->zip);
    assert_refused(fixture, DEFLATED, "bytes behind its deflated data");
}

/* The end of the data is the end of a buffer of input, so that nothing is left in there. */
static void bytes_behind_a_whole_buffer_of_data_are_noticed(void **state)
{
    enum {
        INPUT = 16 << 10,
        BEHIND = 10,
        CONTENT = INPUT - 5
    };
    Fixture *fixture = *state;
    _cleanup_free_ uint8_t *data = calloc(1, INPUT + BEHIND);
    ZipEntry *entry = entry_of(fixture, DEFLATED);

    assert_non_null(data);
    data[0] = 1; /* the last block, and stored: two lengths follow, and zeros */
    put_le(data + 1, 2, CONTENT);
    put_le(data + 3, 2, CONTENT ^ 0xffff);
    memset(fixture->text, 0, CONTENT);
    entry->checksum = (uint32_t)crc32(0, (const Bytef *)fixture->text, CONTENT);
    entry->size = CONTENT;
    entry->data_offset = 0;
    entry->compressed_size = INPUT;
    fixture->reader->source = byte_source_from_memory(data, INPUT + BEHIND);
    _cleanup_free_ uint8_t *read = NULL;
    size_t size;
    assert_int_equal(zip_read_entry(fixture->reader, entry, CONTENT, &read, &size, NULL), 0);
    entry->compressed_size += BEHIND;
    assert_refused(fixture, DEFLATED, "bytes behind its deflated data");
}

static void a_file_that_became_shorter_is_told(void **state)
{
    const Fixture *fixture = *state;

    fixture->reader->source.size = entry_of(fixture, STORED)->data_offset + 10;
    assert_refused(fixture, STORED, "cannot read zip entry 'stored'");
    assert_refused(fixture, DEFLATED, "cannot read zip entry 'deflated'");
}

static void a_whole_entry_is_read_up_to_the_size_that_is_taken(void **state)
{
    const Fixture *fixture = *state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    size_t size;

    for (size_t index = 0; index < N_ENTRIES; index++) {
        _cleanup_free_ uint8_t *data = NULL;

        assert_int_equal(zip_read_entry(fixture->reader, entry_of(fixture, index), LARGE_SIZE,
                                        &data, &size, NULL),
                         0);
        assert_int_equal(size, index <= DEFLATED ? LARGE_SIZE : 0);
        assert_memory_equal(data, fixture->text, size);
        assert_int_equal(data[size], 0);
    }
    _cleanup_free_ uint8_t *none = NULL;
    assert_true(zip_read_entry(fixture->reader, entry_of(fixture, STORED), LARGE_SIZE - 1, &none,
                               &size, &error) < 0);
    assert_non_null(strstr(error_get_message(&error), "has 307200 bytes; taken are up to 307199"));
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_are_read_in_pieces_of_any_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_bytes_are_not_given_when_the_checksum_is_wrong,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_data_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_behind_a_whole_buffer_of_data_are_noticed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_became_shorter_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_whole_entry_is_read_up_to_the_size_that_is_taken, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
