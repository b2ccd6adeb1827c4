/* SPDX-License-Identifier: Apache-2.0 */
/* Images in memory files, whose every bit may be another, on a disk that loses power. */
#include "guest/instance-store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "tests/helpers/made-instance.h"
#include "tests/helpers/power-cut.h"
#include "tests/helpers/test.h"

#define SECTOR         POWER_CUT_SECTOR
#define IMAGE_SIZE     MADE_INSTANCE_SIZE
#define JOURNAL_OFFSET (IMAGE_SIZE - (size_t)INSTANCE_JOURNAL_SIZE)

#define SMALL_SIZE  (SECTOR - CRYPTO_SEALED_MORE) /* fits a sector with its seal */
#define MIDDLE_SIZE 1500
#define LARGE_SIZE  INSTANCE_STORE_PLAIN_MAX

static const uint8_t first_key[CRYPTO_KEY_SIZE] = { 1 }, second_key[CRYPTO_KEY_SIZE] = { 2 };

static InstanceStore *reopen(InstanceStore *store)
{
    int fd = dup(store->fd);

    assert_true(fd >= 0);
    instance_store_free(store);
    return made_instance_open_file(fd);
}

/* A value of which no two sectors are alike, nor those of two seeds. */
static uint8_t *make_value(size_t size, uint8_t seed)
{
    uint8_t *value = malloc(size + 1);

    assert_non_null(value);
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(seed + i + i / SECTOR * 3);
    return value;
}

static int write_value(InstanceStore *store,
                       const uint8_t *uuid,
                       const uint8_t *key,
                       size_t size,
                       uint8_t seed,
                       Error *error)
{
    _cleanup_free_ uint8_t *value = make_value(size, seed);

    return instance_store_write(store, uuid, key, value, size, error);
}

static void write_well(
    InstanceStore *store, const uint8_t *uuid, const uint8_t *key, size_t size, uint8_t seed)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (write_value(store, uuid, key, size, seed, &error) < 0)
        fail_msg("%s", error_get_message(&error));
}

#define NOT_THERE 0 /* instead of a seed: there is no record */
#define REFUSED   1

/* The seed of the value that is read: one of the two, NOT_THERE, or REFUSED for an error that says
 * that the image is to blame. Anything else fails the test. */
static uint8_t read_value(const InstanceStore *store,
                          const uint8_t *uuid,
                          const uint8_t *key,
                          size_t size,
                          uint8_t seed,
                          uint8_t other_seed)
{
    _cleanup_free_ uint8_t *value = make_value(size, seed);
    _cleanup_free_ uint8_t *other = make_value(size, other_seed), *plain = malloc(size + 1);
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_non_null(plain);
    int r = instance_store_read(store, uuid, key, plain, size, &error);
    if (r == -ENOENT) {
        assert_false(instance_store_has(store, uuid));
        return NOT_THERE;
    }
    if (r < 0) {
        assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
        return REFUSED;
    }
    if (memcmp(plain, value, size) == 0)
        return seed;
    assert_memory_equal(plain, other, size);
    return other_seed;
}

static void assert_value(
    const InstanceStore *store, const uint8_t *uuid, const uint8_t *key, size_t size, uint8_t seed)
{
    assert_int_equal(read_value(store, uuid, key, size, seed, seed), seed);
}

static void assert_error(const Error *error, ErrorKind kind, const char *words)
{
    assert_int_equal(error->kind, kind);
    if (!strstr(error_get_message(error), words))
        fail_msg("'%s' does not say '%s'", error_get_message(error), words);
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, SMALL_SIZE, SMALL_SIZE + 1, MIDDLE_SIZE, LARGE_SIZE };
    static uint8_t image[IMAGE_SIZE];

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        made_instance_blank(image);
        _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
        assert_false(instance_store_has(store, instance_uuid_pvmfw));
        write_well(store, instance_uuid_pvmfw, first_key, 7, 'p');
        for (uint8_t seed = 'a'; seed <= 'c'; seed++) {
            write_well(store, instance_uuid_manager, second_key, sizes[i], seed);
            assert_true(instance_store_has(store, instance_uuid_manager));
            assert_value(store, instance_uuid_manager, second_key, sizes[i], seed);
            store = reopen(store);
            assert_value(store, instance_uuid_manager, second_key, sizes[i], seed);
            assert_value(store, instance_uuid_pvmfw, first_key, 7, 'p');
            assert_int_equal(store->image->n_records, 2);
        }
    }
}

