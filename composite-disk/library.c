/* SPDX-License-Identifier: Apache-2.0 */
/* What the shared library offers, on top of the modules that the tool uses. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/apk-idsig.h"
#include "composite-disk/apk-signature.h"
#include "composite-disk/avb-public-key.h"
#include "composite-disk/composite-disk.h"
#include "composite-disk/composite-file.h"
#include "composite-disk/composite-image.h"
#include "composite-disk/gpt-type.h"
#include "composite-disk/partition-file.h"
#include "composite-disk/vbmeta.h"

struct CompositeDisk {
    CompositeImage *image;
    GptTable table; /* without partitions when the disk has none */
};

/* Hands the sentence over, and gives @r back. */
static int finish(int r, Error *error, char **ret_message)
{
    if (ret_message)
        *ret_message = r < 0 ? strdup(error_get_message(error)) : NULL;
    error_clear(error);
    return r;
}

typedef struct Parts {
    CompositeFilePartition *partitions;
    uint8_t (*guids)[2][GUID_SIZE]; /* of each: type and GUID */
} Parts;

static void parts_deinit(Parts *parts)
{
    free(parts->partitions);
    free(parts->guids);
}

static int convert_part(const CompositeDiskPart *part, Parts *parts, size_t index, Error *error)
{
    CompositeFilePartition *partition = &parts->partitions[index];
    uint8_t *type = parts->guids[index][0], *guid = parts->guids[index][1];

    if (!part->label || !part->file)
        return error_set(error, ERROR_INVALID_ARGUMENT, "partition %zu has no label or no file",
                         index);
    *partition = (CompositeFilePartition){ .label = part->label,
                                           .file = part->file,
                                           .writable = part->writable,
                                           .attributes = part->attributes };
    if (part->type && gpt_type_from_string(part->type, type) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "there is no partition type '%s'",
                         part->type);
    if (part->guid && guid_from_string(part->guid, guid) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'%s' is no GUID", part->guid);
    partition->type = part->type ? type : NULL;
    partition->guid = part->guid ? guid : NULL;
    return 0;
}

static int convert_parts(const CompositeDiskPart *from, size_t n, Parts *parts, Error *error)
{
    int r = 0;

    parts->partitions = calloc(n + 1, sizeof(*parts->partitions));
    parts->guids = calloc(n + 1, sizeof(*parts->guids));
    if (!parts->partitions || !parts->guids)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = convert_part(&from[i], parts, i, error);
    return r;
}

int composite_disk_create(const char *path,
                          const CompositeDiskPart *parts,
                          size_t n_parts,
                          unsigned flags,
                          char **ret_message)
{
    const CompositeFileOptions options = {
        .format = flags & COMPOSITE_DISK_VMDK ? COMPOSITE_FILE_VMDK : COMPOSITE_FILE_CROSVM,
        .sector_size = flags & COMPOSITE_DISK_SECTORS_4096 ? GPT_SECTOR_SIZE_MAX : GPT_SECTOR_SIZE,
        .replace = flags & COMPOSITE_DISK_REPLACE,
    };
    _cleanup_(parts_deinit) Parts converted = { 0 };
    CompositeFileResult result;
    Error error = ERROR_INIT;

    int r = convert_parts(parts, n_parts, &converted, &error);
    if (r >= 0)
        r = composite_file_create(path, converted.partitions, n_parts, &options, &result, &error);
    return finish(r, &error, ret_message);
}

int composite_disk_append(const char *path,
                          const CompositeDiskPart *parts,
                          size_t n_parts,
                          char **ret_message)
{
    _cleanup_(parts_deinit) Parts converted = { 0 };
    CompositeFileResult result;
    Error error = ERROR_INIT;

    int r = convert_parts(parts, n_parts, &converted, &error);
    if (r >= 0)
        r = composite_file_append(path, converted.partitions, n_parts, &result, &error);
    return finish(r, &error, ret_message);
}

int composite_disk_open(const char *path,
                        unsigned flags,
                        CompositeDisk **ret_disk,
                        char **ret_message)
{
    unsigned image_flags = (flags & COMPOSITE_DISK_WRITABLE ? COMPOSITE_IMAGE_WRITABLE : 0U) |
                           (flags & COMPOSITE_DISK_NO_LOCK ? COMPOSITE_IMAGE_NO_LOCK : 0U);
    CompositeDisk *disk = calloc(1, sizeof(*disk));
    Error error = ERROR_INIT;

    int r = disk ? composite_image_open(path, image_flags, &disk->image, &error)
                 : error_set(&error, ERROR_NO_MEMORY, "out of memory");
    if (r >= 0)
        r = composite_image_read_table(disk->image, &disk->table, &error);
    if (r == -ENODATA && error.kind == ERROR_NONE) {
        disk->table.n_partitions = 0;
        r = 0;
    }
    if (r >= 0)
        *ret_disk = disk;
    else
        composite_disk_close(disk);
    return finish(r, &error, ret_message);
}

void composite_disk_close(CompositeDisk *disk)
{
    if (!disk)
        return;
    composite_image_free(disk->image);
    free(disk);
}

uint64_t composite_disk_get_size(const CompositeDisk *disk)
{
    return disk->image->size;
}

size_t composite_disk_get_n_partitions(const CompositeDisk *disk)
{
    return disk->table.n_partitions;
}

int composite_disk_get_partition(const CompositeDisk *disk,
                                 size_t index,
                                 CompositeDiskPartition *ret_partition)
{
    if (index >= disk->table.n_partitions)
        return -ENOENT;
    const GptPartition *partition = &disk->table.partitions[index];
    *ret_partition = (CompositeDiskPartition){ .label = partition->label,
                                               .offset = partition->offset,
                                               .size = partition->size,
                                               .attributes = partition->attributes };
    memcpy(ret_partition->type, partition->type, GUID_SIZE);
    memcpy(ret_partition->guid, partition->guid, GUID_SIZE);
    return 0;
}

int composite_disk_read(
    CompositeDisk *disk, uint64_t offset, void *buffer, size_t size, char **ret_message)
{
    Error error = ERROR_INIT;

    return finish(composite_image_read(disk->image, offset, buffer, size, &error), &error,
                  ret_message);
}

int composite_disk_write(
    CompositeDisk *disk, uint64_t offset, const void *buffer, size_t size, char **ret_message)
{
    Error error = ERROR_INIT;

    return finish(composite_image_write(disk->image, offset, buffer, size, &error), &error,
                  ret_message);
}

int composite_disk_flush(CompositeDisk *disk, char **ret_message)
{
    Error error = ERROR_INIT;

    return finish(composite_image_flush(disk->image, &error), &error, ret_message);
}

int composite_disk_initialize_partition(int fd, uint64_t size, const char *type, char **ret_message)
{
    PartitionType partition_type;
    Error error = ERROR_INIT;

    int r =
        partition_type_from_string(type, &partition_type) < 0
            ? error_set(&error, ERROR_INVALID_ARGUMENT, "there is no type '%s' of partitions", type)
            : partition_file_initialize(fd, partition_type, size, &error);
    return finish(r, &error, ret_message);
}

static int verify_apk(int fd, ByteSource *ret_apk, ApkSignature **ret_signature, Error *error)
{
    const ApkVerifyOptions options = { 0 };

    int r = byte_source_from_fd(fd, "the APK", ret_apk, error);
    return r < 0 ? r : apk_signature_verify(ret_apk, &options, ret_signature, error);
}

int composite_disk_verify_apk(int apk_fd, uint8_t ret_certificate_sha256[32], char **ret_message)
{
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    Error error = ERROR_INIT;
    ByteSource apk;

    int r = verify_apk(apk_fd, &apk, &signature, &error);
    if (r >= 0 && ret_certificate_sha256 &&
        EVP_Digest(signature->certificate, signature->certificate_size, ret_certificate_sha256,
                   NULL, EVP_sha256(), NULL) != 1)
        r = error_set(&error, ERROR_FAILED, "cannot hash the certificate");
    return finish(r, &error, ret_message);
}

int composite_disk_update_idsig(int apk_fd, int idsig_fd, char **ret_message)
{
    Error error = ERROR_INIT;
    bool written;

    return finish(apk_idsig_update(apk_fd, idsig_fd, NULL, &written, &error), &error, ret_message);
}

int composite_disk_verify_idsig(int apk_fd, int idsig_fd, char **ret_message)
{
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    const IdsigOptions options = { 0 };
    Error error = ERROR_INIT;
    ByteSource apk, idsig;
    IdsigFacts facts;

    int r = verify_apk(apk_fd, &apk, &signature, &error);
    if (r >= 0)
        r = byte_source_from_fd(idsig_fd, "the idsig", &idsig, &error);
    if (r >= 0) {
        const IdsigApk described = apk_idsig_describe(&apk, signature);
        r = idsig_file_verify(&described, &options, &idsig, &facts, &error);
    }
    return finish(r, &error, ret_message);
}

int composite_disk_verify_vbmeta(int fd,
                                 const char *public_key_path,
                                 uint64_t *ret_rollback_index,
                                 char **ret_message)
{
    _cleanup_free_ uint8_t *data = NULL;
    Error error = ERROR_INIT;
    AvbPublicKey key;
    ByteSource source;
    uint64_t offset;
    Vbmeta vbmeta;
    size_t size;

    int r = avb_public_key_load(public_key_path, &key, &error);
    if (r >= 0)
        r = byte_source_from_fd(fd, "the vbmeta", &source, &error);
    if (r >= 0)
        r = vbmeta_load(&source, &data, &size, &offset, &error);
    if (r >= 0)
        r = vbmeta_parse(data, size, &vbmeta, &error);
    if (r >= 0) {
        const AvbBytes trusted = { key.bytes, key.size };
        r = vbmeta_verify(&vbmeta, &trusted, &error);
    }
    if (r >= 0)
        *ret_rollback_index = vbmeta.rollback_index;
    return finish(r, &error, ret_message);
}
