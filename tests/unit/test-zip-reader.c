/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-reader.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "composite-disk/zip-sections.h"
#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

/* Names of equal length, so that each can be put in another's place. */
static const MadeEntry entries[] = {
    { { .name = "b/x", .mode = 0644 }, "one" },
    { { .name = "b/", .mode = 0755 }, "" },
    { { .name = "b-y", .mode = 0700, .method = ZIP_DEFLATED }, "twotwotwotwotwotwotwotwotwo" },
    { { .name = "a", .mode = 0444 }, "" },
};
#define N_ENTRIES ELEMENTS_OF(entries)

/* Fields of a directory record; in a local header they are 2 bytes further to the front. */
enum {
    RECORD_MADE_BY = 4,
    RECORD_FLAGS = 8,
    RECORD_METHOD = 10,
    RECORD_CHECKSUM = 16,
    RECORD_COMPRESSED_SIZE = 20,
    RECORD_SIZE = 24,
    RECORD_NAME_SIZE = 28,
    RECORD_EXTRA_SIZE = 30,
    RECORD_DISK = 34,
    RECORD_ATTRIBUTES = 38,
    RECORD_OFFSET = 42,
};
#define TO_LOCAL 2

static MadeZip make(void)
{
    return made_zip_new(entries, N_ENTRIES);
}

static void assert_taken(const MadeZip *zip)
{
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteSource source = made_zip_source(zip);

    if (zip_reader_new(&source, &reader, &error) < 0)
        fail_msg("refused: %s", error_get_message(&error));
}

