/* SPDX-License-Identifier: Apache-2.0 */
/* The storage that a payload keeps from run to run, encrypted for its instance alone: a file system
 * in dm-crypt on a partition of the host's. Made when the partition is first seen.
 *
 * The host cannot read what is in there, but it can put back what was there before, and spoil it:
 * there is no integrity but the checksums of ext4's own data.
 *
 * The layout is not AVF's, whose dm-crypt begins at 0 and which overwrites the mark of a new
 * partition before it makes the file system, so that a crash in between leaves storage that is
 * neither. Here the first 4096 bytes are the header's, and it changes when all else is done:
 *
 *   0     header (512), zeros          a new partition: UNFORMATTED-STORAGE, see partition-image.h
 *   4096  ext4 in dm-crypt, AES-XTS over blocks of 4096
 *
 *   header   ENCRYPTED-STORAGE1 and zeros (32), salt (32), check (32), zeros */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "guest/device-mapper.h"

#define ENCRYPTED_STORAGE_MOUNT_POINT "/mnt/encryptedstore"
#define ENCRYPTED_STORAGE_KEY_SIZE    64
#define ENCRYPTED_STORAGE_HEADER_SIZE 512
#define ENCRYPTED_STORAGE_SALT_SIZE   32
#define ENCRYPTED_STORAGE_CHECK_SIZE  32

/* Of storage that was formatted. */
typedef struct EncryptedStorageHeader {
    uint8_t salt[ENCRYPTED_STORAGE_SALT_SIZE];
    uint8_t check[ENCRYPTED_STORAGE_CHECK_SIZE]; /* tells whose it is without a try to read it */
} EncryptedStorageHeader;

/* Returns 1, 0 for a partition that is to be formatted, or -EBADMSG for one that is neither. */
int encrypted_storage_decode(const uint8_t bytes[static ENCRYPTED_STORAGE_HEADER_SIZE],
                             EncryptedStorageHeader *ret_header);
void encrypted_storage_encode(const EncryptedStorageHeader *header,
                              uint8_t ret_bytes[static ENCRYPTED_STORAGE_HEADER_SIZE]);

typedef struct EncryptedStorageKeys {
    uint8_t crypt[CRYPT_KEY_MAX];
    uint8_t check[ENCRYPTED_STORAGE_CHECK_SIZE];
} EncryptedStorageKeys;

/* What follows from the instance's key for the storage with @salt. The caller wipes both. */
int encrypted_storage_derive(const uint8_t key[static ENCRYPTED_STORAGE_KEY_SIZE],
                             const uint8_t salt[static ENCRYPTED_STORAGE_SALT_SIZE],
                             EncryptedStorageKeys *ret_keys);

/* Mounts the storage in the partition @device, after formatting it where it is new, which
 * @ret_formatted tells; its root belongs to the payload then. @key is the instance's, of this
 * storage's own. ERROR_IMAGE_INVALID for a partition that is another instance's or none at all: it
 * is not touched. */
int encrypted_storage_mount(const char *device,
                            const uint8_t key[static ENCRYPTED_STORAGE_KEY_SIZE],
                            bool *ret_formatted,
                            Error *error);

/* All that was written so far is on the host's disk. */
int encrypted_storage_sync(Error *error);

/* Nobody has a file open in it any more. What was written is on the host's disk then. */
int encrypted_storage_unmount(Error *error);