static void the_same_value_is_sealed_in_other_bytes_each_time(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE], again[IMAGE_SIZE];

    made_instance_blank(image);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
    write_well(store, instance_uuid_pvmfw, first_key, SMALL_SIZE, 'v');
    made_instance_read(store, image);
    write_well(store, instance_uuid_pvmfw, first_key, SMALL_SIZE, 'v');
    made_instance_read(store, again);
    for (size_t at = 0; at < SECTOR; at += 64)
        assert_memory_not_equal(image + 2 * SECTOR + at, again + 2 * SECTOR + at, 64);
}

static void a_record_is_for_its_key_and_of_its_size(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE], plain[MIDDLE_SIZE + 1];

    made_instance_blank(image);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
    assert_int_equal(
        instance_store_read(store, instance_uuid_manager, first_key, plain, MIDDLE_SIZE, NULL),
        -ENOENT);
    write_well(store, instance_uuid_manager, first_key, MIDDLE_SIZE, 'v');

    _cleanup_(error_clear) Error error = ERROR_INIT;
    assert_true(instance_store_read(store, instance_uuid_manager, second_key, plain, MIDDLE_SIZE,
                                    &error) < 0);
    assert_error(&error, ERROR_IMAGE_INVALID, "was altered, or is another instance's");
    for (size_t i = 0; i < sizeof(plain); i++)
        assert_int_equal(plain[i], 0); /* nothing of it gets out */
    for (int more = -1; more <= 1; more += 2) {
        error_clear(&error);
        assert_true(instance_store_read(store, instance_uuid_manager, first_key, plain,
                                        (size_t)(MIDDLE_SIZE + more), &error) < 0);
        assert_error(&error, ERROR_IMAGE_INVALID, "has 1528 bytes and not 15");
    }
}

/* What is refused leaves the image as it was, with no journal that the next one to open it would
 * stumble over. */
static void assert_not_written(
    InstanceStore *store, const uint8_t *uuid, size_t size, ErrorKind kind, const char *words)
{
    static uint8_t before[IMAGE_SIZE], after[IMAGE_SIZE];
    _cleanup_(error_clear) Error error = ERROR_INIT;

    made_instance_read(store, before);
    assert_true(write_value(store, uuid, first_key, size, 'x', &error) < 0);
    assert_error(&error, kind, words);
    made_instance_read(store, after);
    assert_memory_equal(after, before, IMAGE_SIZE);
}

static void a_record_of_another_size_or_too_large_is_not_written(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, SMALL_SIZE, MIDDLE_SIZE, LARGE_SIZE };
    static uint8_t image[IMAGE_SIZE];

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        made_instance_blank(image);
        _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
        write_well(store, instance_uuid_manager, first_key, sizes[i], 'v');
        for (size_t j = 0; j < ELEMENTS_OF(sizes); j++) {
            if (j != i)
                assert_not_written(store, instance_uuid_manager, sizes[j], ERROR_INVALID_ARGUMENT,
                                   "keeps its size");
        }
        assert_not_written(store, instance_uuid_manager, LARGE_SIZE + 1, ERROR_LIMITS_EXCEEDED,
                           "at most 32768");
        store = reopen(store);
        assert_value(store, instance_uuid_manager, first_key, sizes[i], 'v');
    }
}

