/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/boot-record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/bytes.h"
#include "common/random.h"
#define RECORD_SIZE (2 * DICE_HASH_SIZE + BOOT_RECORD_SALT_SIZE + 1 + 8)

typedef struct BootRecord {
    uint8_t code[DICE_HASH_SIZE], authority[DICE_HASH_SIZE];
    uint8_t salt[BOOT_RECORD_SALT_SIZE];
    uint8_t mode;
    uint64_t rollback_index;
} BootRecord;

static void record_encode(const BootRecord *record, uint8_t bytes[static RECORD_SIZE])
{
    ByteWriter writer = byte_writer(bytes, RECORD_SIZE);

    byte_writer_put_bytes(&writer, record->code, sizeof(record->code));
    byte_writer_put_bytes(&writer, record->authority, sizeof(record->authority));
    byte_writer_put_bytes(&writer, record->salt, sizeof(record->salt));
    byte_writer_put_u8(&writer, record->mode);
    byte_writer_put_le64(&writer, record->rollback_index);
}

/* All of it is there. */
static BootRecord record_decode(const uint8_t bytes[static RECORD_SIZE])
{
    ByteReader reader = byte_reader(bytes, RECORD_SIZE);
    BootRecord record;

    (void)byte_reader_get_bytes(&reader, record.code, sizeof(record.code));
    (void)byte_reader_get_bytes(&reader, record.authority, sizeof(record.authority));
    (void)byte_reader_get_bytes(&reader, record.salt, sizeof(record.salt));
    (void)byte_reader_get_u8(&reader, &record.mode);
    (void)byte_reader_get_le64(&reader, &record.rollback_index);
    return record;
}

/* A new image has no record at all, and ours is the first to be made: where it was made to look
 * like another one, an instance would silently become a new one. */
static int check_list(const InstanceImage *image, Error *error)
{
    for (size_t i = 0; i < image->n_records; i++) {
        const InstanceRecord *record = &image->records[i];

        if (instance_record_has_unknown_bytes(record) || !instance_record_get_owner(record->uuid) ||
            (i == 0 && memcmp(record->uuid, instance_uuid_pvmfw, GUID_SIZE) != 0))
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the instance record at offset %" PRIu64
                             " is not one of this system's",
                             record->offset);
    }
    return 0;
}

static int check_same(const BootRecord *old, const BootRecord *new, Error *error)
{
    if (memcmp(old->authority, new->authority, sizeof(new->authority)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the system is signed with another key than the instance's first one");
    if (old->mode != new->mode)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the instance was made %sdebuggable and is booted %sdebuggable",
                         old->mode == DICE_MODE_DEBUG ? "" : "not ",
                         new->mode == DICE_MODE_DEBUG ? "" : "not ");
    if (new->rollback_index < old->rollback_index)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the system's rollback index is %" PRIu64 ", and %" PRIu64
                         " was booted before",
                         new->rollback_index, old->rollback_index);
    return 0;
}

static int write_record(InstanceStore *store,
                        const uint8_t key[static CRYPTO_KEY_SIZE],
                        const BootRecord *record,
                        Error *error)
{
    uint8_t bytes[RECORD_SIZE];

    record_encode(record, bytes);
    int r = instance_store_write(store, instance_uuid_pvmfw, key, bytes, sizeof(bytes), error);
    explicit_bzero(bytes, sizeof(bytes));
    return r;
}

int boot_record_check(InstanceStore *store,
                      const uint8_t key[static CRYPTO_KEY_SIZE],
                      const VerifiedBoot *boot,
                      DiceMode mode,
                      BootIdentity *ret_identity,
                      Error *error)
{
    BootRecord record = { .mode = (uint8_t)mode, .rollback_index = boot->rollback_index };
    uint8_t bytes[RECORD_SIZE];
    bool must_write = true;

    memcpy(record.code, boot->code, sizeof(record.code));
    memcpy(record.authority, boot->authority, sizeof(record.authority));
    int r = check_list(store->image, error);
    if (r < 0)
        return r;
    r = instance_store_read(store, instance_uuid_pvmfw, key, bytes, sizeof(bytes), error);
    bool is_new = r == -ENOENT;
    if (is_new) {
        r = random_fill(record.salt, sizeof(record.salt));
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot get random bytes");
    } else if (r < 0) {
        return r;
    } else {
        BootRecord old = record_decode(bytes);

        r = check_same(&old, &record, error);
        if (r < 0)
            return r;
        memcpy(record.salt, old.salt, sizeof(record.salt));
        must_write = record.rollback_index != old.rollback_index ||
                     memcmp(record.code, old.code, sizeof(record.code)) != 0;
    }
    if (must_write) {
        r = write_record(store, key, &record, error);
        if (r < 0)
            return r;
    }
    memcpy(ret_identity->salt, record.salt, sizeof(record.salt));
    ret_identity->is_new = is_new;
    return 0;
}
