/* SPDX-License-Identifier: Apache-2.0 */
/* The data is cut into units that each fill whole blocks of the lowest level. A worker takes the
 * next unit, hashes it and those blocks, and puts the result into a window; whoever completes the
 * unit that all others wait for passes on, in order, what is complete. Above the lowest level there
 * is a block a level in memory, so that nothing is read back and the tree may go anywhere. The work
 * done in order is one hash of 16384. */
#include "composite-disk/merkle-builder.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/fd.h"

#define UNIT_TREE_BLOCKS 2
#define UNIT_BLOCKS      (UNIT_TREE_BLOCKS * MERKLE_HASHES_PER_BLOCK)
#define UNIT_SIZE        (UNIT_BLOCKS * MERKLE_BLOCK_SIZE)

/* Units that may wait for an earlier one, for each worker: one that loses its CPU for a while does
 * not stop the others at once. */
#define WINDOW_PER_WORKER 4

/* What is read at a time: still in the core's own cache when it is hashed, which makes 6 % of the
 * time beside pieces of 1 MiB, and no larger for many cores together. */
#define READ_SIZE 65536

#define CPUS_MAX 16384

DEFINE_CLEANUP(EVP_MD, EVP_MD_free);

typedef struct Unit {
    bool complete;
    uint8_t hashes[UNIT_TREE_BLOCKS * MERKLE_BLOCK_SIZE]; /* blocks of the lowest level */
    uint8_t parents[UNIT_TREE_BLOCKS * MERKLE_HASH_SIZE]; /* their hashes */
} Unit;

/* The block of a level that is being filled. */
typedef struct Level {
    uint64_t offset; /* in the tree */
    size_t fill;
    uint8_t block[MERKLE_BLOCK_SIZE];
} Level;

typedef struct Builder {
    const ByteSource *data;
    const MerkleOptions *options;
    MerkleGeometry geometry;
    EVP_MD *sha256;
    uint64_t n_units;

    pthread_mutex_t lock; /* of all that follows, but for units that are not complete */
    pthread_cond_t passed;
    uint64_t n_taken, n_passed; /* units */
    Unit *window;               /* unit i is at i % n_window */
    size_t n_window;
    Level levels[MERKLE_LEVELS_MAX]; /* the lowest is not used */
    uint8_t root[MERKLE_HASH_SIZE];
    int result;
    uint64_t failed_at; /* where in the data, when it could not be read */
    bool failed_to_read;
} Builder;

typedef struct Worker {
    Builder *builder;
    pthread_t thread;
    EVP_MD_CTX *context;
    uint8_t *buffer;
} Worker;

static int hash_block(const Worker *worker, const void *block, uint8_t *ret_hash)
{
    const MerkleOptions *options = worker->builder->options;
    EVP_MD_CTX *context = worker->context;

    /* Without a digest it begins anew with the one it has: nothing is looked up or allocated. */
    if (EVP_DigestInit_ex2(context, NULL, NULL) != 1 ||
        (options->salt_size > 0 &&
         EVP_DigestUpdate(context, options->salt, options->salt_size) != 1) ||
        EVP_DigestUpdate(context, block, MERKLE_BLOCK_SIZE) != 1 ||
        EVP_DigestFinal_ex(context, ret_hash, NULL) != 1)
        return -EIO;
    return 0;
}

/* --- in order, with the lock held --- */

static int pass_on(const Builder *builder, uint64_t offset, const void *bytes, size_t size)
{
    const MerkleOptions *options = builder->options;

    return options->write ? options->write(options->userdata, offset, bytes, size) : 0;
}

/* Ends the block of @level and gives its hash to the one above. */
static int end_block(const Worker *worker, Level *level, uint8_t *ret_hash)
{
    memset(level->block + level->fill, 0, MERKLE_BLOCK_SIZE - level->fill);
    int r = pass_on(worker->builder, level->offset, level->block, MERKLE_BLOCK_SIZE);
    if (r < 0)
        return r;
    level->offset += MERKLE_BLOCK_SIZE;
    level->fill = 0;
    return hash_block(worker, level->block, ret_hash);
}

