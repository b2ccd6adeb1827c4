/* SPDX-License-Identifier: Apache-2.0 */
/* Trees are compared with those of a second builder, which has everything in memory and makes one
 * level after the other. */
#include "composite-disk/merkle-builder.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

#define BLOCK ((size_t)4096)

static unsigned n_threads_made, n_threads_allowed = UINT32_MAX;

int __real_pthread_create(pthread_t *thread,
                          const pthread_attr_t *attributes,
                          void *(*start)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread,
                          const pthread_attr_t *attributes,
                          void *(*start)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *thread,
                          const pthread_attr_t *attributes,
                          void *(*start)(void *),
                          void *argument)
{
    if (n_threads_made >= n_threads_allowed)
        return EAGAIN;
    n_threads_made++;
    return __real_pthread_create(thread, attributes, start, argument);
}

/* While it is on, the one who reads the first byte waits until another worker waits in turn, or
 * reads what it should not yet. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_on, is_waiting, is_beyond;
    uint64_t end; /* of what may be read without the first unit */
} stall = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __real_byte_source_read(const ByteSource *source, uint64_t offset, void *buffer, size_t size);
int __wrap_byte_source_read(const ByteSource *source, uint64_t offset, void *buffer, size_t size);

static void set_stall(bool *what)
{
    (void)pthread_mutex_lock(&stall.lock);
    *what = true;
    (void)pthread_cond_broadcast(&stall.changed);
    (void)pthread_mutex_unlock(&stall.lock);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    if (stall.is_on)
        set_stall(&stall.is_waiting);
    return __real_pthread_cond_wait(condition, mutex);
}

int __wrap_byte_source_read(const ByteSource *source, uint64_t offset, void *buffer, size_t size)
{
    if (stall.is_on && offset == 0) {
        (void)pthread_mutex_lock(&stall.lock);
        while (!stall.is_waiting && !stall.is_beyond)
            (void)__real_pthread_cond_wait(&stall.changed, &stall.lock);
        __atomic_store_n(&stall.end, UINT64_MAX, __ATOMIC_SEQ_CST);
        (void)pthread_mutex_unlock(&stall.lock);
    } else if (stall.is_on && offset >= __atomic_load_n(&stall.end, __ATOMIC_SEQ_CST)) {
        set_stall(&stall.is_beyond);
    }
    return __real_byte_source_read(source, offset, buffer, size);
}

static size_t pad(size_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void hash_salted(const uint8_t *salt, size_t salt_size, const uint8_t *block, uint8_t *hash)
{
    uint8_t both[MERKLE_SALT_MAX + BLOCK];

    if (salt_size > 0)
        memcpy(both, salt, salt_size);
    memcpy(both + salt_size, block, BLOCK);
    assert_int_equal(EVP_Digest(both, salt_size + BLOCK, hash, NULL, EVP_sha256(), NULL), 1);
}

/* Puts the levels before @tree_end, from the lowest on; returns where the top begins. */
static uint8_t *make_tree_simply(const uint8_t *data,
                                 size_t size,
                                 const uint8_t *salt,
                                 size_t salt_size,
                                 uint8_t *tree_end,
                                 uint8_t *root)
{
    uint8_t *level = calloc(1, pad(size)), *top = tree_end;

    assert_non_null(level);
    memcpy(level, data, size);
    size = pad(size);
    while (size > BLOCK) {
        size_t n = size / BLOCK;
        uint8_t *parents = calloc(1, pad(n * 32));

        assert_non_null(parents);
        for (size_t i = 0; i < n; i++)
            hash_salted(salt, salt_size, level + i * BLOCK, parents + i * 32);
        free(level);
        level = parents;
        size = pad(n * 32);
        top -= size;
        memcpy(top, level, size);
    }
    hash_salted(salt, salt_size, level, root);
    free(level);
    return top;
}

typedef struct Fixture {
    uint8_t *data;
    size_t size;
    uint8_t *tree;
    size_t tree_size;
    uint8_t *expected;
    size_t n_written, fail_at;
    unsigned inside;
} Fixture;

static int write_to_memory(void *userdata, uint64_t offset, const void *bytes, size_t size)
{
    Fixture *fixture = userdata;

    if (__atomic_add_fetch(&fixture->inside, 1, __ATOMIC_SEQ_CST) != 1)
        abort(); /* two at a time */
    if (offset > fixture->tree_size || size > fixture->tree_size - offset)
        abort();
    memcpy(fixture->tree + offset, bytes, size);
    fixture->n_written += size;
    (void)__atomic_sub_fetch(&fixture->inside, 1, __ATOMIC_SEQ_CST);
    return fixture->n_written > fixture->fail_at ? -ENOSPC : 0;
}

static void fixture_init(Fixture *fixture, size_t size)
{
    MerkleGeometry geometry;

    assert_int_equal(merkle_geometry_init(&geometry, size), 0);
    *fixture = (Fixture){
        .data = malloc(size),
        .size = size,
        .tree_size = geometry.tree_size,
        .tree = malloc(geometry.tree_size + 1),
        .expected = malloc(geometry.tree_size + 1),
        .fail_at = SIZE_MAX,
    };
    assert_non_null(fixture->data);
    for (size_t i = 0; i < size; i++)
        fixture->data[i] = (uint8_t)(i * 2654435761U >> 13);
    memset(fixture->tree, 0xee, fixture->tree_size);
}

static void fixture_deinit(Fixture *fixture)
{
    free(fixture->data);
    free(fixture->tree);
    free(fixture->expected);
}

static void check_tree(size_t size, unsigned n_threads, size_t salt_size)
{
    uint8_t salt[MERKLE_SALT_MAX], root[32], expected_root[32];
    Fixture fixture;

    memset(salt, 0x5a, sizeof(salt));
    fixture_init(&fixture, size);
    uint8_t *top = make_tree_simply(fixture.data, size, salt, salt_size,
                                    fixture.expected + fixture.tree_size, expected_root);
    assert_ptr_equal(top, fixture.expected);

    ByteSource source = byte_source_from_memory(fixture.data, size);
    const MerkleOptions options = { .salt = salt,
                                    .salt_size = salt_size,
                                    .n_threads = n_threads,
                                    .write = write_to_memory,
                                    .userdata = &fixture };
    assert_int_equal(merkle_tree_build(&source, &options, root, NULL), 0);
    assert_memory_equal(root, expected_root, 32);
    assert_int_equal(fixture.n_written, fixture.tree_size);
    assert_memory_equal(fixture.tree, fixture.expected, fixture.tree_size);
    fixture_deinit(&fixture);
}

static const size_t edge_sizes[] = {
    1,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    128 * BLOCK - 1,
    128 * BLOCK,
    128 * BLOCK + 1,
    255 * BLOCK,
    256 * BLOCK,
    256 * BLOCK + 1,
    257 * BLOCK,
    1000 * BLOCK + 1234,
    2048 * BLOCK,
    128 * 128 * BLOCK + 1,
};

static void trees_of_all_edge_sizes_are_those_of_the_simple_builder(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(edge_sizes); i++)
        check_tree(edge_sizes[i], 1, 0);
}