static void assert_refused(const MadeZip *zip, const char *words)
{
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ByteSource source = made_zip_source(zip);

    if (zip_reader_new(&source, &reader, &error) == 0)
        fail_msg("taken in spite of '%s'", words);
    assert_null(reader);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void entries_are_found_by_name_and_stand_in_order(void **state)
{
    static const char *const order[] = { "a", "b/", "b/x", "b-y" };
    _cleanup_(made_zip_free) MadeZip zip = make();
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    ByteSource source = made_zip_source(&zip);

    (void)state;
    assert_int_equal(zip_reader_new(&source, &reader, NULL), 0);
    assert_int_equal(reader->n_entries, N_ENTRIES);
    for (size_t i = 0; i < N_ENTRIES; i++) {
        const ZipEntry *entry = zip_reader_find(reader, entries[i].entry.name);

        assert_ptr_equal(entry, &reader->entries[i]);
        assert_string_equal(entry->name, entries[i].entry.name);
        assert_string_equal(reader->by_name[i]->name, order[i]);
        assert_int_equal(entry->size, strlen(entries[i].content));
        assert_int_equal(entry->mode & 07777, entries[i].entry.mode);
        assert_int_equal(entry->is_directory, i == 1);
        assert_int_equal(S_ISDIR(entry->mode), i == 1);
        assert_int_equal(entry->method, entries[i].entry.method);
    }
    assert_memory_equal(zip.data + reader->entries[0].data_offset, "one", 3);
    assert_null(zip_reader_find(reader, "b"));
    assert_null(zip_reader_find(reader, ""));
    assert_null(zip_reader_find(reader, "b/xx"));
}

static void an_empty_zip_has_no_entries(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = made_zip_new(NULL, 0);

    (void)state;
    assert_taken(&zip);
}

static void records_that_say_what_is_not_taken_are_refused(void **state)
{
    static const struct {
        size_t entry, offset;
        unsigned width;
        uint32_t value;
        const char *words;
    } cases[] = {
        { 0, 0, 4, 0x04034b50, "record 0 of 4 in the central directory is cut short, or none" },
        { 0, RECORD_FLAGS, 2, 1 << 0, "'b/x': it is encrypted, or a patch" },
        { 0, RECORD_FLAGS, 2, 1 << 5, "it is encrypted, or a patch" },
        { 0, RECORD_FLAGS, 2, 1 << 6, "it is encrypted, or a patch" },
        { 0, RECORD_FLAGS, 2, 1 << 13, "it is encrypted, or a patch" },
        { 0, RECORD_METHOD, 2, 1, "its method is neither" },
        { 0, RECORD_METHOD, 2, 12, "its method is neither" },
        { 0, RECORD_METHOD, 2, 8, "something else than the directory" },
        { 2, RECORD_METHOD, 2, 0, "it is stored, and has two sizes" },
        { 0, RECORD_CHECKSUM, 4, 1, "checksum and sizes in its local header" },
        { 2, RECORD_SIZE, 4, 28, "checksum and sizes in its local header" },
        { 2, RECORD_COMPRESSED_SIZE, 4, 1, "checksum and sizes in its local header" },
        { 2, RECORD_COMPRESSED_SIZE, 4, UINT32_MAX, "it needs ZIP64" },
        { 2, RECORD_SIZE, 4, UINT32_MAX, "it needs ZIP64" },
        { 2, RECORD_OFFSET, 4, UINT32_MAX, "it needs ZIP64" },
        { 2, RECORD_OFFSET, 4, UINT32_MAX - 1, "no local header where the directory has it" },
        { 2, RECORD_OFFSET, 4, 1, "no local header where the directory has it" },
        { 2, RECORD_DISK, 2, 1, "it is on another volume" },
        { 0, RECORD_NAME_SIZE, 2, 0, "its name is empty" },
        { 3, RECORD_NAME_SIZE, 2, 2, "record 3 of 4 in the central directory is cut short" },
        { 3, RECORD_EXTRA_SIZE, 2, 1, "record 3 of 4 in the central directory is cut short" },
        { 0, RECORD_ATTRIBUTES, 4, 0120777U << 16, "it is a symbolic link" },
        { 0, RECORD_ATTRIBUTES, 4, 0010644U << 16, "neither a file nor a directory" },
        { 0, RECORD_ATTRIBUTES, 4, 0060644U << 16, "neither a file nor a directory" },
        { 0, RECORD_ATTRIBUTES, 4, 0140644U << 16, "neither a file nor a directory" },
        { 0, RECORD_ATTRIBUTES, 4, 0040755U << 16, "its name and its mode disagree" },
        { 1, RECORD_ATTRIBUTES, 4, 0100755U << 16, "its name and its mode disagree" },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(made_zip_free) MadeZip zip = make();

        put_le(made_zip_record(&zip, cases[i].entry) + cases[i].offset, cases[i].width,
               cases[i].value);
        assert_refused(&zip, cases[i].words);
    }
}

static void attributes_of_other_systems_are_no_modes(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    ByteSource source = made_zip_source(&zip);

    (void)state;
    put_le(made_zip_record(&zip, 0) + RECORD_MADE_BY, 2, 20);
    put_le(made_zip_record(&zip, 0) + RECORD_ATTRIBUTES, 4, 0120777U << 16);
    assert_int_equal(zip_reader_new(&source, &reader, NULL), 0);
    assert_int_equal(reader->entries[0].mode, 0);
    put_le(made_zip_record(&zip, 0) + RECORD_MADE_BY, 2, 19 << 8);
    assert_refused(&zip, "it is a symbolic link");
}

static void a_directory_with_contents_is_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        put_le(made_zip_record(&zip, 1) + (i ? RECORD_SIZE : RECORD_COMPRESSED_SIZE), 4, 1);
        put_le(made_zip_local(&zip, 1) + (i ? RECORD_SIZE : RECORD_COMPRESSED_SIZE) - TO_LOCAL, 4,
               1);
    }
    assert_refused(&zip, "'b/': it is a directory with contents");
}

static void local_headers_that_disagree_are_refused(void **state)
{
    static const struct {
        size_t entry, offset;
        unsigned width;
        uint32_t value;
        const char *words;
    } cases[] = {
        { 0, RECORD_FLAGS, 2, 1 << 0, "something else than the directory" },
        { 0, RECORD_METHOD, 2, 8, "something else than the directory" },
        { 0, RECORD_NAME_SIZE, 2, 2, "something else than the directory" },
        { 0, RECORD_CHECKSUM, 4, 0, "checksum and sizes in its local header" },
        { 0, RECORD_SIZE, 4, 4, "checksum and sizes in its local header" },
        { 0, RECORD_COMPRESSED_SIZE, 4, 4, "checksum and sizes in its local header" },
        { 0, RECORD_EXTRA_SIZE, 2, 20, "it overlaps another" },
        { 0, RECORD_EXTRA_SIZE, 2, UINT16_MAX, "it ends behind the beginning of the directory" },
        { 3, RECORD_EXTRA_SIZE, 2, 20, "it ends behind the beginning of the directory" },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(made_zip_free) MadeZip zip = make();

        put_le(made_zip_local(&zip, cases[i].entry) + cases[i].offset - TO_LOCAL, cases[i].width,
               cases[i].value);
        assert_refused(&zip, cases[i].words);
    }
    _cleanup_(made_zip_free) MadeZip renamed = make();
    made_zip_local(&renamed, 0)[ZIP_LOCAL_SIZE] = 'c';
    assert_refused(&renamed, "'b/x': its local header has another name");
}

