/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that are built here byte by byte, and a disk that loses power. */
#include "composite-disk/instance-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/partition-image.h"
#include "tests/helpers/power-cut.h"
#include "tests/helpers/test.h"

#define SECTOR     512
#define IMAGE_SIZE (64 * SECTOR)

static const uint8_t manager_uuid[GUID_SIZE] = { 0xcf, 0x9a, 0xfe, 0x9a, 0x06, 0x62, 0x11, 0xec,
                                                 0xa3, 0x29, 0xc3, 0x26, 0x63, 0xa0, 0x9d, 0x75 };
static const uint8_t other_uuid[GUID_SIZE] = { 1, 2, 3 };

static void put_le64(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void make_empty(uint8_t image[static IMAGE_SIZE])
{
    uint8_t header[PARTITION_IMAGE_HEADER_MAX];

    memset(image, 0, IMAGE_SIZE);
    size_t size = partition_image_make_header(PARTITION_ANDROID_VM_INSTANCE, header);
    memcpy(image, header, size);
}

static uint8_t *put_record(uint8_t *at, const uint8_t *uuid, uint64_t size, uint8_t fill)
{
    memcpy(at, uuid, GUID_SIZE);
    put_le64(at + GUID_SIZE, size);
    memset(at + SECTOR, fill, (size_t)size);
    return at + SECTOR + (size + SECTOR - 1) / SECTOR * SECTOR;
}

static int make_file(const uint8_t image[static IMAGE_SIZE])
{
    int fd = memfd_create("instance", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, image, IMAGE_SIZE), 0);
    return fd;
}

static InstanceImage *read_image(const uint8_t *bytes, size_t size)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    InstanceImage *image = NULL;
    ByteSource source = byte_source_from_memory(bytes, size);

    if (instance_image_read(&source, &image, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return image;
}

static void assert_refused(const uint8_t *bytes, size_t size, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    InstanceImage *image = NULL;
    ByteSource source = byte_source_from_memory(bytes, size);

    assert_true(instance_image_read(&source, &image, &error) < 0);
    assert_null(image);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' does not say '%s'", error_get_message(&error), words);
}

static void reads_what_a_new_image_and_a_list_hold(void **state)
{
    (void)state;
    static uint8_t bytes[IMAGE_SIZE];

    make_empty(bytes);
    _cleanup_(instance_image_freep) InstanceImage *empty = read_image(bytes, sizeof(bytes));
    assert_int_equal(empty->n_records, 0);
    assert_int_equal(empty->end_offset, SECTOR);

    uint8_t *next = put_record(bytes + SECTOR, manager_uuid, SECTOR + 1, 'm');
    put_record(next, other_uuid, SECTOR, 'o')[0] = 0;
    next[SECTOR - 1] = 1; /* a byte of the header that nobody knows */
    _cleanup_(instance_image_freep) InstanceImage *image = read_image(bytes, sizeof(bytes));
    assert_int_equal(image->n_records, 2);
    assert_int_equal(image->records[0].offset, SECTOR);
    assert_int_equal(image->records[0].payload_size, SECTOR + 1);
    assert_false(instance_record_has_unknown_bytes(&image->records[0]));
    assert_string_equal(instance_record_get_owner(image->records[0].uuid), "microdroid_manager");
    assert_int_equal(image->records[1].offset, 4 * SECTOR);
    assert_true(instance_record_has_unknown_bytes(&image->records[1]));
    assert_memory_equal(image->records[1].header, next, SECTOR);
    assert_null(instance_record_get_owner(image->records[1].uuid));
    assert_int_equal(image->end_offset, 6 * SECTOR);

    uint8_t payload[SECTOR + 1];
    ByteSource source = byte_source_from_memory(bytes, sizeof(bytes));
    const InstanceRecord *record = instance_image_find(image, manager_uuid);
    assert_ptr_equal(record, &image->records[0]);
    assert_int_equal(instance_image_read_payload(&source, record, payload, NULL), 0);
    assert_memory_equal(payload, bytes + 2 * SECTOR, sizeof(payload));
}

static void refuses_another_magic_or_version(void **state)
{
    (void)state;
    static uint8_t bytes[IMAGE_SIZE];

    make_empty(bytes);
    bytes[18]++;
    assert_refused(bytes, sizeof(bytes), "no instance image");
    make_empty(bytes);
    bytes[20] = 1;
    assert_refused(bytes, sizeof(bytes), "version 257");
    make_empty(bytes);
    assert_refused(bytes, SECTOR - 1, "ends before the end of the header");
}

static void refuses_a_list_without_an_end(void **state)
{
    (void)state;
    static uint8_t bytes[IMAGE_SIZE];

    make_empty(bytes);
    assert_refused(bytes, SECTOR, "record at offset 512");
    uint8_t *next = put_record(bytes + SECTOR, manager_uuid, IMAGE_SIZE - 3 * SECTOR, 'm');
    _cleanup_(instance_image_freep) InstanceImage *full = read_image(bytes, sizeof(bytes));
    assert_int_equal(full->end_offset, IMAGE_SIZE - SECTOR);
    *next = 1;
    assert_refused(bytes, sizeof(bytes), "ends before the end of the record at offset 32768");
    put_record(bytes + SECTOR, manager_uuid, IMAGE_SIZE - 2 * SECTOR, 'm');
    assert_refused(bytes, sizeof(bytes), "ends before the end of the record at offset 32768");
}

static void refuses_payloads_that_are_not_inside(void **state)
{
    (void)state;
    static uint8_t bytes[IMAGE_SIZE];
    const uint64_t inside = IMAGE_SIZE - 2 * SECTOR;

    make_empty(bytes);
    memcpy(bytes + SECTOR, manager_uuid, GUID_SIZE);
    put_le64(bytes + SECTOR + GUID_SIZE, inside + 1);
    assert_refused(bytes, sizeof(bytes), "ends behind the image");
    put_le64(bytes + SECTOR + GUID_SIZE, INSTANCE_PAYLOAD_SIZE_MAX);
    assert_refused(bytes, sizeof(bytes), "ends behind the image");
    static const uint64_t sizes[] = { INSTANCE_PAYLOAD_SIZE_MAX + 1, INT64_MAX,
                                      UINT64_MAX - 2 * SECTOR, UINT64_MAX };
    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        put_le64(bytes + SECTOR + GUID_SIZE, sizes[i]);
        assert_refused(bytes, sizeof(bytes), "at most 1048576");
    }
}

