/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-signing.h"

#include <assert.h>
#include <string.h>

#include "common/fd.h"

#define COPY_SIZE   (64U << 10)
#define FRAMING_MAX 256 /* numbers and lengths around what is signed, and around the signature */

/* The work is to copy everything, and then to hash it. */
typedef struct TwoPasses {
    const Progress *outer;
    uint64_t before, total;
} TwoPasses;

static void report_pass(void *userdata, uint64_t done, uint64_t total)
{
    const TwoPasses *passes = userdata;

    (void)total;
    progress_report(passes->outer, passes->before + done, passes->total);
}

static int write_failed(int r, Error *error)
{
    return error_set_errno(error, ERROR_FAILED, r, "cannot write the APK");
}

static int copy_entries(const ByteSource *entries, int fd, const Progress *progress, Error *error)
{
    _cleanup_free_ uint8_t *buffer = malloc(COPY_SIZE);

    if (!buffer)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (uint64_t done = 0; done < entries->size;) {
        uint64_t left = entries->size - done;
        size_t size = left < COPY_SIZE ? (size_t)left : COPY_SIZE;

        int r = byte_source_read(entries, done, buffer, size);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot read the APK");
        r = fd_write_all(fd, buffer, size);
        if (r < 0)
            return write_failed(r, error);
        done += size;
        progress_report(progress, done, entries->size);
    }
    return 0;
}

/* Zeros up to where the signing block begins, which are digested as entries are. */
static int fill_up(uint64_t size, uint64_t block_offset, int fd, Error *error)
{
    static const uint8_t zeros[APK_SIGNING_BLOCK_ALIGNMENT];

    int r = fd_write_all(fd, zeros, (size_t)(block_offset - size));
    return r < 0 ? write_failed(r, error) : 0;
}

static int check_size(const ApkParts *parts, uint64_t block_offset, Error *error)
{
    /* The directory moves behind the block, whose size is bounded by what is put into it. */
    if (block_offset + APK_SIGNING_BLOCK_MAX >= ZIP64_MARK)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "a zip with entries of %ju bytes is too large to be signed",
                         (uintmax_t)parts->block.offset);
    if (parts->sections.directory_size > ZIP_DIRECTORY_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "a central directory of %ju bytes; taken are up to %u",
                         (uintmax_t)parts->sections.directory_size, ZIP_DIRECTORY_MAX);
    return 0;
}

