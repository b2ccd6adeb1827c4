/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

#define CHUNK ((size_t)1 << 20)

/* The same once more, the simple way: all in memory, one chunk after the other. */
static void compute(const ByteSource *sections, const char *hash, uint8_t *ret_digest)
{
    _cleanup_free_ uint8_t *digests = calloc(64, 64);
    uint8_t *chunk = malloc(CHUNK + 5);
    uint32_t n = 0;
    size_t size = 0;

    assert_non_null(digests);
    assert_non_null(chunk);
    for (size_t i = 0; i < 3; i++) {
        for (size_t at = 0; at < sections[i].size; at += CHUNK) {
            size_t left = (size_t)sections[i].size - at;
            uint32_t length = (uint32_t)(left < CHUNK ? left : CHUNK);

            chunk[0] = 0xa5;
            memcpy(chunk + 1, &length, 4); /* the tests run on little-endian machines */
            memcpy(chunk + 5, sections[i].memory + at, length);
            assert_int_equal(
                EVP_Q_digest(NULL, hash, NULL, chunk, length + 5, digests + n * 64, &size), 1);
            n++;
        }
    }
    chunk[0] = 0x5a;
    memcpy(chunk + 1, &n, 4);
    for (uint32_t i = 0; i < n; i++)
        memcpy(chunk + 5 + i * size, digests + i * 64, size);
    assert_int_equal(EVP_Q_digest(NULL, hash, NULL, chunk, n * size + 5, ret_digest, &size), 1);
    free(chunk);
}

static void digests_are_those_of_the_scheme_with_any_number_of_threads(void **state)
{
    static const size_t sizes[][3] = {
        { 1, 1, 1 },
        { CHUNK, 1, 22 },
        { CHUNK - 1, CHUNK, CHUNK + 1 },
        { 0, 46, 22 },
        { 5 * CHUNK + 7, 2 * CHUNK, 65557 },
    };
    static const unsigned threads[] = { 1, 2, 7, 0, 1000 };
    _cleanup_free_ uint8_t *bytes = malloc(6 * CHUNK);

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < 6 * CHUNK; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 24);
    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        ByteSource sections[3];
        for (size_t j = 0; j < 3; j++)
            sections[j] = byte_source_from_memory(bytes + j, sizes[i][j]);
        const ApkContent content = { sections[0], sections[1], sections[2] };
        uint8_t sha256[64], sha512[64];

        compute(sections, "SHA256", sha256);
        compute(sections, "SHA512", sha512);
        for (size_t j = 0; j < ELEMENTS_OF(threads); j++) {
            ApkDigest digest;

            assert_int_equal(apk_digest_compute(&content, CONTENT_DIGEST_CHUNKED_SHA256, threads[j],
                                                NULL, &digest, NULL),
                             0);
            assert_int_equal(digest.size, 32);
            assert_memory_equal(digest.bytes, sha256, 32);
            assert_int_equal(apk_digest_compute(&content, CONTENT_DIGEST_CHUNKED_SHA512, threads[j],
                                                NULL, &digest, NULL),
                             0);
            assert_int_equal(digest.size, 64);
            assert_memory_equal(digest.bytes, sha512, 64);
        }
    }
}

static void assert_refused(const ApkContent *content,
                           ContentDigest kind,
                           ErrorKind expected,
                           const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ApkDigest digest = { .size = 77 };

    assert_true(apk_digest_compute(content, kind, 2, NULL, &digest, &error) < 0);
    assert_int_equal(error.kind, expected);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' without '%s'", error_get_message(&error), words);
    assert_int_equal(digest.size, 77);
}

static void hash_salted(const uint8_t *block, uint8_t *ret_hash)
{
    uint8_t salted[8 + 4096] = { 0 };
    size_t size;

    memcpy(salted + 8, block, 4096);
    assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, salted, sizeof(salted), ret_hash, &size),
                     1);
}

static void the_verity_digest_is_root_and_size(void **state)
{
    uint8_t bytes[4 * 4096] = { 0 }, level[4096] = { 0 }, expected[40] = { 0 };
    const ApkContent content = {
        .entries = byte_source_from_memory(bytes, 2 * 4096),
        .directory = byte_source_from_memory(bytes + 2 * 4096, 4090),
        .end = byte_source_from_memory(bytes + 2 * 4096 + 4090, 22),
    };
    const size_t size = 3 * 4096 + 16;
    ApkDigest digest;

    (void)state;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 24);
    for (size_t i = 0; i < 4; i++)
        hash_salted(bytes + i * 4096, level + i * 32);
    hash_salted(level, expected);
    expected[32] = (uint8_t)size;
    expected[33] = (uint8_t)(size >> 8);
    assert_int_equal(
        apk_digest_compute(&content, CONTENT_DIGEST_VERITY_SHA256, 2, NULL, &digest, NULL), 0);
    assert_int_equal(digest.size, 40);
    assert_memory_equal(digest.bytes, expected, 40);
}