static void a_descriptor_may_have_the_numbers_when_it_has_room(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();
    uint8_t *local = made_zip_local(&zip, 3);

    (void)state;
    put_le(local + RECORD_FLAGS - TO_LOCAL, 2, 1 << 3);
    put_le(made_zip_record(&zip, 3) + RECORD_FLAGS, 2, 1 << 3);
    assert_refused(&zip, "it ends behind the beginning of the directory");
    size_t directory = (size_t)(made_zip_record(&zip, 0) - zip.data);
    made_zip_insert(&zip, directory, 12);
    put_le(made_zip_end(&zip) + ZIP_END_OFFSET_FIELD, 4, (uint32_t)directory + 12);
    assert_taken(&zip);

    local = made_zip_local(&zip, 0);
    put_le(local + RECORD_CHECKSUM - TO_LOCAL, 4, 0);
    put_le(local + RECORD_COMPRESSED_SIZE - TO_LOCAL, 4, 0);
    put_le(local + RECORD_SIZE - TO_LOCAL, 4, 0);
    assert_refused(&zip, "checksum and sizes in its local header");
    put_le(local + RECORD_FLAGS - TO_LOCAL, 2, 1 << 3);
    assert_taken(&zip);
    put_le(local + RECORD_SIZE - TO_LOCAL, 4, 3); /* as zip does for standard output */
    assert_taken(&zip);
    put_le(local + RECORD_SIZE - TO_LOCAL, 4, 1);
    assert_refused(&zip, "checksum and sizes in its local header");
}

static void overlapping_entries_are_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    /* The bytes of the first are those of the second: the same header, under the same name. */
    put_le(made_zip_record(&zip, 0) + RECORD_OFFSET, 4,
           get_le(made_zip_record(&zip, 2) + RECORD_OFFSET, 4));
    memcpy(made_zip_record(&zip, 0) + 10, made_zip_record(&zip, 2) + 10, 18);
    memcpy(made_zip_record(&zip, 0) + ZIP_DIRECTORY_SIZE, "b-y", 3);
    assert_refused(&zip, "it overlaps another");
}

static void rename_entry(MadeZip *zip, size_t entry, const char *name)
{
    memcpy(made_zip_record(zip, entry) + ZIP_DIRECTORY_SIZE, name, strlen(name));
    memcpy(made_zip_local(zip, entry) + ZIP_LOCAL_SIZE, name, strlen(name));
}

static void names_twice_are_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    rename_entry(&zip, 2, "b/x");
    assert_refused(&zip, "'b/x': its name is there twice");
}

static void files_in_place_of_directories_are_refused(void **state)
{
    static const MadeEntry above[] = { { { .name = "a/b/c" }, "" },
                                       { { .name = "a-" }, "" },
                                       { { .name = "a/b" }, "" },
                                       { { .name = "a/b-" }, "" } };
    static const MadeEntry twin[] = { { { .name = "a/" }, "" }, { { .name = "a" }, "" } };
    _cleanup_(made_zip_free) MadeZip first = made_zip_new(above, ELEMENTS_OF(above));
    _cleanup_(made_zip_free) MadeZip second = made_zip_new(twin, ELEMENTS_OF(twin));

    (void)state;
    assert_refused(&first, "'a/b': it is a file, and others are in it");
    assert_refused(&second, "'a': it is a file, and others are in it");
}