/* In the smallest image there is, records have 64 KiB, with header and end of the list. */
static void a_record_that_would_reach_into_the_journal_is_not_written(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE];

    made_instance_blank(image);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
    write_well(store, instance_uuid_manager, first_key, LARGE_SIZE, 'm');
    const size_t room = JOURNAL_OFFSET - (size_t)store->image->end_offset -
                        2 * INSTANCE_RECORD_HEADER_SIZE - CRYPTO_SEALED_MORE;
    assert_true(room < LARGE_SIZE);
    assert_not_written(store, instance_uuid_payload, LARGE_SIZE, ERROR_LIMITS_EXCEEDED,
                       "the instance image is full");
    assert_not_written(store, instance_uuid_payload, room + 1, ERROR_LIMITS_EXCEEDED,
                       "the instance image is full");
    write_well(store, instance_uuid_payload, first_key, room, 'p');
    assert_not_written(store, instance_uuid_pvmfw, 0, ERROR_LIMITS_EXCEEDED,
                       "the instance image is full");
    write_well(store, instance_uuid_manager, first_key, LARGE_SIZE, 'n');
    store = reopen(store);
    assert_value(store, instance_uuid_manager, first_key, LARGE_SIZE, 'n');
    assert_value(store, instance_uuid_payload, first_key, room, 'p');
}

static void assert_not_opened(const uint8_t *image, size_t size, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    InstanceStore *store = NULL;
    int fd = memfd_create("instance", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, image, size), 0);
    assert_true(instance_store_open(fd, &store, &error) < 0);
    assert_null(store);
    assert_error(&error, ERROR_IMAGE_INVALID, words);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was taken */
}

static void an_image_has_a_list_and_a_journal_apart_from_it(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE];

    made_instance_blank(image);
    assert_not_opened(image, IMAGE_SIZE - SECTOR, "too small: at least 131584");
    assert_not_opened(image, 0, "too small");
    image[0]++;
    assert_not_opened(image, IMAGE_SIZE, "no instance image");

    made_instance_blank(image);
    instance_record_make_header(instance_uuid_manager, JOURNAL_OFFSET - 3 * SECTOR + 1,
                                image + SECTOR);
    assert_not_opened(image, IMAGE_SIZE, "reach into its journal");
    instance_record_make_header(instance_uuid_manager, JOURNAL_OFFSET - 3 * SECTOR, image + SECTOR);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
    assert_int_equal(store->image->end_offset, JOURNAL_OFFSET - SECTOR);
}

