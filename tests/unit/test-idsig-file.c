/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/idsig-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

#define APK_SIZE  (300U * 4096 + 1)
#define TREE_SIZE (4U * 4096)
#define TREE_MAX  (1 << 20)

/* A disk that has room for so many bytes, and then calls that fail. */
typedef struct Disk {
    uint64_t room;
    bool no_reservation; /* as on file systems without fallocate() */
    unsigned n_calls, fail_at_call;
} Disk;

static Disk disk;

static int fails(int error_number)
{
    errno = error_number;
    return -1;
}

static bool is_call_to_fail(void)
{
    return ++disk.n_calls == disk.fail_at_call;
}

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (is_call_to_fail())
        return fails(EIO);
    if (disk.room == 0 && size > 0)
        return fails(ENOSPC);
    if (size > disk.room)
        size = disk.room;
    ssize_t n = __real_pwrite(fd, bytes, size, offset);
    if (n > 0)
        disk.room -= (uint64_t)n;
    return n;
}

int __wrap_ftruncate(int fd, off_t size)
{
    return is_call_to_fail() ? fails(EIO) : __real_ftruncate(fd, size);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (disk.no_reservation)
        return fails(EOPNOTSUPP);
    if (is_call_to_fail())
        return fails(EIO);
    return (uint64_t)(offset + size) > disk.room ? fails(ENOSPC)
                                                 : __real_fallocate(fd, mode, offset, size);
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return is_call_to_fail() ? fails(EIO) : 0;
}

/* --- */

typedef struct Fixture {
    uint8_t data[APK_SIZE];
    int apk_fd, idsig_fd;
    IdsigApk apk;
} Fixture;

static const uint8_t digest[32] = "the digest of the APK's contents";
static const IdsigOptions one_thread = { .n_threads = 1 };

static int new_file(const void *bytes, size_t size)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, size), 0);
    return fd;
}

