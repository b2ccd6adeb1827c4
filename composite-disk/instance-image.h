/* SPDX-License-Identifier: Apache-2.0 */
/* The image in which a guest keeps its identity: a header and a list of records, each of which is a
 * UUID and a payload that only its writer understands (microdroid_manager's and pvmfw's are
 * encrypted). Lists, reads and writes records; knows nothing of what is in them. Sources: AOSP,
 * packages/modules/Virtualization: guest/microdroid_manager/src/instance.rs and
 * guest/pvmfw/src/instance.rs.
 *
 *   0     magic, version (16 bits, little-endian), zeros
 *   512   record: a header of 512 bytes { UUID in its text's order, payload size (64 bits,
 *         little-endian), zeros } and the payload; the next one at the next multiple of 512
 *   ...   a header with the nil UUID ends the list
 *
 * A header is the additional data that the payload is authenticated with, so that not one of its
 * bytes may change: a record keeps its size, and bytes that should be zeros are kept as they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/guid.h"

#define INSTANCE_IMAGE_MAGIC       "Android-VM-instance" /* without a NUL */
#define INSTANCE_IMAGE_VERSION     1
#define INSTANCE_IMAGE_HEADER_SIZE 512

#define INSTANCE_RECORD_HEADER_SIZE 512
/* Ours: AVF writes two records of a few kilobytes at most. */
#define INSTANCE_RECORDS_MAX      64
#define INSTANCE_PAYLOAD_SIZE_MAX (UINT64_C(1) << 20)

typedef struct InstanceRecord {
    uint8_t uuid[GUID_SIZE];
    uint64_t offset; /* of the header in the image */
    uint64_t payload_size;
    uint8_t header[INSTANCE_RECORD_HEADER_SIZE]; /* as it is there */
} InstanceRecord;

typedef struct InstanceImage {
    uint64_t size;       /* of the image */
    uint64_t end_offset; /* of the header that ends the list */
    size_t n_records;
    InstanceRecord records[INSTANCE_RECORDS_MAX];
} InstanceImage;

/* Reads header and list. ERROR_IMAGE_INVALID says what is wrong at which offset: another magic or
 * version, a record that is not all inside, too large, one too many or there twice, a list without
 * an end. The caller frees the image. */
int instance_image_read(const ByteSource *source, InstanceImage **ret_image, Error *error);

InstanceImage *instance_image_free(InstanceImage *image);
DEFINE_CLEANUP(InstanceImage, instance_image_free);

/* NULL when there is none. */
const InstanceRecord *instance_image_find(const InstanceImage *image,
                                          const uint8_t uuid[static GUID_SIZE]);

/* Reads @record->payload_size bytes into @payload. */
int instance_image_read_payload(const ByteSource *source,
                                const InstanceRecord *record,
                                void *payload,
                                Error *error);

/* The header that a new record has: what its writer authenticates the payload with. */
void instance_record_make_header(const uint8_t uuid[static GUID_SIZE],
                                 uint64_t payload_size,
                                 uint8_t header[static INSTANCE_RECORD_HEADER_SIZE]);

/* Writes the payload of the record of this UUID, which is appended when it is not there, into the
 * image @fd is open on for reading and writing; other records are not touched. An existing record
 * of another size is ERROR_INVALID_ARGUMENT, a full image ERROR_LIMITS_EXCEEDED, and both leave
 * the image as it was.
 *
 * When the machine stops in the middle, or with an error of the disk, the list still is a list:
 * a new record is there with its whole payload or not at all. An existing one keeps its header,
 * and its payload is the old or the new one if it fits a sector; a larger one can be a mix of the
 * two, of which only its own authentication can tell, as with AVF's writer. A caller who must not
 * lose the old payload writes a copy of the image and renames it. */
int instance_image_write(int fd,
                         const char *name,
                         const uint8_t uuid[static GUID_SIZE],
                         const void *payload,
                         size_t payload_size,
                         Error *error);

/* True where what should be zeros in the record's header is not. */
bool instance_record_has_unknown_bytes(const InstanceRecord *record);

/* Of AVF's records, microdroid_manager's and pvmfw's; and of ours, in which a guest keeps what its
 * payload wants to be protected against being put back. */
extern const uint8_t instance_uuid_manager[GUID_SIZE];
extern const uint8_t instance_uuid_pvmfw[GUID_SIZE];
extern const uint8_t instance_uuid_payload[GUID_SIZE];

/* Whose record that is, NULL when it is not known. */
const char *instance_record_get_owner(const uint8_t uuid[static GUID_SIZE]);
