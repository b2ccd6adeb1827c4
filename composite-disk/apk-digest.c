/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks: workers take the next one until there is none; each chunk's digest has its place in one
 * array, which is hashed at the end. The caller's thread is the first worker and the one that
 * reports. */
#include "composite-disk/apk-digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "composite-disk/merkle-builder.h"

#define CHUNK_MARK  0xa5
#define TOP_MARK    0x5a
#define PREFIX_SIZE 5 /* mark, then a number of 32 bits */
#define READ_SIZE   (64U << 10)
#define THREADS_MAX 64
#define SECTIONS    3

#define VERITY_SALT_SIZE 8

DEFINE_CLEANUP(EVP_MD, EVP_MD_free);
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free);

typedef struct Job {
    ByteSource sections[SECTIONS];
    uint32_t n_chunks[SECTIONS], n_all_chunks;
    uint64_t size;
    EVP_MD *hash;
    size_t digest_size;
    uint8_t *digests; /* of the chunks, in their order */
    const Progress *progress;
    atomic_uint next;          /* chunk */
    atomic_uint_fast64_t done; /* bytes */
    atomic_int result;
} Job;

static void make_prefix(uint8_t mark, uint32_t number, uint8_t prefix[static PREFIX_SIZE])
{
    ByteWriter writer = byte_writer(prefix, PREFIX_SIZE);

    byte_writer_put_u8(&writer, mark);
    byte_writer_put_le32(&writer, number);
}

static int hash_chunk(const Job *job,
                      EVP_MD_CTX *context,
                      uint8_t *buffer,
                      const ByteSource *chunk,
                      uint8_t *ret_digest)
{
    uint8_t prefix[PREFIX_SIZE];

    make_prefix(CHUNK_MARK, (uint32_t)chunk->size, prefix);
    if (EVP_DigestInit_ex2(context, job->hash, NULL) != 1 ||
        EVP_DigestUpdate(context, prefix, sizeof(prefix)) != 1)
        return -EIO;
    for (uint64_t done = 0; done < chunk->size;) {
        size_t size = chunk->size - done < READ_SIZE ? (size_t)(chunk->size - done) : READ_SIZE;
        int r = byte_source_read(chunk, done, buffer, size);
        if (r < 0)
            return r;
        if (EVP_DigestUpdate(context, buffer, size) != 1)
            return -EIO;
        done += size;
    }
    return EVP_DigestFinal_ex(context, ret_digest, NULL) == 1 ? 0 : -EIO;
}

static int find_chunk(const Job *job, uint32_t index, ByteSource *ret_chunk)
{
    size_t section = 0;

    for (uint32_t first = index; section < SECTIONS; section++) {
        if (first < job->n_chunks[section]) {
            uint64_t start = (uint64_t)first * APK_CHUNK_SIZE;
            uint64_t left = job->sections[section].size - start;
            return byte_source_slice(&job->sections[section], start,
                                     left < APK_CHUNK_SIZE ? left : APK_CHUNK_SIZE, ret_chunk);
        }
        first -= job->n_chunks[section];
    }
    return -EBADMSG;
}

/* @reports: whether this is the thread that progress is told on. */
static int run_worker(Job *job, bool reports)
{
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
    _cleanup_free_ uint8_t *buffer = malloc(READ_SIZE);
    ByteSource chunk;
    uint32_t index;

    if (!context || !buffer)
        return -ENOMEM;
    while (atomic_load(&job->result) == 0 &&
           (index = atomic_fetch_add(&job->next, 1)) < job->n_all_chunks) {
        int r = find_chunk(job, index, &chunk);
        if (r >= 0)
            r = hash_chunk(job, context, buffer, &chunk, job->digests + index * job->digest_size);
        if (r < 0)
            return r;
        uint64_t done = atomic_fetch_add(&job->done, chunk.size) + chunk.size;
        if (reports)
            progress_report(job->progress, done, job->size);
    }
    return 0;
}

static void keep_failure(Job *job, int r)
{
    int none = 0;

    if (r < 0)
        (void)atomic_compare_exchange_strong(&job->result, &none, r); /* the first one stays */
}

static void *start_worker(void *userdata)
{
    keep_failure(userdata, run_worker(userdata, false));
    return NULL;
}

static unsigned count_cpus(void)
{
    cpu_set_t cpus;

    return sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : (unsigned)CPU_COUNT(&cpus);
}

/* Those that get no thread are not missed: the others do their work. */
static int run_workers(Job *job, unsigned n_threads)
{
    pthread_t threads[THREADS_MAX];
    unsigned wanted = n_threads > 0 ? n_threads : count_cpus(), n = 0;

    if (wanted > THREADS_MAX)
        wanted = THREADS_MAX;
    if (wanted > job->n_all_chunks)
        wanted = job->n_all_chunks;
    while (n + 1 < wanted && pthread_create(&threads[n], NULL, start_worker, job) == 0)
        n++;
    keep_failure(job, run_worker(job, true));
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL); /* a thread of ours that nobody else joins */
    return atomic_load(&job->result);
}