static void takes_64_records_and_refuses_one_more(void **state)
{
    (void)state;
    static uint8_t bytes[(INSTANCE_RECORDS_MAX + 4) * SECTOR];
    uint8_t uuid[GUID_SIZE] = { 0 };

    make_empty(bytes);
    memset(bytes + SECTOR, 0, sizeof(bytes) - SECTOR);
    for (size_t i = 0; i <= INSTANCE_RECORDS_MAX; i++) {
        uuid[0] = (uint8_t)(i + 1);
        put_record(bytes + (i + 1) * SECTOR, uuid, 0, 0);
        if (i + 1 == INSTANCE_RECORDS_MAX) {
            _cleanup_(instance_image_freep) InstanceImage *image = read_image(bytes, sizeof(bytes));
            assert_int_equal(image->n_records, INSTANCE_RECORDS_MAX);
        }
    }
    assert_refused(bytes, sizeof(bytes), "more than 64 records");
}

static void refuses_a_uuid_that_is_there_twice(void **state)
{
    (void)state;
    static uint8_t bytes[IMAGE_SIZE];

    make_empty(bytes);
    put_record(put_record(bytes + SECTOR, other_uuid, 1, 1), other_uuid, 1, 1);
    assert_refused(bytes, sizeof(bytes), "offsets 512 and 1536 have the same UUID");
}

static int write_record(int fd, const uint8_t *uuid, size_t size, uint8_t fill, Error *error)
{
    _cleanup_free_ uint8_t *payload = malloc(size + 1);

    assert_non_null(payload);
    memset(payload, fill, size);
    return instance_image_write(fd, "image", uuid, payload, size, error);
}

static void writes_what_it_reads_and_leaves_the_rest(void **state)
{
    (void)state;
    static uint8_t before[IMAGE_SIZE], after[IMAGE_SIZE];

    make_empty(before);
    before[100] = 1; /* in the header's zeros */
    uint8_t *record = before + SECTOR;
    put_record(record, other_uuid, 700, 'o');
    record[400] = 1;
    memset(record + SECTOR + 700, 0xee, 3); /* behind the payload */
    _cleanup_close_ int fd = make_file(before);
    assert_int_equal(write_record(fd, manager_uuid, 1000, 'm', NULL), 0);
    assert_int_equal(pread(fd, after, IMAGE_SIZE, 0), IMAGE_SIZE);
    put_record(before + 4 * SECTOR, manager_uuid, 1000, 'm');
    assert_memory_equal(after, before, IMAGE_SIZE);

    assert_int_equal(write_record(fd, other_uuid, 700, 'p', NULL), 0);
    assert_int_equal(pread(fd, after, IMAGE_SIZE, 0), IMAGE_SIZE);
    memset(record + SECTOR, 'p', 700);
    assert_memory_equal(after, before, IMAGE_SIZE);
}