/* Adds the hash of a block to the level that has it, and so on upwards. */
static int add_hash(const Worker *worker, unsigned level, const uint8_t *hash)
{
    Builder *builder = worker->builder;
    uint8_t carried[MERKLE_HASH_SIZE];

    memcpy(carried, hash, MERKLE_HASH_SIZE);
    for (; level < builder->geometry.n_levels; level++) {
        Level *here = &builder->levels[level];

        memcpy(here->block + here->fill, carried, MERKLE_HASH_SIZE);
        here->fill += MERKLE_HASH_SIZE;
        if (here->fill < MERKLE_BLOCK_SIZE)
            return 0;
        int r = end_block(worker, here, carried);
        if (r < 0)
            return r;
    }
    memcpy(builder->root, carried, MERKLE_HASH_SIZE);
    return 0;
}

/* Ends the blocks that the end of the data has left begun. */
static int finish_levels(const Worker *worker)
{
    Builder *builder = worker->builder;
    uint8_t hash[MERKLE_HASH_SIZE];

    for (unsigned level = 1; level < builder->geometry.n_levels; level++) {
        if (builder->levels[level].fill == 0)
            continue;
        int r = end_block(worker, &builder->levels[level], hash);
        if (r >= 0)
            r = add_hash(worker, level + 1, hash);
        if (r < 0)
            return r;
    }
    return 0;
}

static size_t count_blocks(const Builder *builder, uint64_t unit)
{
    uint64_t left = builder->geometry.n_data_blocks - unit * UNIT_BLOCKS;

    return left < UNIT_BLOCKS ? (size_t)left : UNIT_BLOCKS;
}

static size_t count_tree_blocks(const Builder *builder, uint64_t unit)
{
    return (count_blocks(builder, unit) + MERKLE_HASHES_PER_BLOCK - 1) / MERKLE_HASHES_PER_BLOCK;
}

static int pass_unit(const Worker *worker, uint64_t index, const Unit *unit)
{
    Builder *builder = worker->builder;
    size_t n = count_tree_blocks(builder, index);

    if (builder->geometry.n_levels == 0) {
        memcpy(builder->root, unit->hashes, MERKLE_HASH_SIZE);
        return 0;
    }
    int r = pass_on(
        builder, builder->geometry.level_offsets[0] + index * UNIT_TREE_BLOCKS * MERKLE_BLOCK_SIZE,
        unit->hashes, n * MERKLE_BLOCK_SIZE);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = add_hash(worker, 1, unit->parents + i * MERKLE_HASH_SIZE);
    return r;
}

static int pass_complete_units(const Worker *worker)
{
    Builder *builder = worker->builder;
    Unit *unit;

    while (builder->n_passed < builder->n_taken &&
           (unit = &builder->window[builder->n_passed % builder->n_window])->complete) {
        int r = pass_unit(worker, builder->n_passed, unit);
        if (r < 0)
            return r;
        unit->complete = false;
        if (++builder->n_passed == builder->n_units) {
            r = finish_levels(worker);
            if (r < 0)
                return r;
        }
        (void)pthread_cond_broadcast(&builder->passed);
    }
    return 0;
}

/* --- at the same time --- */

static int read_failed(Builder *builder, uint64_t offset, int r)
{
    (void)pthread_mutex_lock(&builder->lock);
    if (builder->result == 0) {
        builder->failed_at = offset;
        builder->failed_to_read = true;
    }
    (void)pthread_mutex_unlock(&builder->lock);
    return r;
}

