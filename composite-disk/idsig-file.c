/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is written in place cannot appear whole at once. So all room is reserved first; then
 * the version is made 0, which no reader takes, until everything else is on the disk. */
#include "composite-disk/idsig-file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ckd.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "composite-disk/idsig-signature.h"
#include "composite-disk/merkle-builder.h"

#define COPY_SIZE 65536

static int write_failed(int r, Error *error)
{
    return error_set_errno(error, ERROR_FAILED, r, "cannot write the idsig");
}

static int check_apk(const IdsigApk *apk, Error *error)
{
    assert(apk->digest.size > 0 && apk->digest.size <= IDSIG_APK_DIGEST_MAX);
    if (apk->source.size == 0)
        return error_set(error, ERROR_INVALID_FILE, "the APK is empty");
    return 0;
}

/* --- writing --- */

typedef struct Writing {
    const IdsigApk *apk;
    const IdsigOptions *options;
    int fd;
    Idsig idsig;
    IdsigSignature signature;
    uint8_t header[IDSIG_HEADER_MAX];
    size_t header_size; /* before it is signed: the largest there can be */
} Writing;

static int encode_header(Writing *writing, Error *error)
{
    ByteWriter writer = byte_writer(writing->header, sizeof(writing->header));

    if (idsig_encode(&writing->idsig, &writer) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the certificate of %zu bytes is too large for an idsig",
                         writing->idsig.certificate.size);
    writing->header_size = writer.size;
    return 0;
}

static int prepare(Writing *writing, Error *error)
{
    const IdsigApk *apk = writing->apk;
    MerkleGeometry geometry;

    if (merkle_geometry_init(&geometry, apk->source.size) < 0 || geometry.tree_size > UINT32_MAX)
        return error_set(error, ERROR_INVALID_FILE,
                         "an APK of %" PRIu64 " bytes is too large for an idsig", apk->source.size);
    writing->idsig = (Idsig){ .apk_digest = apk->digest,
                              .algorithm = apk->algorithm,
                              .tree_size = (uint32_t)geometry.tree_size };
    if (writing->options->key) {
        int r = idsig_signature_prepare(&writing->signature, writing->options->key, &writing->idsig,
                                        error);
        if (r < 0)
            return r;
    }
    return encode_header(writing, error);
}

/* After an error, which is the one that is told. */
static void cut(int fd, off_t size)
{
    if (ftruncate(fd, size) < 0)
        return;
}

/* The size stays as it is, and so does the file when there is no room. */
static int reserve(const Writing *writing)
{
    off_t size = (off_t)(writing->header_size + writing->idsig.tree_size);
    struct stat status;
    int r;

    if (fstat(writing->fd, &status) < 0)
        return -errno;
    do {
        r = fallocate(writing->fd, FALLOC_FL_KEEP_SIZE, 0, size) < 0 ? -errno : 0;
    } while (r == -EINTR);
    if (r == -EOPNOTSUPP)
        return 0; /* it shows when it is written */
    if (r < 0)
        cut(writing->fd, status.st_size); /* gives back what was reserved beyond it */
    return r;
}

static int invalidate(const Writing *writing)
{
    static const uint8_t no_version[4];

    int r = fd_pwrite_all(writing->fd, no_version, sizeof(no_version), 0);
    return r < 0 ? r : fdatasync(writing->fd) < 0 ? -errno : 0;
}

static int write_tree(Writing *writing, Error *error)
{
    MerkleFile file = { .fd = writing->fd, .offset = writing->header_size };
    const MerkleOptions options = { .n_threads = writing->options->n_threads,
                                    .progress = writing->options->progress,
                                    .write = merkle_file_write,
                                    .userdata = &file };

    return merkle_tree_build(&writing->apk->source, &options, writing->idsig.root, error);
}

/* ECDSA signatures have different sizes, and the tree's place is known before they are made. */
static int move_tree(const Writing *writing, uint64_t from, uint64_t to)
{
    ByteSource source = { .fd = writing->fd, .size = from + writing->idsig.tree_size };
    _cleanup_free_ uint8_t *buffer = from == to ? NULL : malloc(COPY_SIZE);

    if (from == to)
        return 0;
    if (!buffer)
        return -ENOMEM;
    for (uint64_t left = writing->idsig.tree_size; left > 0;) {
        size_t size = left < COPY_SIZE ? (size_t)left : COPY_SIZE;
        int r = byte_source_read(&source, from, buffer, size);
        if (r >= 0)
            r = fd_pwrite_all(writing->fd, buffer, size, to);
        if (r < 0)
            return r;
        from += size;
        to += size;
        left -= size;
    }
    return 0;
}

