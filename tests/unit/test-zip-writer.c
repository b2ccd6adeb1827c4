/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/zip-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "composite-disk/zip-sections.h"
#include "composite-disk/zip-stream.h"
#include "tests/helpers/made-zip.h"
#include "tests/helpers/test.h"

static const MadeEntry entries[] = {
    { { .name = "bin/", .mode = 0755 }, NULL },
    { { .name = "bin/program", .mode = 04755, .alignment = 4096 }, "stored, for pages" },
    { { .name = "config.json", .mode = 0644, .method = ZIP_DEFLATED }, "{}{}{}{}{}{}{}{}{}{}{}{}" },
    { { .name = "four", .mode = 0600, .alignment = 4 }, "stored" },
    { { .name = "\xc3\xa4", .mode = 0600 }, "" },
};

static void what_is_written_is_read(void **state)
{
    _cleanup_(made_zip_free) MadeZip zip = made_zip_new(entries, ELEMENTS_OF(entries));
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    ByteSource source = made_zip_source(&zip);

    (void)state;
    assert_int_equal(zip_reader_new(&source, &reader, NULL), 0);
    assert_int_equal(reader->n_entries, ELEMENTS_OF(entries));
    for (size_t i = 0; i < ELEMENTS_OF(entries); i++) {
        const ZipEntry *entry = &reader->entries[i];
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;

        assert_string_equal(entry->name, entries[i].entry.name);
        assert_int_equal(entry->mode & 07777, entries[i].entry.mode);
        assert_int_equal(entry->mode & S_IFMT, i == 0 ? S_IFDIR : S_IFREG);
        assert_int_equal(entry->method, entries[i].entry.method);
        assert_int_equal(zip_read_entry(reader, entry, 4096, &data, &size, NULL), 0);
        assert_string_equal((const char *)data, entries[i].content ? entries[i].content : "");
        if (entries[i].entry.alignment)
            assert_int_equal(entry->data_offset % entries[i].entry.alignment, 0);
    }
    assert_true(reader->entries[2].compressed_size < reader->entries[2].size);
}

static void the_same_entries_make_the_same_bytes(void **state)
{
    _cleanup_(made_zip_free) MadeZip first = made_zip_new(entries, ELEMENTS_OF(entries));
    _cleanup_(made_zip_free) MadeZip second = made_zip_new(entries, ELEMENTS_OF(entries));

    (void)state;
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
}

static void every_alignment_is_met_wherever_data_would_begin(void **state)
{
    char name[64] = { 0 };

    (void)state;
    for (uint32_t alignment = 1; alignment <= ZIP_ALIGNMENT_MAX; alignment *= 2) {
        for (size_t length = 1; length < 20; length++) {
            _cleanup_(zip_reader_freep) ZipReader *reader = NULL;

            memset(name, 'n', length);
            name[length] = '\0';
            const MadeEntry one = { { .name = name, .alignment = alignment }, "data" };
            _cleanup_(made_zip_free) MadeZip zip = made_zip_new(&one, 1);
            ByteSource source = made_zip_source(&zip);
            assert_int_equal(zip_reader_new(&source, &reader, NULL), 0);
            assert_int_equal(reader->entries[0].data_offset % alignment, 0);
            assert_int_equal(reader->entries[0].data_offset % 4, 0);
            assert_memory_equal(zip.data + reader->entries[0].data_offset, "data", 4);
        }
    }
}

typedef struct Target {
    int fd;
    ZipWriter *writer;
} Target;

static Target open_target(void)
{
    Target target = { .fd = memfd_create("zip", MFD_CLOEXEC) };

    assert_int_equal(zip_writer_new(target.fd, 0, NULL, &target.writer, NULL), 0);
    return target;
}

static void close_target(Target *target)
{
    zip_writer_free(target->writer);
    (void)fd_close(target->fd);
}

static void assert_not_added(const Target *target,
                             const char *name,
                             const ByteSource *content,
                             const char *words)
{
    const ZipNewEntry entry = { .name = name };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_true(zip_writer_add(target->writer, &entry, content, &error) < 0);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
}