static void any_number_of_threads_makes_the_same_tree(void **state)
{
    static const unsigned numbers[] = { 0, 2, 3, 7, MERKLE_THREADS_MAX, 1000 };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(numbers); i++) {
        check_tree(129 * BLOCK, numbers[i], 0);
        check_tree(70 * 256 * BLOCK + 1, numbers[i], 0);
    }
}

static void the_salt_is_hashed_before_each_block(void **state)
{
    (void)state;
    check_tree(300 * BLOCK, 2, 1);
    check_tree(300 * BLOCK, 2, 32);
    check_tree(300 * BLOCK, 2, MERKLE_SALT_MAX);
    check_tree(1, 1, 32);
}

static void one_thread_is_the_callers(void **state)
{
    (void)state;
    n_threads_made = 0;
    check_tree(1000 * BLOCK, 1, 0);
    assert_int_equal(n_threads_made, 0);
    check_tree(1000 * BLOCK, 3, 0);
    assert_int_equal(n_threads_made, 2);
}

static void threads_that_cannot_be_made_are_not_needed(void **state)
{
    (void)state;
    n_threads_made = 0;
    for (n_threads_allowed = 0; n_threads_allowed < 3; n_threads_allowed++)
        check_tree(3000 * BLOCK, 4, 0);
    n_threads_allowed = UINT32_MAX;
}

static void nobody_runs_further_ahead_of_the_slowest_than_there_is_room(void **state)
{
    const unsigned n_threads = 2, units_per_thread = 4;

    (void)state;
    stall.end = (uint64_t)(n_threads * units_per_thread) << 20;
    stall.is_on = true;
    check_tree(12 << 20, n_threads, 0);
    stall.is_on = false;
    assert_true(stall.is_waiting);
    assert_false(stall.is_beyond);
}

static void the_root_of_nothing_is_zeros(void **state)
{
    static const uint8_t zeros[32];
    uint8_t root[32];
    ByteSource source = byte_source_from_memory("", 0);
    const MerkleOptions options = { 0 };

    (void)state;
    memset(root, 1, sizeof(root));
    assert_int_equal(merkle_tree_build(&source, &options, root, NULL), 0);
    assert_memory_equal(root, zeros, 32);
}

