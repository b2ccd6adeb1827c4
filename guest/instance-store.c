/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/instance-store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"

#define IMAGE_NAME         "vm-instance"
#define SECTOR_SIZE        512
#define JOURNAL_MAGIC      "instance-journal"
#define JOURNAL_MAGIC_SIZE (sizeof(JOURNAL_MAGIC) - 1)

typedef struct Journal {
    uint8_t uuid[GUID_SIZE];
    uint64_t size;
    uint8_t digest[CRYPTO_SHA256_SIZE];
} Journal;

InstanceStore *instance_store_free(InstanceStore *store)
{
    if (!store)
        return NULL;
    instance_image_free(store->image);
    (void)fd_close(store->fd);
    free(store);
    return NULL;
}

/* --- the journal --- */

static uint64_t journal_get_offset(const InstanceStore *store)
{
    return store->source.size - INSTANCE_JOURNAL_SIZE;
}

static void journal_encode(const Journal *journal,
                           uint8_t bytes[static INSTANCE_JOURNAL_HEADER_SIZE])
{
    ByteWriter writer = byte_writer(bytes, INSTANCE_JOURNAL_HEADER_SIZE);

    byte_writer_put_bytes(&writer, JOURNAL_MAGIC, JOURNAL_MAGIC_SIZE);
    byte_writer_put_bytes(&writer, journal->uuid, sizeof(journal->uuid));
    byte_writer_put_le64(&writer, journal->size);
    byte_writer_put_bytes(&writer, journal->digest, sizeof(journal->digest));
    byte_writer_put_zeros(&writer, writer.capacity - writer.size);
}

/* Returns false for what is no journal, and for one that was not written to its end: that must not
 * be in anybody's way. */
static bool journal_decode(const uint8_t bytes[static INSTANCE_JOURNAL_HEADER_SIZE],
                           Journal *ret_journal)
{
    ByteReader reader = byte_reader(bytes, INSTANCE_JOURNAL_HEADER_SIZE);
    uint8_t magic[JOURNAL_MAGIC_SIZE];
    Journal journal;

    (void)byte_reader_get_bytes(&reader, magic, sizeof(magic)); /* all of it is there */
    (void)byte_reader_get_bytes(&reader, journal.uuid, sizeof(journal.uuid));
    (void)byte_reader_get_le64(&reader, &journal.size);
    (void)byte_reader_get_bytes(&reader, journal.digest, sizeof(journal.digest));
    *ret_journal = journal;
    return memcmp(magic, JOURNAL_MAGIC, sizeof(magic)) == 0 &&
           journal.size <= INSTANCE_JOURNAL_SIZE - INSTANCE_JOURNAL_HEADER_SIZE &&
           !guid_is_nil(journal.uuid);
}

static int write_and_sync(int fd, const void *bytes, size_t size, uint64_t offset)
{
    int r = fd_pwrite_all(fd, bytes, size, offset);
    if (r >= 0 && fdatasync(fd) < 0)
        r = -errno;
    return r;
}

static int journal_clear(const InstanceStore *store)
{
    static const uint8_t zeros[INSTANCE_JOURNAL_HEADER_SIZE];

    return write_and_sync(store->fd, zeros, sizeof(zeros), journal_get_offset(store));
}

static int journal_write(const InstanceStore *store,
                         const uint8_t uuid[static GUID_SIZE],
                         const uint8_t *sealed,
                         size_t size)
{
    uint8_t header[INSTANCE_JOURNAL_HEADER_SIZE];
    Journal journal = { .size = size };
    uint64_t offset = journal_get_offset(store);

    memcpy(journal.uuid, uuid, sizeof(journal.uuid));
    int r = crypto_hash(CRYPTO_SHA256, &(CryptoBytes){ sealed, size }, 1, journal.digest);
    if (r >= 0)
        r = write_and_sync(store->fd, sealed, size, offset + INSTANCE_JOURNAL_HEADER_SIZE);
    if (r < 0)
        return r;
    journal_encode(&journal, header);
    return write_and_sync(store->fd, header, sizeof(header), offset);
}

/* Does what the journal says, if it is whole. */
static int journal_finish(const InstanceStore *store, Error *error)
{
    uint8_t header[INSTANCE_JOURNAL_HEADER_SIZE], digest[CRYPTO_SHA256_SIZE];
    uint64_t offset = journal_get_offset(store);
    Journal journal;

    int r = byte_source_read(&store->source, offset, header, sizeof(header));
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the instance journal");
    if (!journal_decode(header, &journal))
        return 0;

    size_t size = (size_t)journal.size;
    _cleanup_free_ uint8_t *sealed = malloc(size + 1);
    if (!sealed)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = byte_source_read(&store->source, offset + INSTANCE_JOURNAL_HEADER_SIZE, sealed, size);
    if (r >= 0)
        r = crypto_hash(CRYPTO_SHA256, &(CryptoBytes){ sealed, size }, 1, digest);
    if (r < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the instance journal");
    if (memcmp(digest, journal.digest, sizeof(digest)) == 0) {
        const InstanceRecord *record = instance_image_find(store->image, journal.uuid);

        /* Nobody here makes one of a new record, or of another size. */
        if (!record || record->payload_size != size)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "the instance journal is of no record that is there");
        r = instance_image_write(store->fd, IMAGE_NAME, journal.uuid, sealed, size, error);
        if (r < 0)
            return r;
    }
    r = journal_clear(store);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot clear the instance journal") : 0;
}

/* --- the records --- */