static void an_image_must_be_open_for_reading_and_writing(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    InstanceStore *store;
    int fd;

    made_instance_blank(image);
    _cleanup_close_ int file = made_instance_file(image);
    assert_int_equal(fd_reopen(file, O_RDONLY, &fd), 0);
    store = made_instance_open_file(fd); /* one that nobody has to write can be read */
    assert_true(write_value(store, instance_uuid_manager, first_key, 1, 'v', &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    instance_store_free(store);
    error_clear(&error);
    assert_int_equal(fd_reopen(file, O_WRONLY, &fd), 0);
    assert_true(instance_store_open(fd, &store, &error) < 0);
}

/* --- loss of power --- */

typedef struct Update {
    uint8_t before[IMAGE_SIZE];
    size_t size;
    uint8_t old, new;    /* seeds; @old may be NOT_THERE */
    bool cut_again;      /* power goes again while the journal is finished */
    size_t n_old, n_new; /* how often which was found */
} Update;

/* There is another record, which nobody touches. */
static uint8_t read_updated(const Update *update, const InstanceStore *store)
{
    uint8_t seed = read_value(store, instance_uuid_manager, second_key, update->size, update->new,
                              update->old);

    assert_value(store, instance_uuid_pvmfw, first_key, SMALL_SIZE, 'p');
    assert_true(seed == update->old || seed == update->new);
    return seed;
}

typedef struct SecondCut {
    const Update *update;
    uint8_t seed; /* what is found when power stays */
} SecondCut;

static void judge_second_cut(const uint8_t *bytes, void *userdata)
{
    const SecondCut *second = userdata;
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(bytes);

    assert_int_equal(read_updated(second->update, store), second->seed);
}

static void judge_cut(const uint8_t *bytes, void *userdata)
{
    Update *update = userdata;
    _cleanup_(power_cut_deinit) PowerCut cut;

    int fd = made_instance_file(bytes);
    power_cut_begin(&cut, 0);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open_file(fd);
    power_cut_end();
    uint8_t seed = read_updated(update, store);
    if (seed == update->new)
        update->n_new++;
    else
        update->n_old++;
    store = reopen(store);
    assert_int_equal(read_updated(update, store), seed);
    if (update->cut_again) {
        SecondCut second = { .update = update, .seed = seed };

        power_cut_try(&cut, bytes, IMAGE_SIZE, judge_second_cut, &second);
    }
}

/* Writes the new value and cuts the power at every moment. */
static void cut_update(Update *update)
{
    _cleanup_(power_cut_deinit) PowerCut cut;
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(update->before);

    update->n_old = update->n_new = 0;
    power_cut_begin(&cut, 0);
    write_well(store, instance_uuid_manager, second_key, update->size, update->new);
    power_cut_end();
    power_cut_try(&cut, update->before, IMAGE_SIZE, judge_cut, update);
    assert_true(update->n_old > 0 && update->n_new > 0);
    made_instance_read(store, update->before);
    update->old = update->new;
}

static void start(Update *update)
{
    made_instance_blank(update->before);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(update->before);
    write_well(store, instance_uuid_pvmfw, first_key, SMALL_SIZE, 'p');
    made_instance_read(store, update->before);
}

static void an_update_is_whole_or_not_there_whenever_power_goes(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, SMALL_SIZE, SMALL_SIZE + 1, MIDDLE_SIZE, LARGE_SIZE };
    static Update update;

    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        update = (Update){ .size = sizes[i], .cut_again = sizes[i] <= MIDDLE_SIZE };
        start(&update);
        update.new = 'a';
        cut_update(&update);
        /* The first update finds an empty journal, the next one what was in there. */
        update.new = 'b';
        cut_update(&update);
        update.new = 'c';
        cut_update(&update);
    }
}

static size_t count_requests(const Update *update)
{
    _cleanup_(power_cut_deinit) PowerCut cut;
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(update->before);

    power_cut_begin(&cut, 0);
    write_well(store, instance_uuid_manager, second_key, update->size, update->new);
    power_cut_end();
    return cut.n_requests;
}

static void fail_update(const Update *update, size_t fail_at, InstanceStore *store)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_(power_cut_deinit) PowerCut cut;

    power_cut_begin(&cut, fail_at);
    assert_int_equal(
        write_value(store, instance_uuid_manager, second_key, update->size, update->new, &error),
        -EIO);
    power_cut_end();
    assert_int_equal(cut.n_requests, fail_at); /* and nothing is tried after it */
    assert_error(&error, ERROR_FAILED, "cannot ");
}

static void a_failed_update_is_told_and_whole_or_not_there_later(void **state)
{
    (void)state;
    static const size_t sizes[] = { SMALL_SIZE, MIDDLE_SIZE };
    static Update update;

    for (size_t i = 0; i < 2 * ELEMENTS_OF(sizes); i++) {
        update = (Update){ .size = sizes[i / 2], .new = 'a' };
        start(&update);
        if (i % 2 == 1) {
            cut_update(&update);
            update.new = 'b';
        }
        for (size_t fail_at = count_requests(&update); fail_at > 0; fail_at--) {
            _cleanup_(instance_store_freep) InstanceStore *store =
                made_instance_open(update.before);

            fail_update(&update, fail_at, store);
            store = reopen(store);
            (void)read_updated(&update, store);
        }
    }
}