static int hash_top(const Job *job, ApkDigest *ret_digest)
{
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t prefix[PREFIX_SIZE];

    if (!context)
        return -ENOMEM;
    make_prefix(TOP_MARK, job->n_all_chunks, prefix);
    ret_digest->size = job->digest_size;
    return EVP_DigestInit_ex2(context, job->hash, NULL) == 1 &&
                   EVP_DigestUpdate(context, prefix, sizeof(prefix)) == 1 &&
                   EVP_DigestUpdate(context, job->digests, job->n_all_chunks * job->digest_size) ==
                       1 &&
                   EVP_DigestFinal_ex(context, ret_digest->bytes, NULL) == 1
               ? 0
               : -EIO;
}

static int count_chunks(Job *job, Error *error)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        uint64_t size = job->sections[i].size;
        uint64_t n = size / APK_CHUNK_SIZE + (size % APK_CHUNK_SIZE != 0);

        if (n > APK_CHUNKS_MAX - job->n_all_chunks)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "an APK with a part of %ju bytes is too large for a digest",
                             (uintmax_t)size);
        job->n_chunks[i] = (uint32_t)n;
        job->n_all_chunks += (uint32_t)n;
        job->size += size;
    }
    return 0;
}

/* The root of a tree with a salt of 8 zeros, and the number of bytes under it. */
static int compute_verity(const ApkContent *content,
                          unsigned n_threads,
                          const Progress *progress,
                          ApkDigest *ret_digest,
                          Error *error)
{
    static const uint8_t salt[VERITY_SALT_SIZE];
    const ByteSource sections[SECTIONS] = { content->entries, content->directory, content->end };
    const MerkleOptions options = {
        .salt = salt,
        .salt_size = sizeof(salt),
        .n_threads = n_threads,
        .progress = progress,
    };
    ByteSource all;
    ApkDigest digest;

    /* A file of one block has no tree here, but one in Android; no signed zip is that small. */
    if (content->entries.size == 0 || content->entries.size % MERKLE_BLOCK_SIZE != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "a signature over a verity digest with a signing block at %ju, which is "
                         "not a multiple of %d",
                         (uintmax_t)content->entries.size, MERKLE_BLOCK_SIZE);
    int r = byte_source_join(sections, SECTIONS, &all);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "the APK is too large for a digest");
    r = merkle_tree_build(&all, &options, digest.bytes, error);
    if (r < 0)
        return r;
    ByteWriter writer = byte_writer(digest.bytes + MERKLE_HASH_SIZE, sizeof(uint64_t));
    byte_writer_put_le64(&writer, all.size);
    digest.size = MERKLE_HASH_SIZE + writer.size;
    *ret_digest = digest;
    return 0;
}

static int compute_chunked(const ApkContent *content,
                           ContentDigest kind,
                           unsigned n_threads,
                           const Progress *progress,
                           ApkDigest *ret_digest,
                           Error *error)
{
    _cleanup_(EVP_MD_freep) EVP_MD *hash =
        EVP_MD_fetch(NULL, kind == CONTENT_DIGEST_CHUNKED_SHA512 ? "SHA512" : "SHA256", NULL);
    if (!hash)
        return error_set(error, ERROR_FAILED, "OpenSSL has no SHA-256 or SHA-512");
    Job job = {
        .sections = { content->entries, content->directory, content->end },
        .hash = hash,
        .digest_size = (size_t)EVP_MD_get_size(hash),
        .progress = progress,
    };
    int r = count_chunks(&job, error);
    if (r < 0)
        return r;
    _cleanup_free_ uint8_t *digests = malloc(job.n_all_chunks * job.digest_size + 1);
    ApkDigest digest;
    job.digests = digests;
    r = digests ? run_workers(&job, n_threads) : -ENOMEM;
    if (r >= 0)
        r = hash_top(&job, &digest);
    if (r == -ENOMEM)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read and hash the APK");
    progress_report(progress, job.size, job.size);
    *ret_digest = digest;
    return 0;
}

int apk_digest_compute(const ApkContent *content,
                       ContentDigest kind,
                       unsigned n_threads,
                       const Progress *progress,
                       ApkDigest *ret_digest,
                       Error *error)
{
    if (kind == CONTENT_DIGEST_VERITY_SHA256)
        return compute_verity(content, n_threads, progress, ret_digest, error);
    return compute_chunked(content, kind, n_threads, progress, ret_digest, error);
}