/* Its version last: before that the file is no idsig, and everything else is on the disk. */
static int write_header(const Writing *writing)
{
    const size_t version_size = 4;

    int r = fd_pwrite_all(writing->fd, writing->header + version_size,
                          writing->header_size - version_size, version_size);
    if (r >= 0 &&
        ftruncate(writing->fd, (off_t)(writing->header_size + writing->idsig.tree_size)) < 0)
        r = -errno;
    if (r >= 0 && fdatasync(writing->fd) < 0)
        r = -errno;
    if (r >= 0)
        r = fd_pwrite_all(writing->fd, writing->header, version_size, 0);
    return r < 0 ? r : fdatasync(writing->fd) < 0 ? -errno : 0;
}

static int write_all(Writing *writing, Error *error)
{
    size_t largest = writing->header_size;

    int r = invalidate(writing);
    if (r < 0)
        return write_failed(r, error);
    r = write_tree(writing, error);
    if (r >= 0 && writing->options->key)
        r = idsig_signature_make(&writing->signature, writing->options->key,
                                 writing->apk->source.size, &writing->idsig, error);
    if (r >= 0)
        r = encode_header(writing, error);
    if (r < 0)
        return r;
    r = move_tree(writing, largest, writing->header_size);
    if (r >= 0)
        r = write_header(writing);
    return r < 0 ? write_failed(r, error) : 0;
}

int idsig_file_write(const IdsigApk *apk, const IdsigOptions *options, int fd, Error *error)
{
    Writing writing = { .apk = apk, .options = options, .fd = fd };

    int r = check_apk(apk, error);
    if (r < 0)
        return r;
    r = prepare(&writing, error);
    if (r >= 0) {
        r = reserve(&writing);
        if (r < 0)
            r = write_failed(r, error);
    }
    if (r >= 0) {
        r = write_all(&writing, error);
        if (r < 0)
            cut(fd, 0); /* if even that fails, its version is 0 */
    }
    idsig_signature_deinit(&writing.signature);
    return r;
}

/* --- bringing up to date --- */