/* Bytes and header of the journal were written and flushed, then the record written. */
#define FLUSH_OF_RECORD 6

/* The failed one may have left a part of the record: only the journal has all of it. */
static void an_update_after_a_failed_one_can_lose_power_as_well(void **state)
{
    (void)state;
    static uint8_t before[IMAGE_SIZE];
    static Update update;

    update = (Update){ .size = MIDDLE_SIZE, .new = 'a' };
    start(&update);
    cut_update(&update);
    memcpy(before, update.before, IMAGE_SIZE);
    update.new = 'b';
    for (size_t fail_at = count_requests(&update); fail_at > 0; fail_at--) {
        _cleanup_(power_cut_deinit) PowerCut cut;
        Update next = { .size = MIDDLE_SIZE, .new = 'c' };

        _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(before);
        fail_update(&update, fail_at, store);
        made_instance_read(store, next.before);
        if (fail_at == FLUSH_OF_RECORD) { /* which has put a part of it on the disk */
            const InstanceRecord *record = instance_image_find(store->image, instance_uuid_manager);
            off_t payload = (off_t)record->offset + INSTANCE_RECORD_HEADER_SIZE;

            assert_int_equal(pwrite(store->fd, before + payload, SECTOR, payload), SECTOR);
            made_instance_read(store, next.before);
            assert_int_equal(
                read_value(store, instance_uuid_manager, second_key, next.size, 'a', 'b'), REFUSED);
        }
        power_cut_begin(&cut, 0);
        write_well(store, instance_uuid_manager, second_key, next.size, next.new);
        power_cut_end();
        {
            _cleanup_(instance_store_freep) InstanceStore *failed = made_instance_open(next.before);

            next.old = read_value(failed, instance_uuid_manager, second_key, next.size, 'a', 'b');
        }
        power_cut_try(&cut, next.before, IMAGE_SIZE, judge_cut, &next);
        assert_true(next.n_old > 0 && next.n_new > 0);
    }
}

/* --- what a host does to it --- */

/* Two records, of one sector and of more. */
static void make_two(uint8_t image[static IMAGE_SIZE])
{
    made_instance_blank(image);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
    write_well(store, instance_uuid_pvmfw, first_key, 100, 'p');
    write_well(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'm');
    made_instance_read(store, image);
}

typedef enum Outcome {
    STORE_REFUSED = 1 << 0,  /* nothing is read at all */
    RECORD_REFUSED = 1 << 1, /* one of the two is not */
    RECORD_MISSING = 1 << 2, /* and another one is there */
    ALL_READ = 1 << 3,
} Outcome;

/* A record is what it was, or @new_seed of the manager's, or it is refused or missing. */
static Outcome judge_image(int fd, uint8_t new_seed)
{
    _cleanup_(instance_store_freep) InstanceStore *store = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (instance_store_open(dup(fd), &store, &error) < 0) {
        assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
        return STORE_REFUSED;
    }
    uint8_t seeds[] = {
        read_value(store, instance_uuid_pvmfw, first_key, 100, 'p', 'p'),
        read_value(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'm', new_seed),
    };
    if (seeds[0] == NOT_THERE || seeds[1] == NOT_THERE) {
        bool is_known = true;

        /* A record was renamed, and nobody has that name, or the one before it has become so large
         * that it has swallowed the other one, and is refused itself. */
        for (size_t i = 0; i < store->image->n_records; i++)
            is_known &= instance_record_get_owner(store->image->records[i].uuid) != NULL;
        assert_true(!is_known || seeds[0] == REFUSED);
        return RECORD_MISSING;
    }
    return seeds[0] == REFUSED || seeds[1] == REFUSED ? RECORD_REFUSED : ALL_READ;
}

#define USED_SIZE (16 * SECTOR) /* of the list, with one record more */

