/* SPDX-License-Identifier: Apache-2.0 */
/* How a record is appended: its payload, the zeros up to the next header and that header, with the
 * nil UUID, are written and flushed first. They lie behind the end of the list, so that nobody has
 * seen them when the machine stops before the record's own header, one sector, is written over the
 * old end. The new end must be written, too: an append that was cut off can have left anything
 * there, which would otherwise become part of the list. */
#include "composite-disk/instance-image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/ckd.h"
#include "common/fd.h"

#define SECTOR_SIZE 512

const uint8_t instance_uuid_manager[GUID_SIZE] = { 0xcf, 0x9a, 0xfe, 0x9a, 0x06, 0x62, 0x11, 0xec,
                                                   0xa3, 0x29, 0xc3, 0x26, 0x63, 0xa0, 0x9d, 0x75 };
const uint8_t instance_uuid_pvmfw[GUID_SIZE] = { 0x90, 0xd2, 0x17, 0x4a, 0x03, 0x8a, 0x4b, 0xc6,
                                                 0xad, 0xf3, 0x82, 0x48, 0x48, 0xfc, 0x58, 0x25 };
const uint8_t instance_uuid_payload[GUID_SIZE] = { 0x97, 0xdf, 0xe9, 0xf5, 0x97, 0x95, 0x49, 0xdb,
                                                   0x8d, 0x41, 0xba, 0x93, 0x61, 0x54, 0xf3, 0xc7 };

static const struct {
    const uint8_t *uuid;
    const char *owner;
} owners[] = {
    { instance_uuid_manager, "microdroid_manager" },
    { instance_uuid_pvmfw, "pvmfw" },
    { instance_uuid_payload, "payload" },
};

const char *instance_record_get_owner(const uint8_t uuid[static GUID_SIZE])
{
    for (size_t i = 0; i < ELEMENTS_OF(owners); i++) {
        if (memcmp(owners[i].uuid, uuid, GUID_SIZE) == 0)
            return owners[i].owner;
    }
    return NULL;
}

/* --- reading --- */

static int refuse_read(Error *error, int r, const char *what, uint64_t offset)
{
    if (r == -EBADMSG)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the instance image ends before the end of the %s at offset %" PRIu64,
                         what, offset);
    return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the %s at offset %" PRIu64,
                           what, offset);
}

static int check_image_header(const ByteSource *source, Error *error)
{
    uint8_t header[INSTANCE_IMAGE_HEADER_SIZE];
    uint16_t version = 0;

    int r = byte_source_read(source, 0, header, sizeof(header));
    if (r < 0)
        return refuse_read(error, r, "header", 0);
    ByteReader reader = byte_reader(header, sizeof(header));
    const uint8_t *magic;
    (void)byte_reader_get_view(&reader, strlen(INSTANCE_IMAGE_MAGIC), &magic); /* fits */
    (void)byte_reader_get_le16(&reader, &version);
    if (memcmp(magic, INSTANCE_IMAGE_MAGIC, strlen(INSTANCE_IMAGE_MAGIC)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "no instance image: it does not begin with '%s'", INSTANCE_IMAGE_MAGIC);
    if (version != INSTANCE_IMAGE_VERSION)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the instance image has version %u; known is version %d", version,
                         INSTANCE_IMAGE_VERSION);
    return 0;
}

/* Where the header behind a payload of @payload_size bytes is; true when there can be none. */
static bool find_next(uint64_t offset, uint64_t payload_size, uint64_t *ret_next)
{
    uint64_t next;

    if (ckd_add(&next, offset, INSTANCE_RECORD_HEADER_SIZE) || ckd_add(&next, next, payload_size) ||
        ckd_add(&next, next, SECTOR_SIZE - 1))
        return true;
    *ret_next = next - next % SECTOR_SIZE;
    return false;
}

/* Adds the record at @offset. 0 for the end of the list, 1 for a record. */
static int read_record(const ByteSource *source,
                       uint64_t offset,
                       InstanceImage *image,
                       uint64_t *ret_next,
                       Error *error)
{
    InstanceRecord record = { .offset = offset };

    int r = byte_source_read(source, offset, record.header, sizeof(record.header));
    if (r < 0)
        return refuse_read(error, r, "record", offset);
    ByteReader reader = byte_reader(record.header, sizeof(record.header));
    (void)byte_reader_get_bytes(&reader, record.uuid, sizeof(record.uuid)); /* both fit */
    (void)byte_reader_get_le64(&reader, &record.payload_size);
    if (guid_is_nil(record.uuid))
        return 0;

    if (image->n_records == INSTANCE_RECORDS_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the instance image has more than %d records: one more is at offset "
                         "%" PRIu64,
                         INSTANCE_RECORDS_MAX, offset);
    if (record.payload_size > INSTANCE_PAYLOAD_SIZE_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the record at offset %" PRIu64 " has %" PRIu64 " bytes; at most %" PRIu64
                         " are read",
                         offset, record.payload_size, INSTANCE_PAYLOAD_SIZE_MAX);
    if (find_next(offset, record.payload_size, ret_next) || *ret_next > source->size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the record at offset %" PRIu64 " with %" PRIu64
                         " bytes ends behind the image of %" PRIu64 " bytes",
                         offset, record.payload_size, source->size);
    const InstanceRecord *twin = instance_image_find(image, record.uuid);
    if (twin)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the records at offsets %" PRIu64 " and %" PRIu64 " have the same UUID",
                         twin->offset, offset);
    image->records[image->n_records++] = record;
    return 1;
}