static int setup(void **state)
{
    static Fixture fixture;

    disk = (Disk){ .room = UINT64_MAX };
    for (size_t i = 0; i < APK_SIZE; i++)
        fixture.data[i] = (uint8_t)(i * 2654435761U >> 11);
    fixture.apk_fd = new_file(fixture.data, APK_SIZE);
    fixture.idsig_fd = new_file("", 0);
    assert_int_equal(byte_source_from_fd(fixture.apk_fd, "apk", &fixture.apk.source, NULL), 0);
    fixture.apk.digest = byte_reader(digest, sizeof(digest));
    fixture.apk.algorithm = 0x201;
    fixture.apk.certificate = byte_reader(NULL, 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    (void)fd_close(fixture->apk_fd);
    (void)fd_close(fixture->idsig_fd);
    return 0;
}

static void set_content(Fixture *fixture, const void *bytes, size_t size)
{
    assert_int_equal(__real_ftruncate(fixture->idsig_fd, 0), 0);
    if (size > 0)
        assert_int_equal(__real_pwrite(fixture->idsig_fd, bytes, size, 0), size);
}

static size_t get_content(const Fixture *fixture, uint8_t bytes[static TREE_MAX])
{
    ssize_t size = pread(fixture->idsig_fd, bytes, TREE_MAX, 0);

    assert_true(size >= 0 && size < TREE_MAX);
    return (size_t)size;
}

static bool update(const Fixture *fixture)
{
    bool written;

    assert_int_equal(
        idsig_file_update(&fixture->apk, &one_thread, fixture->idsig_fd, &written, NULL), 0);
    return written;
}

static int verify(const Fixture *fixture, Error *error)
{
    ByteSource source;
    IdsigFacts facts;

    assert_int_equal(byte_source_from_fd(fixture->idsig_fd, "idsig", &source, NULL), 0);
    return idsig_file_verify(&fixture->apk, &one_thread, &source, &facts, error);
}

static void assert_refused(const Fixture *fixture, const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_true(verify(fixture, &error) < 0);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
}

static void what_is_made_is_verified_and_current(void **state)
{
    Fixture *fixture = *state;
    static uint8_t bytes[TREE_MAX];

    assert_true(update(fixture));
    assert_int_equal(verify(fixture, NULL), 0);
    /* Version, hashing info of 45 bytes, signing info of 24 and the digest, tree size. */
    assert_int_equal(get_content(fixture, bytes), 4 + 4 + 45 + 4 + 24 + 32 + 4 + TREE_SIZE);
    assert_false(update(fixture));
}

static void what_is_current_is_not_touched(void **state)
{
    Fixture *fixture = *state;
    static uint8_t bytes[TREE_MAX];

    assert_true(update(fixture));
    size_t size = get_content(fixture, bytes);
    bytes[size - 1] ^= 1; /* AVF does not look at the tree itself, and neither is it done here */
    set_content(fixture, bytes, size);
    disk.n_calls = 0;
    assert_false(update(fixture));
    assert_int_equal(disk.n_calls, 0);
    assert_refused(fixture, "block 3 of the idsig's tree");
}

static void anything_else_is_overwritten(void **state)
{
    Fixture *fixture = *state;
    static uint8_t good[TREE_MAX], bytes[TREE_MAX], found[TREE_MAX];

    assert_true(update(fixture));
    size_t size = get_content(fixture, good);
    for (unsigned i = 0; i < 7; i++) {
        size_t changed = size;

        memcpy(bytes, good, size);
        memset(bytes + size, 0, 4096);
        if (i == 0)
            bytes[0] = 3; /* another version */
        else if (i == 1)
            bytes[4 + 4 + 45 + 4 + 4] ^= 1; /* another APK's digest */
        else if (i == 2)
            changed--; /* cut */
        else if (i == 3)
            changed++; /* with a byte behind it */
        else if (i == 4)
            changed = 0;
        else if (i == 5)
            memset(bytes, 'x', changed = TREE_MAX - 1); /* larger, and no idsig */
        else
            bytes[size - TREE_SIZE - 3] -= 0x10, changed -= 4096; /* a tree of another size */
        set_content(fixture, bytes, changed);
        assert_true(update(fixture));
        assert_int_equal(get_content(fixture, found), size);
        assert_memory_equal(found, good, size);
    }
}

static void an_apk_of_up_to_a_block_has_no_tree(void **state)
{
    Fixture *fixture = *state;
    static uint8_t bytes[TREE_MAX];

    fixture->apk.source.size = 4096;
    assert_int_equal(__real_ftruncate(fixture->apk_fd, 4096), 0);
    assert_true(update(fixture));
    assert_int_equal(get_content(fixture, bytes), 4 + 4 + 45 + 4 + 24 + 32 + 4);
    assert_int_equal(verify(fixture, NULL), 0);
    bytes[0x15] ^= 1;
    set_content(fixture, bytes, 117);
    assert_refused(fixture, "root hash");
}

static void refuses_files(const IdsigApk *apk,
                          int idsig_fd,
                          const uint8_t *before,
                          const char *words)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    bool written = true;
    uint8_t found[4];

    disk.n_calls = 0;
    assert_true(idsig_file_update(apk, &one_thread, idsig_fd, &written, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' says nothing of '%s'", error_get_message(&error), words);
    assert_true(written);
    assert_int_equal(disk.n_calls, 0);
    if (before) {
        assert_int_equal(pread(idsig_fd, found, 4, 0), 4);
        assert_memory_equal(found, before, 4);
    }
}

static void files_of_the_wrong_kind_are_refused_untouched(void **state)
{
    Fixture *fixture = *state;
    IdsigApk apk = fixture->apk;
    _cleanup_close_ int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int device = open("/dev/null", O_RDWR | O_CLOEXEC);
    _cleanup_close_ int read_only = -EBADF, write_only = -EBADF, appending = -EBADF;
    int ends[2];

    set_content(fixture, "junk", 4);
    const uint8_t *junk = (const uint8_t *)"junk";
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fd_reopen(fixture->idsig_fd, O_RDONLY, &read_only), 0);
    assert_int_equal(fd_reopen(fixture->idsig_fd, O_WRONLY, &write_only), 0);
    assert_int_equal(fd_reopen(fixture->idsig_fd, O_RDWR | O_APPEND, &appending), 0);

    refuses_files(&apk, directory, NULL, "idsig is not a regular file");
    refuses_files(&apk, device, NULL, "idsig is not a regular file");
    refuses_files(&apk, ends[1], NULL, "idsig is not a regular file");
    refuses_files(&apk, read_only, junk, "open for reading and writing");
    refuses_files(&apk, write_only, NULL, "open for reading and writing");
    refuses_files(&apk, appending, junk, "open for appending");
    refuses_files(&apk, fixture->apk_fd, NULL, "the same file");
    refuses_files(&apk, -EBADF, NULL, "cannot look at");
    const int no_apks[] = { directory, device, ends[0] };
    for (size_t i = 0; i < ELEMENTS_OF(no_apks); i++) {
        apk.source.fd = no_apks[i];
        refuses_files(&apk, fixture->idsig_fd, junk, "APK is not a regular file");
    }
    apk = fixture->apk;
    apk.source.size = 0;
    refuses_files(&apk, fixture->idsig_fd, junk, "empty");
    fd_close_many(ends, 2);
}

/* What may be in the file after an update that failed: what was there, or nothing, or, when even
 * that could not be had, something without a version. */
static void assert_nothing_half_written(const Fixture *fixture,
                                        const void *before,
                                        size_t before_size,
                                        bool may_be_left)
{
    static uint8_t found[TREE_MAX];
    size_t size = get_content(fixture, found);
    bool is_untouched = size == before_size && memcmp(found, before, size) == 0;
    bool is_invalid = size >= 4 && memcmp(found, "\0\0\0\0", 4) == 0;

    assert_true(size == 0 || is_untouched || (may_be_left && is_invalid));
}

static void a_disk_that_is_full_at_any_byte_leaves_nothing_half_written(void **state)
{
    Fixture *fixture = *state;
    const size_t size = 4 + 4 + 45 + 4 + 24 + 32 + 4 + 4096;
    uint64_t needed = 4 + size; /* the version is written twice */

    fixture->apk.source.size = 4097;
    for (unsigned without = 0; without < 2; without++) {
        for (uint64_t room = 0; room <= needed; room++) {
            _cleanup_(error_clear) Error error = ERROR_INIT;
            bool written;

            set_content(fixture, "junk", 4);
            disk = (Disk){ .room = room, .no_reservation = without != 0 };
            int r =
                idsig_file_update(&fixture->apk, &one_thread, fixture->idsig_fd, &written, &error);
            assert_int_equal(r, room == needed ? 0 : -ENOSPC);
            if (r < 0) {
                static uint8_t found[TREE_MAX];

                assert_nothing_half_written(fixture, "junk", 4, false);
                /* Room that is known to be missing leaves what was there. */
                if (!without && room < size)
                    assert_int_equal(get_content(fixture, found), 4);
                assert_non_null(strstr(error_get_message(&error), "No space left"));
            }
        }
    }
}

static void a_call_that_fails_leaves_nothing_half_written(void **state)
{
    Fixture *fixture = *state;
    unsigned n_failed = 0;

    for (unsigned call = 1;; call++) {
        bool written;

        set_content(fixture, "junk", 4);
        disk = (Disk){ .room = UINT64_MAX, .fail_at_call = call };
        if (idsig_file_update(&fixture->apk, &one_thread, fixture->idsig_fd, &written, NULL) >= 0)
            break;
        n_failed++;
        assert_nothing_half_written(fixture, "junk", 4, false);
    }
    assert_true(n_failed >= 10);
    assert_int_equal(verify(fixture, NULL), 0);
}

static void an_apk_that_becomes_shorter_leaves_an_empty_file(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    static uint8_t found[TREE_MAX];
    bool written;

    set_content(fixture, "junk", 4);
    assert_int_equal(__real_ftruncate(fixture->apk_fd, 4096), 0);
    assert_true(idsig_file_update(&fixture->apk, &one_thread, fixture->idsig_fd, &written, &error) <
                0);
    assert_non_null(strstr(error_get_message(&error), "become shorter"));
    assert_int_equal(get_content(fixture, found), 0);
}

/* --- signed --- */

static SigningKey *new_key(const char *type, const char *detail)
{
    SigningKey *key = calloc(1, sizeof(*key));

    assert_non_null(key);
    key->key = strcmp(type, "EC") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, type, detail)
                                       : EVP_PKEY_Q_keygen(NULL, NULL, type, (size_t)2048);
    assert_non_null(key->key);
    assert_int_equal(signing_key_add_certificate(key, "test", NULL), 0);
    return key;
}