int idsig_file_read(const ByteSource *source,
                    uint8_t header[static IDSIG_HEADER_MAX],
                    Idsig *ret_idsig,
                    Error *error)
{
    size_t size = source->size < IDSIG_HEADER_MAX ? (size_t)source->size : IDSIG_HEADER_MAX;

    int r = byte_source_read(source, 0, header, size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read the idsig");
    r = idsig_decode(header, size, ret_idsig, error);
    return r < 0 ? r : idsig_check_size(ret_idsig, source->size, error);
}

static bool is_same(ByteReader one, ByteReader other)
{
    return one.size == other.size && memcmp(one.data, other.data, one.size) == 0;
}

bool idsig_is_current(const Idsig *idsig, const IdsigApk *apk)
{
    return idsig_check_tree_size(idsig, apk->source.size, NULL) >= 0 &&
           is_same(idsig->apk_digest, apk->digest);
}

static int check_files(const IdsigApk *apk, int idsig_fd, Error *error)
{
    struct stat ours, apks;
    int flags = fcntl(idsig_fd, F_GETFL);

    if (flags < 0 || fstat(idsig_fd, &ours) < 0 || fstat(apk->source.fd, &apks) < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot look at the files");
    if (!S_ISREG(apks.st_mode))
        return error_set(error, ERROR_INVALID_FILE, "the APK is not a regular file");
    if (!S_ISREG(ours.st_mode))
        return error_set(error, ERROR_INVALID_FILE, "the idsig is not a regular file");
    if (ours.st_dev == apks.st_dev && ours.st_ino == apks.st_ino)
        return error_set(error, ERROR_INVALID_FILE, "APK and idsig are the same file");
    if ((flags & O_ACCMODE) != O_RDWR || (flags & O_PATH))
        return error_set(error, ERROR_INVALID_FILE,
                         "the idsig must be open for reading and writing");
    if (flags & O_APPEND)
        return error_set(error, ERROR_INVALID_FILE, "the idsig must not be open for appending");
    return 0;
}

int idsig_file_update(
    const IdsigApk *apk, const IdsigOptions *options, int idsig_fd, bool *ret_written, Error *error)
{
    uint8_t header[IDSIG_HEADER_MAX];
    ByteSource source;
    Idsig idsig;

    int r = check_files(apk, idsig_fd, error);
    if (r >= 0)
        r = check_apk(apk, error);
    if (r >= 0)
        r = byte_source_from_fd(idsig_fd, "idsig", &source, error);
    if (r < 0)
        return r;
    if (idsig_file_read(&source, header, &idsig, NULL) >= 0 && idsig_is_current(&idsig, apk)) {
        *ret_written = false;
        return 0;
    }
    r = idsig_file_write(apk, options, idsig_fd, error);
    if (r < 0)
        return r;
    *ret_written = true;
    return 0;
}

/* --- verifying --- */

typedef struct Comparison {
    const ByteSource *idsig;
    uint64_t tree_offset;
    Error *error;
} Comparison;

/* In the place of what writes a tree. */
static int compare(void *userdata, uint64_t offset, const void *bytes, size_t size)
{
    const Comparison *comparison = userdata;
    const uint8_t *expected = bytes;
    uint8_t found[MERKLE_BLOCK_SIZE];

    for (size_t done = 0; done < size; done += MERKLE_BLOCK_SIZE) {
        int r = byte_source_read(comparison->idsig, comparison->tree_offset + offset + done, found,
                                 sizeof(found));
        if (r < 0)
            return error_set_errno(comparison->error, ERROR_FAILED, r, "cannot read the idsig");
        if (memcmp(found, expected + done, sizeof(found)) != 0)
            return error_set(comparison->error, ERROR_IMAGE_INVALID,
                             "block %" PRIu64 " of the idsig's tree is not the APK's",
                             (offset + done) / MERKLE_BLOCK_SIZE);
    }
    return 0;
}

static int verify_tree(const IdsigApk *apk,
                       const IdsigOptions *options,
                       const ByteSource *source,
                       const Idsig *idsig,
                       Error *error)
{
    Comparison comparison = { source, idsig->tree_offset, error };
    uint8_t salt[MERKLE_SALT_ALIGNMENT] = { 0 }, root[MERKLE_HASH_SIZE];
    const MerkleOptions merkle_options = { .salt = salt,
                                           .salt_size = idsig->salt.size > 0 ? sizeof(salt) : 0,
                                           .n_threads = options->n_threads,
                                           .progress = options->progress,
                                           .write = compare,
                                           .userdata = &comparison };

    if (idsig->salt.size > 0)
        memcpy(salt, idsig->salt.data, idsig->salt.size);
    int r = merkle_tree_build(&apk->source, &merkle_options, root, error);
    if (r < 0)
        return r;
    if (memcmp(root, idsig->root, sizeof(root)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig's root hash is not that of its tree");
    return 0;
}

int idsig_check_apk(const Idsig *idsig, const IdsigApk *apk, Error *error)
{
    int r = idsig_check_tree_size(idsig, apk->source.size, error);
    if (r < 0)
        return r;
    if (!is_same(idsig->apk_digest, apk->digest))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig is for another APK: its APK digest is not this one's");
    if (!idsig_is_signed(idsig)) {
        if (idsig->algorithm != apk->algorithm)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the idsig has signature algorithm 0x%" PRIx32 ", the APK 0x%" PRIx32,
                             idsig->algorithm, apk->algorithm);
        return 0;
    }
    r = idsig_signature_verify(idsig, apk->source.size, error);
    if (r < 0)
        return r;
    if (!is_same(idsig->certificate, apk->certificate))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig is signed by another than the APK's signer");
    return 0;
}

int idsig_file_verify(const IdsigApk *apk,
                      const IdsigOptions *options,
                      const ByteSource *source,
                      IdsigFacts *ret_facts,
                      Error *error)
{
    uint8_t header[IDSIG_HEADER_MAX];
    Idsig idsig;

    int r = check_apk(apk, error);
    if (r >= 0)
        r = idsig_file_read(source, header, &idsig, error);
    if (r >= 0) /* before the tree: that is the dearer of the two */
        r = idsig_check_apk(&idsig, apk, error);
    if (r < 0)
        return r;
    r = verify_tree(apk, options, source, &idsig, error);
    if (r < 0)
        return r;

    *ret_facts = (IdsigFacts){ .tree_size = idsig.tree_size,
                               .is_signed = idsig_is_signed(&idsig),
                               .algorithm = idsig.algorithm };
    memcpy(ret_facts->root, idsig.root, sizeof(ret_facts->root));
    return 0;
}