/* Flips each bit of the bytes from @start on; all that came out. */
static unsigned flip_bits(const uint8_t image[static IMAGE_SIZE],
                          size_t start,
                          size_t end,
                          uint8_t new_seed)
{
    _cleanup_close_ int fd = made_instance_file(image);
    unsigned outcomes = 0;

    for (size_t bit = start * 8; bit < end * 8; bit++) {
        uint8_t flipped = (uint8_t)(image[bit / 8] ^ 1 << bit % 8);

        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)(bit / 8)), 1);
        outcomes |= judge_image(fd, new_seed);
        assert_int_equal(pwrite(fd, &image[bit / 8], 1, (off_t)(bit / 8)), 1);
        /* A journal that was finished has changed more than the bit. */
        assert_int_equal(pwrite(fd, image, USED_SIZE, 0), USED_SIZE);
        assert_int_equal(pwrite(fd, image + JOURNAL_OFFSET, SECTOR, JOURNAL_OFFSET), SECTOR);
    }
    return outcomes;
}

static void no_bit_of_a_record_or_its_header_can_change(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE];

    make_two(image);
    /* header | header of the first, its one sector | header of the second, its three | end */
    const size_t first = 2 * SECTOR, second = 4 * SECTOR, end = 7 * SECTOR;
    const size_t first_size = 100 + CRYPTO_SEALED_MORE;
    const size_t second_size = MIDDLE_SIZE + CRYPTO_SEALED_MORE;

    assert_int_equal(flip_bits(image, first - SECTOR, first - SECTOR + GUID_SIZE, 'm'),
                     RECORD_MISSING);
    assert_int_equal(
        flip_bits(image, first - SECTOR + GUID_SIZE, first - SECTOR + GUID_SIZE + 8, 'm'),
        STORE_REFUSED | RECORD_REFUSED | RECORD_MISSING);
    assert_int_equal(flip_bits(image, first - SECTOR + GUID_SIZE + 8, first + first_size, 'm'),
                     RECORD_REFUSED);
    assert_int_equal(flip_bits(image, first + first_size, second - SECTOR, 'm'), ALL_READ);

    assert_int_equal(flip_bits(image, second - SECTOR, second - SECTOR + GUID_SIZE, 'm'),
                     RECORD_MISSING);
    assert_int_equal(
        flip_bits(image, second - SECTOR + GUID_SIZE, second - SECTOR + GUID_SIZE + 8, 'm'),
        STORE_REFUSED | RECORD_REFUSED);
    assert_int_equal(flip_bits(image, second - SECTOR + GUID_SIZE + 8, second + second_size, 'm'),
                     RECORD_REFUSED);
    assert_int_equal(flip_bits(image, second + second_size, end, 'm'), ALL_READ);
}

static void bits_that_nothing_is_in_change_nothing(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE];
    const size_t used = strlen(INSTANCE_IMAGE_MAGIC) + 2;

    make_two(image);
    assert_int_equal(flip_bits(image, 0, used, 'm'), STORE_REFUSED);
    assert_int_equal(flip_bits(image, used, SECTOR, 'm'), ALL_READ);
    /* Behind the list; the UUID is what makes a record of it, of no bytes. */
    assert_int_equal(flip_bits(image, 7 * SECTOR, 7 * SECTOR + GUID_SIZE, 'm'), ALL_READ);
    assert_int_equal(flip_bits(image, 7 * SECTOR + GUID_SIZE, 8 * SECTOR, 'm'), ALL_READ);
    assert_int_equal(flip_bits(image, JOURNAL_OFFSET - SECTOR, JOURNAL_OFFSET + 2 * SECTOR, 'm'),
                     ALL_READ);
}

/* Keeps the state of the disk in which the journal was just made whole. */
static void keep_journal(const uint8_t *bytes, void *userdata)
{
    static const uint8_t nothing[SECTOR];
    static uint8_t list[JOURNAL_OFFSET];
    uint8_t *image = userdata;

    if (memcmp(image + JOURNAL_OFFSET, nothing, SECTOR) == 0) {
        if (memcmp(bytes + JOURNAL_OFFSET, nothing, SECTOR) == 0)
            memcpy(list, bytes, JOURNAL_OFFSET);
        else if (memcmp(bytes, list, JOURNAL_OFFSET) == 0)
            memcpy(image, bytes, IMAGE_SIZE);
    }
}

