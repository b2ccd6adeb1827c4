/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest keeps about itself from one boot to the next: records in the instance image, each
 * sealed with a key of its writer's (AES-256-GCM; the record's header is authenticated as well). An
 * update is there whole or not at all, whatever moment the power goes at. The container is
 * composite-disk/instance-image.h's, AVF's.
 *
 * What fits a sector is written in one. For a larger record the new bytes go to a journal first, at
 * the end of the image, where AVF has none: whoever opens the image finishes a journal that is
 * whole, and ignores one that is not. The journal is not trusted: what it holds is sealed like
 * what is in the record.
 *
 *   journal: magic (16 bytes), UUID, size (64 bits, little-endian), SHA-256 of the bytes, zeros up
 *   to 512; the bytes
 *
 * The host keeps the image and can put an older one in its place, or an older copy of one record:
 * see SECURITY.md. */
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/instance-image.h"
#include "guest/crypto.h"

/* At the end of the image; a record with its seal is at most as large. */
#define INSTANCE_JOURNAL_SIZE        (UINT64_C(64) << 10)
#define INSTANCE_STORE_PLAIN_MAX     (32U << 10)
#define INSTANCE_JOURNAL_HEADER_SIZE 512

typedef struct InstanceStore {
    int fd;
    ByteSource source;
    InstanceImage *image;
} InstanceStore;

/* Takes @fd, open on an instance image for reading and writing, finishes its journal and reads
 * the list of records. ERROR_IMAGE_INVALID as instance_image_read(), for an image that has no room
 * for a journal, and for a whole journal of no record that is there. */
int instance_store_open(int fd, InstanceStore **ret_store, Error *error);
InstanceStore *instance_store_free(InstanceStore *store);
DEFINE_CLEANUP(InstanceStore, instance_store_free);

/* Whether there is a record of that UUID. */
bool instance_store_has(const InstanceStore *store, const uint8_t uuid[static GUID_SIZE]);

/* Opens the record of this UUID into @plain, which has @size bytes, exactly the record's. 0,
 * -ENOENT when there is none, or ERROR_IMAGE_INVALID when it is of another size or was not sealed
 * with
 * @key: altered, or another instance's. */
int instance_store_read(const InstanceStore *store,
                        const uint8_t uuid[static GUID_SIZE],
                        const uint8_t key[static CRYPTO_KEY_SIZE],
                        void *plain,
                        size_t size,
                        Error *error);

/* Seals @size bytes, at most INSTANCE_STORE_PLAIN_MAX, into the record of this UUID, new or of the
 * same size. It is on the disk when this returns. A larger one and one that has no room before the
 * journal are ERROR_LIMITS_EXCEEDED, another size is ERROR_INVALID_ARGUMENT; they change nothing.
 */
int instance_store_write(InstanceStore *store,
                         const uint8_t uuid[static GUID_SIZE],
                         const uint8_t key[static CRYPTO_KEY_SIZE],
                         const void *plain,
                         size_t size,
                         Error *error);