static void assert_unchanged_by(const uint8_t before[static IMAGE_SIZE],
                                const uint8_t *uuid,
                                size_t size,
                                ErrorKind kind)
{
    static uint8_t after[IMAGE_SIZE];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_close_ int fd = make_file(before);

    assert_true(write_record(fd, uuid, size, 'x', &error) < 0);
    assert_int_equal(error.kind, kind);
    assert_int_equal(pread(fd, after, IMAGE_SIZE, 0), IMAGE_SIZE);
    assert_memory_equal(after, before, IMAGE_SIZE);
}

static void a_refused_record_leaves_the_image(void **state)
{
    (void)state;
    static uint8_t bytes[IMAGE_SIZE];
    static const uint8_t nil[GUID_SIZE];

    make_empty(bytes);
    uint8_t *next = put_record(bytes + SECTOR, other_uuid, 700, 'o');
    assert_unchanged_by(bytes, other_uuid, 699, ERROR_INVALID_ARGUMENT);
    assert_unchanged_by(bytes, other_uuid, 701, ERROR_INVALID_ARGUMENT);
    assert_unchanged_by(bytes, nil, 1, ERROR_INVALID_ARGUMENT);
    assert_unchanged_by(bytes, manager_uuid, INSTANCE_PAYLOAD_SIZE_MAX + 1, ERROR_LIMITS_EXCEEDED);
    size_t room = IMAGE_SIZE - (size_t)(next - bytes) - 2 * SECTOR; /* less header and end */
    assert_unchanged_by(bytes, manager_uuid, room + 1, ERROR_LIMITS_EXCEEDED);
    _cleanup_close_ int fd = make_file(bytes);
    assert_int_equal(write_record(fd, manager_uuid, room, 'm', NULL), 0);
    bytes[0]++;
    assert_unchanged_by(bytes, manager_uuid, 1, ERROR_IMAGE_INVALID);
}

static void a_65th_record_is_not_written(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    static uint8_t bytes[IMAGE_SIZE];
    uint8_t uuid[GUID_SIZE] = { 0 };

    make_empty(bytes);
    _cleanup_close_ int fd = make_file(bytes);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    for (size_t i = 0; i < INSTANCE_RECORDS_MAX; i++) {
        uuid[0] = (uint8_t)(i + 1);
        assert_int_equal(write_record(fd, uuid, 1, 'x', NULL), 0);
    }
    uuid[0]++;
    assert_true(write_record(fd, uuid, 1, 'x', &error) < 0);
    assert_int_equal(error.kind, ERROR_LIMITS_EXCEEDED);
}

static void a_file_must_be_open_for_reading_and_writing(void **state)
{
    (void)state;
    static uint8_t bytes[IMAGE_SIZE];
    static const int flags[] = { O_RDONLY, O_WRONLY };

    make_empty(bytes);
    _cleanup_close_ int fd = make_file(bytes);
    for (size_t i = 0; i < ELEMENTS_OF(flags); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        _cleanup_close_ int other = -EBADF;

        assert_int_equal(fd_reopen(fd, flags[i], &other), 0);
        assert_true(write_record(other, manager_uuid, 1, 'x', &error) < 0);
        assert_int_equal(error.kind, ERROR_INVALID_FILE);
    }
}

/* --- a machine that stops --- */

typedef struct Crash {
    uint8_t before[IMAGE_SIZE];
    const uint8_t *uuid;
    size_t payload_size;
    bool replaces;
    size_t n_states, n_with_new;
} Crash;

/* Calls the record in @bytes old, new or neither. */
static void judge_state(const uint8_t *bytes, void *userdata)
{
    Crash *crash = userdata;
    _cleanup_(instance_image_freep) InstanceImage *was = read_image(crash->before, IMAGE_SIZE);
    _cleanup_(instance_image_freep) InstanceImage *is = read_image(bytes, IMAGE_SIZE);
    const InstanceRecord *record = instance_image_find(is, crash->uuid);

    crash->n_states++;
    for (size_t i = 0; i < was->n_records; i++) {
        const InstanceRecord *old = &was->records[i];
        uint64_t payload = old->offset + SECTOR;

        assert_memory_equal(&is->records[i], old, sizeof(*old));
        if (!crash->replaces)
            assert_memory_equal(bytes + payload, crash->before + payload, old->payload_size);
    }
    if (crash->replaces) {
        assert_int_equal(is->n_records, was->n_records);
        /* One sector is old or new, never a part of each. */
        uint8_t first = bytes[record->offset + SECTOR];
        for (size_t i = 0; i < crash->payload_size && i < SECTOR; i++)
            assert_int_equal(bytes[record->offset + SECTOR + i], first);
        crash->n_with_new += first == 'x';
    } else if (record) {
        assert_int_equal(is->n_records, was->n_records + 1);
        assert_int_equal(record->payload_size, crash->payload_size);
        for (size_t i = 0; i < crash->payload_size; i++)
            assert_int_equal(bytes[record->offset + SECTOR + i], 'x');
        crash->n_with_new++;
    } else {
        assert_int_equal(is->n_records, was->n_records);
    }
}