/* Hashes up to READ_SIZE bytes of data. */
static int hash_piece(const Worker *worker, uint64_t offset, size_t size, uint8_t *ret_hashes)
{
    size_t tail = size % MERKLE_BLOCK_SIZE;

    int r = byte_source_read(worker->builder->data, offset, worker->buffer, size);
    if (r < 0)
        return read_failed(worker->builder, offset, r);
    if (tail > 0) {
        memset(worker->buffer + size, 0, MERKLE_BLOCK_SIZE - tail);
        size += MERKLE_BLOCK_SIZE - tail;
    }
    for (size_t i = 0; r >= 0 && i < size / MERKLE_BLOCK_SIZE; i++)
        r = hash_block(worker, worker->buffer + i * MERKLE_BLOCK_SIZE,
                       ret_hashes + i * MERKLE_HASH_SIZE);
    return r;
}

static int hash_unit(const Worker *worker, uint64_t index, Unit *unit)
{
    const Builder *builder = worker->builder;
    uint64_t start = index * UNIT_SIZE, left = builder->geometry.data_size - start;
    size_t size = left < UNIT_SIZE ? (size_t)left : UNIT_SIZE;
    size_t hashes_size = count_blocks(builder, index) * MERKLE_HASH_SIZE;
    size_t n_tree_blocks = count_tree_blocks(builder, index);

    for (size_t done = 0; done < size;) {
        size_t piece = size - done < READ_SIZE ? size - done : READ_SIZE;
        int r = hash_piece(worker, start + done, piece,
                           unit->hashes + done / MERKLE_BLOCK_SIZE * MERKLE_HASH_SIZE);
        if (r < 0)
            return r;
        done += piece;
    }
    memset(unit->hashes + hashes_size, 0, n_tree_blocks * MERKLE_BLOCK_SIZE - hashes_size);
    for (size_t i = 0; i < n_tree_blocks; i++) {
        int r = hash_block(worker, unit->hashes + i * MERKLE_BLOCK_SIZE,
                           unit->parents + i * MERKLE_HASH_SIZE);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Waits until there is room for one more unit. False when there is none left, or no use in it. */
static bool take_unit(Builder *builder, uint64_t *ret_index)
{
    while (builder->result == 0 && builder->n_taken < builder->n_units &&
           builder->n_taken - builder->n_passed >= builder->n_window)
        (void)pthread_cond_wait(&builder->passed, &builder->lock);
    if (builder->result < 0 || builder->n_taken == builder->n_units)
        return false;
    *ret_index = builder->n_taken++;
    return true;
}

static void run_worker(const Worker *worker, const Progress *progress)
{
    Builder *builder = worker->builder;
    uint64_t index;

    (void)pthread_mutex_lock(&builder->lock);
    while (take_unit(builder, &index)) {
        Unit *unit = &builder->window[index % builder->n_window];
        uint64_t n_passed = builder->n_passed;

        (void)pthread_mutex_unlock(&builder->lock);
        progress_report(progress, n_passed * UNIT_SIZE, builder->geometry.data_size);
        int r = hash_unit(worker, index, unit);
        (void)pthread_mutex_lock(&builder->lock);

        if (r >= 0 && builder->result == 0) {
            unit->complete = true;
            r = pass_complete_units(worker);
        }
        if (r < 0 && builder->result == 0) {
            builder->result = r;
            (void)pthread_cond_broadcast(&builder->passed);
        }
    }
    (void)pthread_mutex_unlock(&builder->lock);
}

static void *start_worker(void *userdata)
{
    run_worker(userdata, NULL);
    return NULL;
}

/* --- */

static unsigned count_cpus(void)
{
    static const size_t size = CPUS_MAX / 8;
    cpu_set_t cpus[CPUS_MAX / CPU_SETSIZE];

    return sched_getaffinity(0, size, cpus) < 0 ? 1 : (unsigned)CPU_COUNT_S(size, cpus);
}

static unsigned choose_n_workers(const Builder *builder)
{
    unsigned n = builder->options->n_threads;

    if (n == 0)
        n = count_cpus();
    if (n > MERKLE_THREADS_MAX)
        n = MERKLE_THREADS_MAX;
    return n > builder->n_units ? (unsigned)builder->n_units : n;
}

static int init_worker(Worker *worker, Builder *builder)
{
    worker->builder = builder;
    worker->context = EVP_MD_CTX_new();
    worker->buffer = malloc(READ_SIZE);
    if (!worker->context || !worker->buffer)
        return -ENOMEM;
    return EVP_DigestInit_ex2(worker->context, builder->sha256, NULL) == 1 ? 0 : -EIO;
}

static void deinit_worker(Worker *worker)
{
    EVP_MD_CTX_free(worker->context);
    free(worker->buffer);
}

/* The caller's thread is the first worker. Those that get no thread are not missed. */
static void run_workers(Worker *workers, unsigned n_workers, const Progress *progress)
{
    unsigned n_started = 1;

    while (n_started < n_workers &&
           pthread_create(&workers[n_started].thread, NULL, start_worker, &workers[n_started]) == 0)
        n_started++;
    run_worker(&workers[0], progress);
    for (unsigned i = 1; i < n_started; i++)
        (void)pthread_join(workers[i].thread, NULL);
}

static int build(Builder *builder)
{
    unsigned n_workers = choose_n_workers(builder);
    Worker workers[MERKLE_THREADS_MAX] = { 0 };
    int r = 0;

    assert(n_workers > 0);
    builder->n_window = n_workers * WINDOW_PER_WORKER;
    builder->window = calloc(builder->n_window, sizeof(*builder->window));
    if (!builder->window)
        return -ENOMEM;

    for (unsigned i = 0; r >= 0 && i < n_workers; i++)
        r = init_worker(&workers[i], builder);
    if (r >= 0) {
        run_workers(workers, n_workers, builder->options->progress);
        r = builder->result;
    }
    for (unsigned i = 0; i < n_workers; i++)
        deinit_worker(&workers[i]);
    free(builder->window);
    return r;
}

static int describe_failure(const Builder *builder, int r, Error *error)
{
    if (r == -ENOMEM)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (!builder->failed_to_read)
        return error_set_errno(error, ERROR_FAILED, r, "cannot make the hash tree");
    if (r == -EBADMSG)
        return error_set(error, ERROR_INVALID_FILE,
                         "the file has become shorter while it was read");
    return error_set_errno(error, ERROR_FAILED, r, "cannot read at byte %ju",
                           (uintmax_t)builder->failed_at);
}

int merkle_tree_build(const ByteSource *data,
                      const MerkleOptions *options,
                      uint8_t ret_root[static MERKLE_HASH_SIZE],
                      Error *error)
{
    _cleanup_(EVP_MD_freep) EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    Builder builder = { .data = data, .options = options, .sha256 = sha256 };

    assert(options->salt_size <= MERKLE_SALT_MAX);
    if (!sha256)
        return error_set(error, ERROR_FAILED, "OpenSSL has no SHA-256");
    if (merkle_geometry_init(&builder.geometry, data->size) < 0)
        return error_set(error, ERROR_INVALID_FILE, "%ju bytes are too many for a hash tree",
                         (uintmax_t)data->size);
    builder.n_units = builder.geometry.n_data_blocks / UNIT_BLOCKS +
                      (builder.geometry.n_data_blocks % UNIT_BLOCKS != 0);
    for (unsigned i = 0; i < builder.geometry.n_levels; i++)
        builder.levels[i].offset = builder.geometry.level_offsets[i];

    if (builder.n_units > 0) {
        (void)pthread_mutex_init(&builder.lock, NULL); /* neither can fail in glibc */
        (void)pthread_cond_init(&builder.passed, NULL);
        int r = build(&builder);
        (void)pthread_cond_destroy(&builder.passed);
        (void)pthread_mutex_destroy(&builder.lock);
        if (r < 0)
            return describe_failure(&builder, r, error);
    }
    progress_report(options->progress, data->size, data->size);
    memcpy(ret_root, builder.root, MERKLE_HASH_SIZE);
    return 0;
}

int merkle_file_write(void *file, uint64_t offset, const void *bytes, size_t size)
{
    const MerkleFile *place = file;
    uint64_t start;

    return ckd_add(&start, place->offset, offset) ? -EFBIG
                                                  : fd_pwrite_all(place->fd, bytes, size, start);
}