static void names_that_cannot_be_read_are_not_written(void **state)
{
    _cleanup_(close_target) Target target = open_target();
    ByteSource nothing = byte_source_from_memory("", 0);

    (void)state;
    assert_not_added(&target, "../a", &nothing, "'..' in its name");
    assert_not_added(&target, "", &nothing, "its name is empty");
    assert_int_equal(lseek(target.fd, 0, SEEK_END), 0);
}

static void an_entry_of_4_gib_is_refused_before_anything_is_written(void **state)
{
    _cleanup_(close_target) Target target = open_target();
    ByteSource large = { .fd = target.fd, .size = UINT32_MAX };

    (void)state;
    assert_not_added(&target, "large", &large, "has 4294967295 bytes; in a zip");
    large.size = (uint64_t)INT64_MAX;
    assert_not_added(&target, "large", &large, "in a zip a file has less than 4 GiB");
    assert_int_equal(lseek(target.fd, 0, SEEK_END), 0);
}

static void the_most_entries_are_taken_and_no_more(void **state)
{
    _cleanup_(close_target) Target target = open_target();
    _cleanup_(zip_reader_freep) ZipReader *reader = NULL;
    ByteSource nothing = byte_source_from_memory("", 0), zip;
    char name[16];

    (void)state;
    for (unsigned i = 0; i < ZIP_ENTRIES_MAX; i++) {
        const ZipNewEntry entry = { .name = name };
        (void)snprintf(name, sizeof(name), "%u", i);
        assert_int_equal(zip_writer_add(target.writer, &entry, &nothing, NULL), 0);
    }
    assert_not_added(&target, "more", &nothing, "'more' is one more than the 65535");
    assert_int_equal(zip_writer_finish(target.writer, NULL), 0);
    assert_int_equal(byte_source_from_fd(target.fd, "zip", &zip, NULL), 0);
    assert_int_equal(zip_reader_new(&zip, &reader, NULL), 0);
    assert_int_equal(reader->n_entries, ZIP_ENTRIES_MAX);
    assert_non_null(zip_reader_find(reader, "65534"));
}

static void a_full_disk_and_a_short_source_are_told(void **state)
{
    _cleanup_close_ int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    _cleanup_(zip_writer_freep) ZipWriter *writer = NULL;
    _cleanup_(close_target) Target target = open_target();
    const ZipNewEntry entry = { .name = "a" };
    ByteSource missing = { .fd = target.fd, .size = 4096 };

    (void)state;
    assert_int_equal(zip_writer_new(full, 0, NULL, &writer, NULL), 0);
    assert_int_equal(zip_writer_add(writer, &entry, &missing, NULL), -ENOSPC);
    assert_int_equal(zip_writer_finish(writer, NULL), -ENOSPC);
    missing.offset = 8192;
    assert_not_added(&target, "a", &missing, "cannot read 'a'");
}

typedef struct Reported {
    uint64_t done, total;
    unsigned n;
} Reported;

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
    Reported *reported = userdata;

    assert_true(done >= reported->done);
    *reported = (Reported){ done, total, reported->n + 1 };
}

static void progress_goes_over_all_entries(void **state)
{
    Reported reported = { 0 };
    const Progress progress = { on_progress, &reported };
    _cleanup_close_ int fd = memfd_create("zip", MFD_CLOEXEC);
    _cleanup_(zip_writer_freep) ZipWriter *writer = NULL;
    ByteSource content = byte_source_from_memory("12345", 5);

    (void)state;
    assert_int_equal(zip_writer_new(fd, 10, &progress, &writer, NULL), 0);
    assert_int_equal(zip_writer_add(writer, &(ZipNewEntry){ .name = "a" }, &content, NULL), 0);
    assert_int_equal(zip_writer_add(writer, &(ZipNewEntry){ .name = "b" }, &content, NULL), 0);
    assert_int_equal(reported.done, 10);
    assert_int_equal(reported.total, 10);
    assert_int_equal(reported.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_same_entries_make_the_same_bytes),
        cmocka_unit_test(every_alignment_is_met_wherever_data_would_begin),
        cmocka_unit_test(names_that_cannot_be_read_are_not_written),
        cmocka_unit_test(an_entry_of_4_gib_is_refused_before_anything_is_written),
        cmocka_unit_test(the_most_entries_are_taken_and_no_more),
        cmocka_unit_test(a_full_disk_and_a_short_source_are_told),
        cmocka_unit_test(progress_goes_over_all_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