static void a_tree_that_cannot_be_written_ends_the_work_at_any_place(void **state)
{
    Fixture fixture;
    uint8_t root[32] = { 0 };
    const size_t size = 128 * 128 * BLOCK + 1;

    (void)state;
    fixture_init(&fixture, size);
    ByteSource source = byte_source_from_memory(fixture.data, size);
    for (unsigned n_threads = 1; n_threads <= 3; n_threads++) {
        const MerkleOptions options = { .n_threads = n_threads,
                                        .write = write_to_memory,
                                        .userdata = &fixture };
        const size_t places[] = { 0, BLOCK, fixture.tree_size / 2, fixture.tree_size - 1 };

        for (size_t i = 0; i < ELEMENTS_OF(places); i++) {
            _cleanup_(error_clear) Error error = ERROR_INIT;

            fixture.n_written = 0;
            fixture.fail_at = places[i];
            assert_int_equal(merkle_tree_build(&source, &options, root, &error), -ENOSPC);
            assert_non_null(strstr(error_get_message(&error), "hash tree"));
            assert_int_equal(root[0], 0);
        }
    }
    fixture_deinit(&fixture);
}

static void a_file_that_becomes_shorter_is_told(void **state)
{
    _cleanup_close_ int fd = memfd_create("data", MFD_CLOEXEC);
    ByteSource source;
    uint8_t root[32];

    (void)state;
    assert_int_equal(ftruncate(fd, 8 << 20), 0);
    assert_int_equal(byte_source_from_fd(fd, "data", &source, NULL), 0);
    assert_int_equal(ftruncate(fd, 5 << 20), 0);
    for (unsigned n_threads = 1; n_threads <= 3; n_threads++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        const MerkleOptions options = { .n_threads = n_threads };

        assert_true(merkle_tree_build(&source, &options, root, &error) < 0);
        assert_int_equal(error.kind, ERROR_INVALID_FILE);
        assert_non_null(strstr(error_get_message(&error), "become shorter"));
    }
}

static void a_tree_is_written_to_its_place_in_a_file(void **state)
{
    static const uint8_t before[BLOCK];
    _cleanup_close_ int fd = memfd_create("tree", MFD_CLOEXEC);
    MerkleFile file = { .fd = fd, .offset = BLOCK };
    uint8_t root[32], found[2 * BLOCK];
    Fixture fixture;

    (void)state;
    fixture_init(&fixture, 128 * BLOCK);
    (void)make_tree_simply(fixture.data, fixture.size, NULL, 0, fixture.expected + BLOCK, root);
    ByteSource source = byte_source_from_memory(fixture.data, fixture.size);
    const MerkleOptions options = { .write = merkle_file_write, .userdata = &file };
    assert_int_equal(merkle_tree_build(&source, &options, root, NULL), 0);
    assert_int_equal(pread(fd, found, sizeof(found), 0), sizeof(found));
    assert_memory_equal(found, before, BLOCK);
    assert_memory_equal(found + BLOCK, fixture.expected, BLOCK);

    file.offset = UINT64_MAX - 100;
    assert_int_equal(merkle_tree_build(&source, &options, root, NULL), -EFBIG);
    file.offset = INT64_MAX - 100;
    assert_int_equal(merkle_tree_build(&source, &options, root, NULL), -EFBIG);
    fixture_deinit(&fixture);
}

typedef struct Reports {
    pthread_t thread;
    uint64_t last, total;
    unsigned n;
} Reports;

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
    Reports *reports = userdata;

    assert_true(pthread_equal(pthread_self(), reports->thread));
    assert_true(done >= reports->last && done <= total);
    reports->last = done;
    reports->total = total;
    reports->n++;
}

static void progress_grows_to_the_end_on_the_callers_thread(void **state)
{
    Reports reports = { .thread = pthread_self() };
    const Progress progress = { on_progress, &reports };
    const MerkleOptions options = { .n_threads = 2, .progress = &progress };
    uint8_t root[32];
    Fixture fixture;

    (void)state;
    fixture_init(&fixture, 3000 * BLOCK + 1);
    ByteSource source = byte_source_from_memory(fixture.data, fixture.size);
    assert_int_equal(merkle_tree_build(&source, &options, root, NULL), 0);
    assert_int_equal(reports.last, fixture.size);
    assert_int_equal(reports.total, fixture.size);
    assert_true(reports.n > 1);
    fixture_deinit(&fixture);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_of_all_edge_sizes_are_those_of_the_simple_builder),
        cmocka_unit_test(any_number_of_threads_makes_the_same_tree),
        cmocka_unit_test(the_salt_is_hashed_before_each_block),
        cmocka_unit_test(one_thread_is_the_callers),
        cmocka_unit_test(threads_that_cannot_be_made_are_not_needed),
        cmocka_unit_test(nobody_runs_further_ahead_of_the_slowest_than_there_is_room),
        cmocka_unit_test(the_root_of_nothing_is_zeros),
        cmocka_unit_test(a_tree_that_cannot_be_written_ends_the_work_at_any_place),
        cmocka_unit_test(a_file_that_becomes_shorter_is_told),
        cmocka_unit_test(a_tree_is_written_to_its_place_in_a_file),
        cmocka_unit_test(progress_grows_to_the_end_on_the_callers_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