static void sign(Fixture *fixture, const SigningKey *key)
{
    IdsigOptions options = { .key = key, .n_threads = 1 };

    assert_int_equal(idsig_file_write(&fixture->apk, &options, fixture->idsig_fd, NULL), 0);
}

static void take_signer(Fixture *fixture, const SigningKey *key, uint8_t **ret_certificate)
{
    _cleanup_free_ uint8_t *public_key = NULL;
    size_t size, public_key_size;

    assert_int_equal(signing_key_encode(key, ret_certificate, &size, &public_key, &public_key_size),
                     0);
    fixture->apk.certificate = byte_reader(*ret_certificate, size);
}

static void signatures_of_any_size_are_verified(void **state)
{
    static const char *const curves[] = { "P-256", "P-384", "P-521", NULL };
    Fixture *fixture = *state;

    for (size_t i = 0; i < ELEMENTS_OF(curves); i++) {
        _cleanup_(signing_key_freep) SigningKey *key = new_key(curves[i] ? "EC" : "RSA", curves[i]);
        _cleanup_free_ uint8_t *certificate = NULL;

        take_signer(fixture, key, &certificate);
        for (unsigned round = 0; round < 8; round++) { /* DER of different sizes, most likely */
            sign(fixture, key);
            assert_int_equal(verify(fixture, NULL), 0);
            assert_false(update(fixture));
        }
    }
}