static int read_list(InstanceStore *store, Error *error)
{
    InstanceImage *image;

    int r = instance_image_read(&store->source, &image, error);
    if (r < 0)
        return r;
    instance_image_free(store->image);
    store->image = image;
    if (image->end_offset + INSTANCE_RECORD_HEADER_SIZE > journal_get_offset(store))
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the records of the instance image reach into its journal");
    return 0;
}

int instance_store_open(int fd, InstanceStore **ret_store, Error *error)
{
    _cleanup_(instance_store_freep) InstanceStore *store = calloc(1, sizeof(*store));
    if (!store) {
        (void)fd_close(fd);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }

    store->fd = fd;
    int r = byte_source_from_fd(fd, IMAGE_NAME, &store->source, error);
    if (r < 0)
        return r;
    if (store->source.size < INSTANCE_IMAGE_HEADER_SIZE + 2 * INSTANCE_JOURNAL_SIZE)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "an instance image of %" PRIu64 " bytes is too small: at least %" PRIu64,
                         store->source.size,
                         INSTANCE_IMAGE_HEADER_SIZE + 2 * INSTANCE_JOURNAL_SIZE);
    r = read_list(store, error);
    if (r >= 0)
        r = journal_finish(store, error);
    if (r >= 0)
        r = read_list(store, error);
    if (r < 0)
        return r;

    *ret_store = TAKE_PTR(store);
    return 0;
}

bool instance_store_has(const InstanceStore *store, const uint8_t uuid[static GUID_SIZE])
{
    return instance_image_find(store->image, uuid);
}

int instance_store_read(const InstanceStore *store,
                        const uint8_t uuid[static GUID_SIZE],
                        const uint8_t key[static CRYPTO_KEY_SIZE],
                        void *plain,
                        size_t size,
                        Error *error)
{
    const InstanceRecord *record = instance_image_find(store->image, uuid);
    size_t sealed_size = size + CRYPTO_SEALED_MORE;

    if (!record)
        return -ENOENT;
    if (record->payload_size != sealed_size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the instance record at offset %" PRIu64 " has %" PRIu64
                         " bytes and not %zu",
                         record->offset, record->payload_size, sealed_size);
    _cleanup_free_ uint8_t *sealed = malloc(sealed_size);
    if (!sealed)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = instance_image_read_payload(&store->source, record, sealed, error);
    if (r < 0)
        return r;
    r = crypto_open(key, (CryptoBytes){ record->header, sizeof(record->header) },
                    (CryptoBytes){ sealed, sealed_size }, plain);
    if (r == -EBADMSG)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the instance record at offset %" PRIu64
                         " was altered, or is another instance's",
                         record->offset);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot open an instance record") : 0;
}

/* The header that the record has, or will have. */
static void get_header(const InstanceRecord *record,
                       const uint8_t uuid[static GUID_SIZE],
                       size_t sealed_size,
                       uint8_t header[static INSTANCE_RECORD_HEADER_SIZE])
{
    if (record)
        memcpy(header, record->header, INSTANCE_RECORD_HEADER_SIZE);
    else
        instance_record_make_header(uuid, sealed_size, header);
}

/* A new record and the end of the list behind it stay out of the journal. */
static int check_room(const InstanceStore *store, size_t sealed_size, Error *error)
{
    uint64_t start = store->image->end_offset, journal = journal_get_offset(store);
    uint64_t n_sectors = (sealed_size + SECTOR_SIZE - 1) / SECTOR_SIZE;

    if (start + n_sectors * SECTOR_SIZE + 2 * INSTANCE_RECORD_HEADER_SIZE > journal)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "the instance image is full: %" PRIu64 " of the %" PRIu64
                         " bytes before its journal are used, and the new record has %zu",
                         start, journal, sealed_size);
    return 0;
}

int instance_store_write(InstanceStore *store,
                         const uint8_t uuid[static GUID_SIZE],
                         const uint8_t key[static CRYPTO_KEY_SIZE],
                         const void *plain,
                         size_t size,
                         Error *error)
{
    uint8_t header[INSTANCE_RECORD_HEADER_SIZE];
    size_t sealed_size = size + CRYPTO_SEALED_MORE;
    const InstanceRecord *record = instance_image_find(store->image, uuid);
    /* One of another size is refused before anything is written. */
    bool journaled = record && sealed_size > SECTOR_SIZE && record->payload_size == sealed_size;

    if (size > INSTANCE_STORE_PLAIN_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "an instance record of %zu bytes is too large: at most %u", size,
                         INSTANCE_STORE_PLAIN_MAX);
    _cleanup_free_ uint8_t *sealed = malloc(sealed_size);
    if (!sealed)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = record ? 0 : check_room(store, sealed_size, error);
    /* An update that failed has left a part of the record, and the whole of it only in there. */
    if (r >= 0 && journaled)
        r = journal_finish(store, error);
    if (r < 0)
        return r;
    get_header(record, uuid, sealed_size, header);
    r = crypto_seal(key, (CryptoBytes){ header, sizeof(header) }, (CryptoBytes){ plain, size },
                    sealed);
    if (r >= 0 && journaled)
        r = journal_write(store, uuid, sealed, sealed_size);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot write an instance record");
    r = instance_image_write(store->fd, IMAGE_NAME, uuid, sealed, sealed_size, error);
    if (r >= 0 && journaled) {
        r = journal_clear(store);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot clear the instance journal");
    }
    return r < 0 ? r : read_list(store, error);
}
