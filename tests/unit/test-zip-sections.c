/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-sections.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

#define COMMENT_FIELD 20

static const MadeEntry two_entries[] = {
    { { .name = "first" }, "one" },
    { { .name = "second", .method = ZIP_DEFLATED }, "two" },
};

static MadeZip make(void)
{
    return made_zip_new(two_entries, ELEMENTS_OF(two_entries));
}

static void assert_refused(const ByteSource *source, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ZipSections sections = { .n_entries = 77 };

    assert_true(zip_find_sections(source, &sections, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
    assert_int_equal(sections.n_entries, 77);
}

static void assert_zip_refused(const MadeZip *zip, const char *words)
{
    ByteSource source = made_zip_source(zip);

    assert_refused(&source, words);
}

static void finds_directory_and_end(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();
    ByteSource source = made_zip_source(&zip);
    ZipSections sections;

    (void)state;
    assert_int_equal(zip_find_sections(&source, &sections, NULL), 0);
    assert_int_equal(sections.n_entries, 2);
    assert_int_equal(sections.end_offset, zip.size - ZIP_END_SIZE);
    assert_int_equal(sections.end_size, ZIP_END_SIZE);
    assert_ptr_equal(zip.data + sections.directory_offset, made_zip_record(&zip, 0));
    assert_int_equal(sections.directory_offset + sections.directory_size, sections.end_offset);
}

static void an_empty_zip_has_an_end_only(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = made_zip_new(NULL, 0);
    ByteSource source = made_zip_source(&zip);
    ZipSections sections;

    (void)state;
    assert_int_equal(zip.size, ZIP_END_SIZE);
    assert_int_equal(zip_find_sections(&source, &sections, NULL), 0);
    assert_int_equal(sections.n_entries + sections.end_offset, 0);
}

static void a_comment_may_have_the_most_bytes_and_no_other_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        _cleanup_(made_zip_free) MadeZip zip = make();
        size_t size = i == 0 ? 1 : ZIP_COMMENT_MAX, end = zip.size - ZIP_END_SIZE;
        ZipSections sections;

        made_zip_insert(&zip, zip.size, size);
        ByteSource source = made_zip_source(&zip);
        assert_refused(&source, "bytes behind the zip's end record");
        put_le(zip.data + end + COMMENT_FIELD, 2, (uint32_t)size);
        assert_int_equal(zip_find_sections(&source, &sections, NULL), 0);
        assert_int_equal(sections.end_size, ZIP_END_SIZE + size);
        source.size--;
        assert_refused(&source, "ends 1 bytes behind the file");
    }
}

static void an_end_record_further_away_is_not_looked_for(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    made_zip_insert(&zip, zip.size, ZIP_COMMENT_MAX + 1);
    assert_zip_refused(&zip, "no end record in the last 65557 bytes");
}

static void a_second_end_record_in_the_comment_is_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();
    size_t end = zip.size - ZIP_END_SIZE;

    (void)state;
    made_zip_insert(&zip, zip.size, ZIP_END_SIZE);
    put_le(zip.data + end + COMMENT_FIELD, 2, ZIP_END_SIZE);
    put_le(zip.data + end + ZIP_END_SIZE, 4, ZIP_END_SIGNATURE);
    assert_zip_refused(&zip, "bytes before the zip, or between");
}

static void bytes_before_the_zip_and_before_its_end_are_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip before = make(), between = make();

    (void)state;
    made_zip_insert(&before, 0, 1);
    assert_zip_refused(&before, "1 bytes before the zip, or between");
    made_zip_insert(&between, between.size - ZIP_END_SIZE, 5);
    assert_zip_refused(&between, "5 bytes before the zip, or between");
}

static void a_directory_that_is_cut_short_is_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();
    uint8_t end[ZIP_END_SIZE];

    (void)state;
    memcpy(end, made_zip_end(&zip), sizeof(end));
    memcpy(made_zip_end(&zip) - 1, end, sizeof(end));
    zip.size--;
    assert_zip_refused(&zip, "the zip is cut short");
    zip.size -= ZIP_END_SIZE;
    assert_zip_refused(&zip, "no end record");
}

static void numbers_of_zip64_and_of_volumes_are_refused(void **state)
{
    static const struct {
        size_t offset;
        unsigned width;
        uint32_t value;
        const char *words;
    } cases[] = {
        { 4, 2, 1, "one of several volumes (number 1)" },
        { 6, 2, 1, "one of several volumes" },
        { 8, 2, 1, "one of several volumes" },
        { 10, 2, 3, "one of several volumes" },
        { 12, 4, UINT32_MAX, "one for ZIP64" },
        { 16, 4, UINT32_MAX, "one for ZIP64" },
        { 12, 4, UINT32_MAX - 1, "of 4294967294 bytes at" },
        { 16, 4, UINT32_MAX - 1, "at 4294967294 ends behind the end record" },
        { 16, 4, 0, "bytes before the zip, or between" },
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(made_zip_free) MadeZip zip = make();

        put_le(made_zip_end(&zip) + cases[i].offset, cases[i].width, cases[i].value);
        assert_zip_refused(&zip, cases[i].words);
    }
}

