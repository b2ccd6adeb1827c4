/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/idsig.h"

#include <inttypes.h>

/* --- reading --- */

static int ends_within(const char *what, Error *error)
{
    return error_set(error, ERROR_IMAGE_INVALID, "the idsig ends within its %s", what);
}

static int get_u32(ByteReader *reader, const char *what, uint32_t *ret_value, Error *error)
{
    return byte_reader_get_le32(reader, ret_value) < 0 ? ends_within(what, error) : 0;
}

static int get_blob(
    ByteReader *reader, size_t max, const char *what, ByteReader *ret_blob, Error *error)
{
    const uint8_t *view;
    uint32_t size;

    int r = get_u32(reader, what, &size, error);
    if (r < 0)
        return r;
    if (size > max)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig's %s has %" PRIu32 " bytes; at most %zu are taken", what, size,
                         max);
    if (byte_reader_get_view(reader, size, &view) < 0)
        return ends_within(what, error);
    *ret_blob = byte_reader(view, size);
    return 0;
}

static int check_end(const ByteReader *reader, const char *what, Error *error)
{
    if (reader->size > 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig has %zu bytes at the end of its %s that are not taken",
                         reader->size, what);
    return 0;
}

static int decode_hashing_info(ByteReader reader, Idsig *idsig, Error *error)
{
    ByteReader root;
    uint32_t algorithm;
    uint8_t block_size_log2;

    int r = get_u32(&reader, "hash algorithm", &algorithm, error);
    if (r < 0)
        return r;
    if (algorithm != IDSIG_HASH_SHA256)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig has hash algorithm %" PRIu32 "; only 1, SHA-256, is taken",
                         algorithm);
    if (byte_reader_get_u8(&reader, &block_size_log2) < 0)
        return ends_within("block size", error);
    if (block_size_log2 != MERKLE_BLOCK_SIZE_LOG2)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig has blocks of 2^%u bytes; only 2^%d are taken", block_size_log2,
                         MERKLE_BLOCK_SIZE_LOG2);
    r = get_blob(&reader, IDSIG_SALT_MAX, "salt", &idsig->salt, error);
    if (r >= 0)
        r = get_blob(&reader, MERKLE_HASH_SIZE, "root hash", &root, error);
    if (r < 0)
        return r;
    if (byte_reader_get_bytes(&root, idsig->root, MERKLE_HASH_SIZE) < 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig's root hash has %zu bytes; it takes %d", root.size,
                         MERKLE_HASH_SIZE);
    return check_end(&reader, "hashing info", error);
}

static int decode_signing_info(ByteReader reader, Idsig *idsig, Error *error)
{
    int r = get_blob(&reader, IDSIG_APK_DIGEST_MAX, "APK digest", &idsig->apk_digest, error);

    if (r >= 0)
        r = get_blob(&reader, SIZE_MAX, "certificate", &idsig->certificate, error);
    if (r >= 0)
        r = get_blob(&reader, SIZE_MAX, "additional data", &idsig->additional_data, error);
    if (r >= 0)
        r = get_blob(&reader, SIZE_MAX, "public key", &idsig->public_key, error);
    if (r >= 0)
        r = get_u32(&reader, "signature algorithm", &idsig->algorithm, error);
    if (r >= 0)
        r = get_blob(&reader, SIZE_MAX, "signature", &idsig->signature, error);
    if (r >= 0 && idsig->apk_digest.size == 0)
        r = error_set(error, ERROR_IMAGE_INVALID, "the idsig has no APK digest");
    /* Signatures of further schemes, which newer tools can put here, are not known. */
    return r < 0 ? r : check_end(&reader, "signing info", error);
}

int idsig_decode(const void *bytes, size_t size, Idsig *ret_idsig, Error *error)
{
    ByteReader reader = byte_reader(bytes, size), hashing_info, signing_info;
    Idsig idsig = { 0 };
    uint32_t version;

    int r = get_u32(&reader, "version", &version, error);
    if (r < 0)
        return r;
    if (version != IDSIG_VERSION)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig has version %" PRIu32 "; only %d is known", version,
                         IDSIG_VERSION);
    r = get_blob(&reader, IDSIG_HASHING_INFO_MAX, "hashing info", &hashing_info, error);
    if (r >= 0)
        r = get_blob(&reader, IDSIG_SIGNING_INFO_MAX, "signing info", &signing_info, error);
    if (r >= 0)
        r = get_u32(&reader, "tree size", &idsig.tree_size, error);
    if (r >= 0)
        r = decode_hashing_info(hashing_info, &idsig, error);
    if (r >= 0)
        r = decode_signing_info(signing_info, &idsig, error);
    if (r < 0)
        return r;
    idsig.tree_offset = size - reader.size;
    *ret_idsig = idsig;
    return 0;
}