int instance_image_read(const ByteSource *source, InstanceImage **ret_image, Error *error)
{
    _cleanup_(instance_image_freep) InstanceImage *image = calloc(1, sizeof(*image));
    uint64_t offset = INSTANCE_IMAGE_HEADER_SIZE;

    if (!image)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = check_image_header(source, error);
    if (r < 0)
        return r;
    while ((r = read_record(source, offset, image, &offset, error)) > 0)
        continue;
    if (r < 0)
        return r;
    image->size = source->size;
    image->end_offset = offset;
    *ret_image = TAKE_PTR(image);
    return 0;
}

InstanceImage *instance_image_free(InstanceImage *image)
{
    free(image);
    return NULL;
}

const InstanceRecord *instance_image_find(const InstanceImage *image,
                                          const uint8_t uuid[static GUID_SIZE])
{
    for (size_t i = 0; i < image->n_records; i++) {
        if (memcmp(image->records[i].uuid, uuid, GUID_SIZE) == 0)
            return &image->records[i];
    }
    return NULL;
}

int instance_image_read_payload(const ByteSource *source,
                                const InstanceRecord *record,
                                void *payload,
                                Error *error)
{
    uint64_t offset = record->offset + INSTANCE_RECORD_HEADER_SIZE; /* was checked to be inside */

    int r = byte_source_read(source, offset, payload, (size_t)record->payload_size);
    return r < 0 ? refuse_read(error, r, "payload", offset) : 0;
}

bool instance_record_has_unknown_bytes(const InstanceRecord *record)
{
    uint8_t header[INSTANCE_RECORD_HEADER_SIZE];

    instance_record_make_header(record->uuid, record->payload_size, header);
    return memcmp(header, record->header, sizeof(header)) != 0;
}

/* --- writing --- */

void instance_record_make_header(const uint8_t uuid[static GUID_SIZE],
                                 uint64_t payload_size,
                                 uint8_t header[static INSTANCE_RECORD_HEADER_SIZE])
{
    ByteWriter writer = byte_writer(header, INSTANCE_RECORD_HEADER_SIZE);

    byte_writer_put_bytes(&writer, uuid, GUID_SIZE);
    byte_writer_put_le64(&writer, payload_size);
    byte_writer_put_zeros(&writer, writer.capacity - writer.size);
}

/* A block device's buffers are dropped, too: whoever reads it next gets what is on the disk. */
static int flush(int fd)
{
    struct stat status;

    if (fsync(fd) < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (S_ISBLK(status.st_mode) && ioctl(fd, BLKFLSBUF, 0) < 0)
        return -errno;
    return 0;
}

static int append(int fd,
                  const InstanceImage *image,
                  const uint8_t *uuid,
                  const void *payload,
                  size_t payload_size,
                  Error *error)
{
    uint64_t offset = image->end_offset, next = 0, size;
    uint8_t header[INSTANCE_RECORD_HEADER_SIZE];

    if (image->n_records == INSTANCE_RECORDS_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED, "the instance image has %d records already",
                         INSTANCE_RECORDS_MAX);
    if (find_next(offset, payload_size, &next) ||
        ckd_add(&size, next, INSTANCE_RECORD_HEADER_SIZE) || size > image->size)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "the instance image is full: %" PRIu64 " of its %" PRIu64
                         " bytes are used, and the new record has %zu",
                         offset, image->size, payload_size);

    uint64_t body = offset + INSTANCE_RECORD_HEADER_SIZE;
    size_t body_size = (size_t)(size - body);
    _cleanup_free_ uint8_t *bytes = calloc(1, body_size);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (payload_size > 0)
        memcpy(bytes, payload, payload_size);
    instance_record_make_header(uuid, payload_size, header);

    int r = fd_pwrite_all(fd, bytes, body_size, body);
    if (r >= 0)
        r = flush(fd);
    if (r >= 0)
        r = fd_pwrite_all(fd, header, sizeof(header), offset);
    return r < 0 ? r : flush(fd);
}

/* The bytes behind the payload in its last sector are not read and not written. */
static int replace(
    int fd, const InstanceRecord *record, const void *payload, size_t payload_size, Error *error)
{
    if (payload_size != record->payload_size)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the record at offset %" PRIu64 " has %" PRIu64
                         " bytes and keeps its size; it cannot be replaced by %zu bytes",
                         record->offset, record->payload_size, payload_size);
    int r = fd_pwrite_all(fd, payload, payload_size, record->offset + INSTANCE_RECORD_HEADER_SIZE);
    return r < 0 ? r : flush(fd);
}

int instance_image_write(int fd,
                         const char *name,
                         const uint8_t uuid[static GUID_SIZE],
                         const void *payload,
                         size_t payload_size,
                         Error *error)
{
    _cleanup_(instance_image_freep) InstanceImage *image = NULL;
    ByteSource source;

    if (guid_is_nil(uuid))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the nil UUID ends the list of records and cannot be that of one");
    if (payload_size > INSTANCE_PAYLOAD_SIZE_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "a record cannot have %zu bytes: at most %" PRIu64, payload_size,
                         INSTANCE_PAYLOAD_SIZE_MAX);
    int mode = fd_get_access_mode(fd);
    if (mode >= 0 && mode != O_RDWR)
        return error_set(error, ERROR_INVALID_FILE, "'%s' is not open for reading and writing",
                         name);
    int r = byte_source_from_fd(fd, name, &source, error);
    if (r >= 0)
        r = instance_image_read(&source, &image, error);
    if (r < 0)
        return r;

    const InstanceRecord *record = instance_image_find(image, uuid);
    r = record ? replace(fd, record, payload, payload_size, error)
               : append(fd, image, uuid, payload, payload_size, error);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'", name) : 0;
}