static void a_zip64_locator_is_named(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    made_zip_insert(&zip, zip.size - ZIP_END_SIZE, 20);
    memcpy(made_zip_end(&zip) - 20, "PK\6\7", 4);
    assert_zip_refused(&zip, "has ZIP64 records");
}

static void more_entries_than_the_directory_has_room_for_are_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();

    (void)state;
    put_le(made_zip_end(&zip) + 8, 2, ZIP_ENTRIES_MAX);
    put_le(made_zip_end(&zip) + 10, 2, ZIP_ENTRIES_MAX);
    assert_zip_refused(&zip, "has no room for 65535 entries");
}

static void short_files_are_no_zips(void **state)
{
    static const char bytes[64] = "PK\5\6";

    (void)state;
    for (size_t size = 0; size < ZIP_END_SIZE; size++) {
        ByteSource source = byte_source_from_memory(bytes, size);
        assert_refused(&source, "is no zip");
    }
}

static void sizes_near_the_largest_are_read_at_their_end_only(void **state)
{
    static const uint64_t sizes[] = { UINT32_MAX, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1,
                                      INT64_MAX - 4096 };
    _cleanup_close_ int fd = memfd_create("large", MFD_CLOEXEC);
    uint8_t end[ZIP_END_SIZE] = { 'P', 'K', 5, 6 };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        ByteSource source;

        if (ftruncate(fd, (off_t)sizes[i]) < 0)
            fail_msg("no file of %ju bytes: %s", (uintmax_t)sizes[i], strerror(errno));
        assert_int_equal(pwrite(fd, end, sizeof(end), (off_t)(sizes[i] - sizeof(end))), 22);
        assert_int_equal(byte_source_from_fd(fd, "large", &source, NULL), 0);
        assert_refused(&source, "bytes before the zip, or between");
        assert_int_equal(ftruncate(fd, 0), 0);
    }
}

static void zeros_of_a_partition_are_cut_off(void **state)
{
    static const size_t tails[] = { 0, 1, 4095 };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(tails); i++) {
        _cleanup_(made_zip_free) MadeZip zip = make();
        size_t size = zip.size;
        ByteSource cut;

        made_zip_insert(&zip, size, tails[i]);
        ByteSource source = made_zip_source(&zip);
        assert_int_equal(zip_cut_tail(&source, &cut, NULL), 0);
        assert_true(cut.size == size);
        ZipSections sections;
        assert_int_equal(zip_find_sections(&cut, &sections, NULL), 0);
    }
}

static void other_tails_of_a_partition_are_refused(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();
    size_t size = zip.size;
    ByteSource cut;

    (void)state;
    made_zip_insert(&zip, size, 4096);
    ByteSource source = made_zip_source(&zip);
    assert_int_equal(zip_cut_tail(&source, &cut, NULL), -EBADMSG);
    source.size--;
    assert_int_equal(zip_cut_tail(&source, &cut, NULL), 0);
    zip.data[size + 4094] = 1;
    assert_int_equal(zip_cut_tail(&source, &cut, NULL), -EBADMSG);
    source.size--;
    assert_int_equal(zip_cut_tail(&source, &cut, NULL), 0);
    zip.data[size] = 1;
    assert_int_equal(zip_cut_tail(&source, &cut, NULL), -EBADMSG);
}

static void the_longest_comment_and_the_longest_tail_fit_together(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = make();
    size_t end = zip.size - ZIP_END_SIZE;
    ByteSource cut;

    (void)state;
    made_zip_insert(&zip, zip.size, ZIP_COMMENT_MAX + 4095);
    put_le(zip.data + end + COMMENT_FIELD, 2, ZIP_COMMENT_MAX);
    ByteSource source = made_zip_source(&zip);
    assert_int_equal(zip_cut_tail(&source, &cut, NULL), 0);
    assert_true(cut.size == zip.size - 4095);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_directory_and_end),
        cmocka_unit_test(an_empty_zip_has_an_end_only),
        cmocka_unit_test(a_comment_may_have_the_most_bytes_and_no_other_length),
        cmocka_unit_test(an_end_record_further_away_is_not_looked_for),
        cmocka_unit_test(a_second_end_record_in_the_comment_is_refused),
        cmocka_unit_test(bytes_before_the_zip_and_before_its_end_are_refused),
        cmocka_unit_test(a_directory_that_is_cut_short_is_refused),
        cmocka_unit_test(numbers_of_zip64_and_of_volumes_are_refused),
        cmocka_unit_test(a_zip64_locator_is_named),
        cmocka_unit_test(more_entries_than_the_directory_has_room_for_are_refused),
        cmocka_unit_test(short_files_are_no_zips),
        cmocka_unit_test(sizes_near_the_largest_are_read_at_their_end_only),
        cmocka_unit_test(zeros_of_a_partition_are_cut_off),
        cmocka_unit_test(other_tails_of_a_partition_are_refused),
        cmocka_unit_test(the_longest_comment_and_the_longest_tail_fit_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