/* Where the strings of a signed idsig begin, behind their lengths. */
static size_t find_string(const uint8_t *bytes, unsigned index)
{
    size_t at = 4 + 4 + 45 + 4;

    for (unsigned i = 0; i < index; i++) {
        at += 4 + (size_t)(bytes[at] | bytes[at + 1] << 8);
        if (i == 3)
            at += 4; /* the algorithm */
    }
    return at + 4;
}

static void each_field_of_a_signed_idsig_is_checked(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(signing_key_freep) SigningKey *key = new_key("EC", "P-256");
    _cleanup_free_ uint8_t *certificate = NULL;
    static uint8_t good[TREE_MAX], bytes[TREE_MAX];

    take_signer(fixture, key, &certificate);
    sign(fixture, key);
    size_t size = get_content(fixture, good);
    const struct {
        size_t offset;
        const char *words;
    } cases[] = {
        { 0, "version" },
        { 8, "hash algorithm" },
        { 12, "blocks of" },
        { 0x15, "signature is not one of this data" }, /* the root */
        { find_string(good, 0), "another APK" },
        { find_string(good, 1), "not one certificate" },
        { find_string(good, 2) - 5, "signature is not one of this data" },
        { find_string(good, 3) + 40, "public key" },
        { find_string(good, 4) - 8, "signature" }, /* the algorithm: 0x200 */
        { find_string(good, 4) + 20, "signature" },
        { size - TREE_SIZE - 3, "within its tree" }, /* the tree's size */
        { size - TREE_SIZE, "block 0 of the idsig's tree" },
        { size - 1, "block 3 of the idsig's tree" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        memcpy(bytes, good, size);
        bytes[cases[i].offset] ^= 1;
        set_content(fixture, bytes, size);
        assert_refused(fixture, cases[i].words);
    }
    fixture->data[0] ^= 1;
    set_content(fixture, good, size);
    assert_int_equal(__real_pwrite(fixture->apk_fd, fixture->data, 1, 0), 1);
    assert_refused(fixture, "tree");
}

static void another_signer_is_refused(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(signing_key_freep) SigningKey *key = new_key("EC", "P-256");
    _cleanup_(signing_key_freep) SigningKey *other = new_key("EC", "P-256");
    _cleanup_free_ uint8_t *certificate = NULL;

    take_signer(fixture, other, &certificate);
    sign(fixture, key);
    assert_refused(fixture, "another than the APK's signer");
}

static void a_signature_is_of_an_apk_of_this_size(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(signing_key_freep) SigningKey *key = new_key("EC", "P-256");
    _cleanup_free_ uint8_t *certificate = NULL;

    /* One byte more, with the same blocks: a zero where the padding was. */
    take_signer(fixture, key, &certificate);
    sign(fixture, key);
    fixture->apk.source.size++;
    assert_int_equal(__real_ftruncate(fixture->apk_fd, APK_SIZE + 1), 0);
    assert_refused(fixture, "signature is not one of this data");
}

static void another_algorithm_without_a_signature_is_refused(void **state)
{
    Fixture *fixture = *state;

    assert_true(update(fixture));
    fixture->apk.algorithm = 0x103;
    assert_refused(fixture, "signature algorithm 0x201, the APK 0x103");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(what_is_made_is_verified_and_current),
        CASE(what_is_current_is_not_touched),
        CASE(anything_else_is_overwritten),
        CASE(an_apk_of_up_to_a_block_has_no_tree),
        CASE(files_of_the_wrong_kind_are_refused_untouched),
        CASE(a_disk_that_is_full_at_any_byte_leaves_nothing_half_written),
        CASE(a_call_that_fails_leaves_nothing_half_written),
        CASE(an_apk_that_becomes_shorter_leaves_an_empty_file),
        CASE(signatures_of_any_size_are_verified),
        CASE(each_field_of_a_signed_idsig_is_checked),
        CASE(another_signer_is_refused),
        CASE(a_signature_is_of_an_apk_of_this_size),
        CASE(another_algorithm_without_a_signature_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