static void make_journal(uint8_t image[static IMAGE_SIZE])
{
    static uint8_t before[IMAGE_SIZE];
    _cleanup_(power_cut_deinit) PowerCut cut;

    make_two(before);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(before);
    power_cut_begin(&cut, 0);
    write_well(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'n');
    power_cut_end();
    memcpy(image, before, IMAGE_SIZE);
    power_cut_try(&cut, before, IMAGE_SIZE, keep_journal, image);
    assert_memory_equal(image + JOURNAL_OFFSET, "instance-journal", 16);
}

static void a_bit_of_a_journal_decides_between_old_and_new_or_is_refused(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE];
    const size_t name = JOURNAL_OFFSET + 16, size = name + GUID_SIZE, zeros = size + 8 + 32;
    const size_t bytes = JOURNAL_OFFSET + SECTOR;
    const size_t bytes_end = bytes + MIDDLE_SIZE + CRYPTO_SEALED_MORE;

    make_journal(image);
    assert_int_equal(flip_bits(image, JOURNAL_OFFSET, name, 'n'), ALL_READ);
    assert_int_equal(flip_bits(image, name, size, 'n'), STORE_REFUSED);
    assert_int_equal(flip_bits(image, size, zeros, 'n'), ALL_READ);
    assert_int_equal(flip_bits(image, zeros, bytes, 'n'), ALL_READ);
    assert_int_equal(flip_bits(image, bytes, bytes_end, 'n'), ALL_READ);
    assert_int_equal(flip_bits(image, bytes_end, bytes_end + SECTOR, 'n'), ALL_READ);
}

static void a_journal_of_anything_else_is_refused_or_ignored(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE], other[IMAGE_SIZE];

    /* Of a record of another size: nobody can do what it says. */
    make_journal(image);
    memcpy(image + JOURNAL_OFFSET + 16, instance_uuid_pvmfw, GUID_SIZE);
    assert_not_opened(image, IMAGE_SIZE, "journal");

    /* Of no record that is there, when there is no room for it. */
    make_journal(image);
    memcpy(image + JOURNAL_OFFSET + 16, instance_uuid_payload, GUID_SIZE);
    instance_record_make_header((const uint8_t[GUID_SIZE]){ 9 }, JOURNAL_OFFSET - 11 * SECTOR,
                                image + 7 * SECTOR);
    assert_not_opened(image, IMAGE_SIZE, "journal");

    /* One that was sealed by another instance does what flipped bits of the record do. */
    make_journal(image);
    memcpy(other, image, IMAGE_SIZE);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(other);
    assert_int_equal(read_value(store, instance_uuid_manager, first_key, MIDDLE_SIZE, 'm', 'n'),
                     REFUSED);

    /* The nil UUID, and more bytes than a journal has. */
    make_journal(image);
    memset(image + JOURNAL_OFFSET + 16, 0, GUID_SIZE);
    store = instance_store_free(store);
    store = made_instance_open(image);
    assert_value(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'm');
    make_journal(image);
    memset(image + JOURNAL_OFFSET + 16 + GUID_SIZE + 3, 0xff, 5);
    store = instance_store_free(store);
    store = made_instance_open(image);
    assert_value(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'm');
}

static void a_payload_under_the_name_of_another_record_is_refused(void **state)
{
    (void)state;
    static uint8_t image[IMAGE_SIZE];

    made_instance_blank(image);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
    write_well(store, instance_uuid_pvmfw, first_key, 100, 'p');
    write_well(store, instance_uuid_manager, first_key, 100, 'm');
    made_instance_read(store, image);
    memcpy(image + 4 * SECTOR, image + 2 * SECTOR, SECTOR);
    store = instance_store_free(store);
    store = made_instance_open(image);
    assert_value(store, instance_uuid_pvmfw, first_key, 100, 'p');
    assert_int_equal(read_value(store, instance_uuid_manager, first_key, 100, 'm', 'p'), REFUSED);
}