static void run_crash(Crash *crash)
{
    _cleanup_(power_cut_deinit) PowerCut cut;
    _cleanup_close_ int fd = make_file(crash->before);

    power_cut_begin(&cut, 0);
    assert_int_equal(write_record(fd, crash->uuid, crash->payload_size, 'x', NULL), 0);
    power_cut_end();
    power_cut_try(&cut, crash->before, IMAGE_SIZE, judge_state, crash);
    assert_true(crash->n_with_new > 0);
    assert_true(crash->n_with_new < crash->n_states);
}

static void a_new_record_is_whole_or_not_there_after_a_crash(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, 511, 512, 513, 3000 };

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        Crash crash = { .uuid = manager_uuid, .payload_size = sizes[i] };

        make_empty(crash.before);
        uint8_t *next = put_record(crash.before + SECTOR, other_uuid, 700, 'o');
        /* An earlier append of another size was cut off before its header. */
        memset(next + SECTOR, 0xaa, IMAGE_SIZE - (size_t)(next - crash.before) - SECTOR);
        run_crash(&crash);
    }
}

static void a_replaced_sector_is_old_or_new_after_a_crash(void **state)
{
    (void)state;
    Crash crash = { .uuid = other_uuid, .payload_size = SECTOR, .replaces = true };

    make_empty(crash.before);
    put_record(put_record(crash.before + SECTOR, manager_uuid, 1, 'm'), other_uuid, SECTOR, 'o');
    run_crash(&crash);
}

static void a_larger_one_that_is_replaced_leaves_the_list(void **state)
{
    (void)state;
    Crash crash = { .uuid = other_uuid, .payload_size = 3000, .replaces = true };

    make_empty(crash.before);
    put_record(put_record(crash.before + SECTOR, other_uuid, 3000, 'o'), manager_uuid, 1, 'm');
    run_crash(&crash);
}

static void every_failed_request_is_told_and_leaves_a_list(void **state)
{
    (void)state;
    Crash crash = { .uuid = manager_uuid, .payload_size = 600 };
    static uint8_t after[IMAGE_SIZE];

    make_empty(crash.before);
    for (size_t fail_at = 1; fail_at <= 4; fail_at++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        _cleanup_(power_cut_deinit) PowerCut cut;
        _cleanup_close_ int fd = make_file(crash.before);

        power_cut_begin(&cut, fail_at);
        assert_int_equal(write_record(fd, crash.uuid, crash.payload_size, 'x', &error), -EIO);
        power_cut_end();
        assert_int_equal(cut.n_requests, fail_at); /* and nothing is tried after it */
        assert_non_null(strstr(error_get_message(&error), "cannot write 'image'"));
        assert_int_equal(pread(fd, after, IMAGE_SIZE, 0), IMAGE_SIZE);
        judge_state(after, &crash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_a_new_image_and_a_list_hold),
        cmocka_unit_test(refuses_another_magic_or_version),
        cmocka_unit_test(refuses_a_list_without_an_end),
        cmocka_unit_test(refuses_payloads_that_are_not_inside),
        cmocka_unit_test(takes_64_records_and_refuses_one_more),
        cmocka_unit_test(refuses_a_uuid_that_is_there_twice),
        cmocka_unit_test(writes_what_it_reads_and_leaves_the_rest),
        cmocka_unit_test(a_refused_record_leaves_the_image),
        cmocka_unit_test(a_65th_record_is_not_written),
        cmocka_unit_test(a_file_must_be_open_for_reading_and_writing),
        cmocka_unit_test(a_new_record_is_whole_or_not_there_after_a_crash),
        cmocka_unit_test(a_replaced_sector_is_old_or_new_after_a_crash),
        cmocka_unit_test(a_larger_one_that_is_replaced_leaves_the_list),
        cmocka_unit_test(every_failed_request_is_told_and_leaves_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