int idsig_check_size(const Idsig *idsig, uint64_t file_size, Error *error)
{
    uint64_t end = idsig->tree_offset + (uint64_t)idsig->tree_size;

    if (file_size < end)
        return ends_within("tree", error);
    if (file_size > end)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig has %" PRIu64 " bytes behind its tree", file_size - end);
    return 0;
}

int idsig_check_tree_size(const Idsig *idsig, uint64_t apk_size, Error *error)
{
    MerkleGeometry geometry;

    if (merkle_geometry_init(&geometry, apk_size) < 0)
        return error_set(error, ERROR_INVALID_FILE, "an APK cannot have %" PRIu64 " bytes",
                         apk_size);
    if (geometry.tree_size != idsig->tree_size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the idsig has a tree of %" PRIu32 " bytes; that of an APK of %" PRIu64
                         " bytes has %" PRIu64,
                         idsig->tree_size, apk_size, geometry.tree_size);
    return 0;
}

/* --- writing --- */

static void put_blob(ByteWriter *writer, const void *bytes, size_t size)
{
    byte_writer_put_le32(writer, (uint32_t)size);
    byte_writer_put_bytes(writer, bytes, size);
}

static void put_view(ByteWriter *writer, ByteReader view)
{
    put_blob(writer, view.data, view.size);
}

static void put_hashing_info(ByteWriter *writer, const Idsig *idsig)
{
    byte_writer_put_le32(writer, IDSIG_HASH_SHA256);
    byte_writer_put_u8(writer, MERKLE_BLOCK_SIZE_LOG2);
    put_view(writer, idsig->salt);
    put_blob(writer, idsig->root, MERKLE_HASH_SIZE);
}

static size_t hashing_info_size(const Idsig *idsig)
{
    return 4 + 1 + 4 + idsig->salt.size + 4 + MERKLE_HASH_SIZE;
}

int idsig_encode(const Idsig *idsig, ByteWriter *writer)
{
    size_t signing_info_size = 6 * 4 + idsig->apk_digest.size + idsig->certificate.size +
                               idsig->additional_data.size + idsig->public_key.size +
                               idsig->signature.size;

    if (idsig->salt.size > IDSIG_SALT_MAX || idsig->apk_digest.size > IDSIG_APK_DIGEST_MAX ||
        signing_info_size > IDSIG_SIGNING_INFO_MAX)
        writer->truncated = 1; /* nobody would read it */
    byte_writer_put_le32(writer, IDSIG_VERSION);
    byte_writer_put_le32(writer, (uint32_t)hashing_info_size(idsig));
    put_hashing_info(writer, idsig);
    byte_writer_put_le32(writer, (uint32_t)signing_info_size);
    put_view(writer, idsig->apk_digest);
    put_view(writer, idsig->certificate);
    put_view(writer, idsig->additional_data);
    put_view(writer, idsig->public_key);
    byte_writer_put_le32(writer, idsig->algorithm);
    put_view(writer, idsig->signature);
    byte_writer_put_le32(writer, idsig->tree_size);
    return byte_writer_finish(writer);
}

int idsig_encode_signed_data(const Idsig *idsig, uint64_t apk_size, ByteWriter *writer)
{
    size_t size = 4 + 8 + hashing_info_size(idsig) + 3 * 4 + idsig->apk_digest.size +
                  idsig->certificate.size + idsig->additional_data.size;

    byte_writer_put_le32(writer, (uint32_t)size); /* of all, with itself */
    byte_writer_put_le64(writer, apk_size);
    put_hashing_info(writer, idsig);
    put_view(writer, idsig->apk_digest);
    put_view(writer, idsig->certificate);
    put_view(writer, idsig->additional_data);
    return byte_writer_finish(writer);
}