/* Signs @digest into a value for the signing block, which the caller frees. */
static int make_value(const SigningKey *key,
                      ApkSignature *signature,
                      uint8_t **ret_value,
                      size_t *ret_size,
                      Error *error)
{
    ByteReader digest = byte_reader(signature->digest.bytes, signature->digest.size);
    ByteReader certificate = byte_reader(signature->certificate, signature->certificate_size);
    ByteReader public_key = byte_reader(signature->public_key, signature->public_key_size);
    size_t data_capacity = FRAMING_MAX + digest.size + certificate.size;
    size_t capacity = data_capacity + FRAMING_MAX + SIGNATURE_SIZE_MAX + public_key.size;
    _cleanup_free_ uint8_t *data_bytes = malloc(data_capacity), *bytes = malloc(capacity);
    uint8_t signed_bytes[SIGNATURE_SIZE_MAX];
    size_t signed_size;

    if (!data_bytes || !bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    ByteWriter data = byte_writer(data_bytes, data_capacity);
    int r = apk_signed_data_encode(signature->algorithm, digest, certificate, &data);
    assert(r == 0); /* the capacity is made for it, here and below */
    r = signing_key_sign(key, signature->algorithm, data.data, data.size, signed_bytes,
                         &signed_size, error);
    if (r < 0)
        return r;
    ByteWriter value = byte_writer(bytes, capacity);
    r = apk_signer_encode(signature->algorithm, byte_reader(data.data, data.size),
                          byte_reader(signed_bytes, signed_size), public_key, &value);
    assert(r == 0);
    *ret_value = TAKE_PTR(bytes);
    *ret_size = value.size;
    return 0;
}

/* Signing block, directory, end record. */
static int write_rest(const ApkParts *parts,
                      uint64_t block_offset,
                      const uint8_t *directory,
                      const void *value,
                      size_t value_size,
                      int fd,
                      Error *error)
{
    _cleanup_free_ uint8_t *block = NULL;
    size_t block_size;

    int r = apk_signing_block_make(APK_BLOCK_V3, value, value_size, &block, &block_size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot make the signing block");
    ByteWriter offset = byte_writer(parts->end + ZIP_END_OFFSET_FIELD, sizeof(uint32_t));
    byte_writer_put_le32(&offset, (uint32_t)(block_offset + block_size));
    if ((r = fd_write_all(fd, block, block_size)) < 0 ||
        (r = fd_write_all(fd, directory, (size_t)parts->sections.directory_size)) < 0 ||
        (r = fd_write_all(fd, parts->end, (size_t)parts->sections.end_size)) < 0)
        return write_failed(r, error);
    return 0;
}

/* What will be in the file: what is hashed is what was written, even if @apk changes meanwhile. */
static int hash_output(const ApkParts *parts,
                       uint64_t block_offset,
                       const uint8_t *directory,
                       int fd,
                       const Progress *progress,
                       ApkSignature *signature,
                       Error *error)
{
    const ApkContent content = {
        .entries = { .fd = fd, .size = block_offset },
        .directory = byte_source_from_memory(directory, (size_t)parts->sections.directory_size),
        .end = parts->content.end,
    };
    ByteWriter offset = byte_writer(parts->end + ZIP_END_OFFSET_FIELD, sizeof(uint32_t));

    byte_writer_put_le32(&offset, (uint32_t)block_offset);
    return apk_digest_compute(&content, signature->algorithm->content_digest, 0, progress,
                              &signature->digest, error);
}

static int sign_parts(const ApkParts *parts,
                      const SigningKey *key,
                      int fd,
                      const Progress *progress,
                      ApkSignature *signature,
                      Error *error)
{
    size_t directory_size = (size_t)parts->sections.directory_size;
    const uint64_t size = parts->content.entries.size;
    const uint64_t block_offset = size + -size % APK_SIGNING_BLOCK_ALIGNMENT;
    TwoPasses passes = { .outer = progress,
                         .total = size + block_offset + directory_size + parts->sections.end_size };
    const Progress pass = { report_pass, &passes };
    _cleanup_free_ uint8_t *directory = NULL, *value = NULL;
    size_t value_size;

    int r = check_size(parts, block_offset, error);
    if (r < 0)
        return r;
    directory = malloc(directory_size + 1);
    if (!directory)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = byte_source_read(&parts->content.directory, 0, directory, directory_size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read the APK");
    r = copy_entries(&parts->content.entries, fd, &pass, error);
    if (r >= 0)
        r = fill_up(size, block_offset, fd, error);
    if (r < 0)
        return r;
    passes.before = size;
    r = hash_output(parts, block_offset, directory, fd, &pass, signature, error);
    if (r >= 0)
        r = make_value(key, signature, &value, &value_size, error);
    return r < 0 ? r : write_rest(parts, block_offset, directory, value, value_size, fd, error);
}

int apk_sign(const ByteSource *apk,
             const SigningKey *key,
             int fd,
             const Progress *progress,
             ApkSignature **ret_signature,
             Error *error)
{
    _cleanup_(apk_signature_freep) ApkSignature *signature = calloc(1, sizeof(*signature));
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };

    if (!signature)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    signature->scheme = APK_SCHEME_V3;
    signature->algorithm = signing_key_get_algorithm(key);
    int r = signing_key_encode(key, &signature->certificate, &signature->certificate_size,
                               &signature->public_key, &signature->public_key_size);
    if (r < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = apk_parts_read(apk, &parts, error);
    if (r >= 0)
        r = sign_parts(&parts, key, fd, progress, signature, error);
    if (r < 0)
        return r;
    *ret_signature = TAKE_PTR(signature);
    return 0;
}