/* Nothing that the host could not turn back as well says which state is the last. */
static void an_older_copy_of_one_record_alone_is_its_former_state(void **state)
{
    (void)state;
    static uint8_t older[IMAGE_SIZE], image[IMAGE_SIZE];

    make_two(older);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(older);
    write_well(store, instance_uuid_pvmfw, first_key, 100, 'q');
    write_well(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'n');
    made_instance_read(store, image);
    memcpy(image + 2 * SECTOR, older + 2 * SECTOR, SECTOR);
    store = instance_store_free(store);
    store = made_instance_open(image);
    assert_value(store, instance_uuid_pvmfw, first_key, 100, 'p');
    assert_value(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'n');
}

static void an_older_journal_puts_its_record_back_to_its_former_state(void **state)
{
    (void)state;
    static uint8_t older[IMAGE_SIZE], image[IMAGE_SIZE];

    make_journal(older);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(older);
    write_well(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'o');
    made_instance_read(store, image);
    memcpy(image + JOURNAL_OFFSET, older + JOURNAL_OFFSET, INSTANCE_JOURNAL_SIZE);
    store = instance_store_free(store);
    store = made_instance_open(image);
    assert_value(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'n');
}

static void sectors_of_two_states_of_a_record_are_refused(void **state)
{
    (void)state;
    static uint8_t older[IMAGE_SIZE], image[IMAGE_SIZE];

    make_two(older);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(older);
    write_well(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'n');
    made_instance_read(store, image);
    store = instance_store_free(store);
    for (unsigned sectors = 1; sectors < 7; sectors++) {
        static uint8_t mixed[IMAGE_SIZE];

        memcpy(mixed, image, IMAGE_SIZE);
        for (size_t i = 0; i < 3; i++) {
            if (sectors >> i & 1)
                memcpy(mixed + (4 + i) * SECTOR, older + (4 + i) * SECTOR, SECTOR);
        }
        store = made_instance_open(mixed);
        assert_int_equal(
            read_value(store, instance_uuid_manager, second_key, MIDDLE_SIZE, 'm', 'n'), REFUSED);
        store = instance_store_free(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(the_same_value_is_sealed_in_other_bytes_each_time),
        cmocka_unit_test(a_record_is_for_its_key_and_of_its_size),
        cmocka_unit_test(a_record_of_another_size_or_too_large_is_not_written),
        cmocka_unit_test(a_record_that_would_reach_into_the_journal_is_not_written),
        cmocka_unit_test(an_image_has_a_list_and_a_journal_apart_from_it),
        cmocka_unit_test(an_image_must_be_open_for_reading_and_writing),
        cmocka_unit_test(an_update_is_whole_or_not_there_whenever_power_goes),
        cmocka_unit_test(a_failed_update_is_told_and_whole_or_not_there_later),
        cmocka_unit_test(an_update_after_a_failed_one_can_lose_power_as_well),
        cmocka_unit_test(no_bit_of_a_record_or_its_header_can_change),
        cmocka_unit_test(bits_that_nothing_is_in_change_nothing),
        cmocka_unit_test(a_bit_of_a_journal_decides_between_old_and_new_or_is_refused),
        cmocka_unit_test(a_journal_of_anything_else_is_refused_or_ignored),
        cmocka_unit_test(a_payload_under_the_name_of_another_record_is_refused),
        cmocka_unit_test(an_older_copy_of_one_record_alone_is_its_former_state),
        cmocka_unit_test(an_older_journal_puts_its_record_back_to_its_former_state),
        cmocka_unit_test(sectors_of_two_states_of_a_record_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