static void names_that_no_file_system_should_show_are_refused(void **state)
{
    static const struct {
        const char *name;
        const char *words;
    } cases[] = {
        { "/ab", "its name is absolute" },        { "../", "'..' in its name" },
        { "a/..", "'..' in its name" },           { "./a", "'.' in its name" },
        { "a//", "an empty part in its name" },   { "a/.", "'.' in its name" },
        { "a\\b", "a backslash in its name" },    { "a\nb", "a control character in its name" },
        { "a\177b", "a control character" },      { "a\xff", "its name is not UTF-8" },
        { "a\xc0\xaf", "its name is not UTF-8" },
    };
    const char *reason;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        reason = NULL;
        assert_int_equal(zip_check_name(cases[i].name, strlen(cases[i].name), &reason), -EINVAL);
        if (!strstr(reason, cases[i].words))
            fail_msg("%s: '%s' without '%s'", cases[i].name, reason, cases[i].words);
    }
    assert_int_equal(zip_check_name("a\0b", 3, &reason), -EINVAL);
    static const char *const good[] = { "a", "a/", "..a", "a..", ".a/...", "\xc3\xa4 b" };
    for (size_t i = 0; i < ELEMENTS_OF(good); i++)
        assert_int_equal(zip_check_name(good[i], strlen(good[i]), &reason), 0);
    for (size_t i = 0; i < 2; i++) {
        _cleanup_(made_zip_free) MadeZip zip = make();

        rename_entry(&zip, 0, i ? "../" : "/ab");
        assert_refused(&zip, i ? "'..' in its name" : "its name is absolute");
    }
}

static void names_have_the_most_bytes_and_no_more(void **state)
{
    char name[ZIP_NAME_MAX + 2];
    const char *reason;

    (void)state;
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 ? '/' : 'a';
    name[ZIP_NAME_MAX] = '\0';
    const MadeEntry longest[] = { { { .name = name }, "" } };
    _cleanup_(made_zip_free) MadeZip zip = made_zip_new(longest, 1);
    assert_taken(&zip);
    assert_int_equal(zip_check_name(name, ZIP_NAME_MAX, &reason), 0);
    name[ZIP_NAME_MAX] = '/';
    assert_int_equal(zip_check_name(name, ZIP_NAME_MAX + 1, &reason), -EINVAL);
    memset(name, 'a', 256);
    assert_int_equal(zip_check_name(name, 255, &reason), 0);
    assert_int_equal(zip_check_name(name, 256, &reason), -EINVAL);
}

static void bytes_behind_the_records_are_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    put_le(made_zip_end(&zip) + 8, 2, N_ENTRIES - 1);
    put_le(made_zip_end(&zip) + 10, 2, N_ENTRIES - 1);
    assert_refused(&zip, "47 bytes behind the 3 records");
}

static void a_directory_is_read_up_to_the_limit_only(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        _cleanup_(made_zip_free) MadeZip zip = made_zip_new(NULL, 0);

        /* No entry, but a directory: what is not allocated is told before what is in it. */
        made_zip_insert(&zip, 0, ZIP_DIRECTORY_MAX + more);
        put_le(made_zip_end(&zip) + 12, 4, (uint32_t)(ZIP_DIRECTORY_MAX + more));
        assert_refused(&zip, more ? "a central directory of 16777217 bytes; taken are up to"
                                  : "16777216 bytes behind the 0 records");
    }
}

static void names_are_escaped_and_cut_in_messages(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    rename_entry(&zip, 0, "a\033b");
    assert_refused(&zip, "'a\\x1bb': a control character");
    rename_entry(&zip, 0, "a\nb");
    assert_refused(&zip, "'a?b': a control character"); /* in one line */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_by_name_and_stand_in_order),
        cmocka_unit_test(an_empty_zip_has_no_entries),
        cmocka_unit_test(records_that_say_what_is_not_taken_are_refused),
        cmocka_unit_test(attributes_of_other_systems_are_no_modes),
        cmocka_unit_test(a_directory_with_contents_is_refused),
        cmocka_unit_test(local_headers_that_disagree_are_refused),
        cmocka_unit_test(a_descriptor_may_have_the_numbers_when_it_has_room),
        cmocka_unit_test(overlapping_entries_are_refused),
        cmocka_unit_test(names_twice_are_refused),
        cmocka_unit_test(files_in_place_of_directories_are_refused),
        cmocka_unit_test(names_that_no_file_system_should_show_are_refused),
        cmocka_unit_test(names_have_the_most_bytes_and_no_more),
        cmocka_unit_test(bytes_behind_the_records_are_refused),
        cmocka_unit_test(a_directory_is_read_up_to_the_limit_only),
        cmocka_unit_test(names_are_escaped_and_cut_in_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