static void a_verity_digest_needs_an_aligned_signing_block(void **state)
{
    static const uint8_t bytes[4097];
    static const size_t sizes[] = { 0, 1, 4095, 4097 };

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(sizes); i++) {
        const ApkContent content = { .entries = byte_source_from_memory(bytes, sizes[i]),
                                     .directory = byte_source_from_memory(bytes, 100),
                                     .end = byte_source_from_memory(bytes, 22) };

        assert_refused(&content, CONTENT_DIGEST_VERITY_SHA256, ERROR_IMAGE_INVALID,
                       "not a multiple of 4096");
    }
}

static void sizes_that_no_zip_has_are_refused_before_they_are_read(void **state)
{
    ApkContent content = { .entries = { .fd = -EBADF, .memory = (const uint8_t *)"" } };

    (void)state;
    content.entries.size = (uint64_t)APK_CHUNKS_MAX * CHUNK + 1;
    assert_refused(&content, CONTENT_DIGEST_CHUNKED_SHA256, ERROR_IMAGE_INVALID, "too large");
    content.entries.size = INT64_MAX;
    assert_refused(&content, CONTENT_DIGEST_CHUNKED_SHA256, ERROR_IMAGE_INVALID, "too large");
    content.entries.size = UINT64_MAX;
    assert_refused(&content, CONTENT_DIGEST_CHUNKED_SHA256, ERROR_IMAGE_INVALID, "too large");
    content.entries.size = 0;
    content.directory.size = (uint64_t)APK_CHUNKS_MAX * CHUNK + 1;
    assert_refused(&content, CONTENT_DIGEST_CHUNKED_SHA256, ERROR_IMAGE_INVALID, "too large");
}

static void a_file_that_became_shorter_is_told(void **state)
{
    _cleanup_close_ int fd = memfd_create("short", MFD_CLOEXEC);
    const ApkContent content = {
        .entries = { .fd = fd, .size = 9 * CHUNK },
        .directory = byte_source_from_memory("", 0),
        .end = byte_source_from_memory("", 0),
    };

    (void)state;
    assert_int_equal(ftruncate(fd, 8 * CHUNK), 0);
    assert_refused(&content, CONTENT_DIGEST_CHUNKED_SHA256, ERROR_FAILED, "cannot read");
}

typedef struct Reported {
    pthread_t thread;
    uint64_t done, total;
    unsigned n;
} Reported;

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
    Reported *reported = userdata;

    assert_true(pthread_equal(reported->thread, pthread_self()));
    assert_true(done >= reported->done && done <= total);
    reported->done = done;
    reported->total = total;
    reported->n++;
}

static void progress_is_told_on_the_callers_thread_up_to_the_end(void **state)
{
    _cleanup_close_ int fd = memfd_create("zeros", MFD_CLOEXEC);
    Reported reported = { .thread = pthread_self() };
    const Progress progress = { on_progress, &reported };
    const ApkContent content = {
        .entries = { .fd = fd, .size = 9 * CHUNK },
        .directory = byte_source_from_memory("ab", 2),
        .end = byte_source_from_memory("c", 1),
    };
    ApkDigest digest;

    (void)state;
    assert_int_equal(ftruncate(fd, 9 * CHUNK), 0);
    assert_int_equal(
        apk_digest_compute(&content, CONTENT_DIGEST_CHUNKED_SHA256, 3, &progress, &digest, NULL),
        0);
    assert_true(reported.done == 9 * CHUNK + 3 && reported.total == reported.done);
    /* Whoever did the last chunk, the end is told. */
    const ApkContent nothing = { .entries = { .fd = -EBADF } };
    reported = (Reported){ .thread = pthread_self() };
    assert_int_equal(
        apk_digest_compute(&nothing, CONTENT_DIGEST_CHUNKED_SHA256, 3, &progress, &digest, NULL),
        0);
    assert_int_equal(reported.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_scheme_with_any_number_of_threads),
        cmocka_unit_test(the_verity_digest_is_root_and_size),
        cmocka_unit_test(a_verity_digest_needs_an_aligned_signing_block),
        cmocka_unit_test(sizes_that_no_zip_has_are_refused_before_they_are_read),
        cmocka_unit_test(a_file_that_became_shorter_is_told),
        cmocka_unit_test(progress_is_told_on_the_callers_thread_up_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
