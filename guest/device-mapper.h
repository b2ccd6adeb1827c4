/* SPDX-License-Identifier: Apache-2.0 */
/* Makes devices of the kernel's device mapper: dm-verity, whose every block read is checked against
 * a hash tree, and dm-crypt. Speaks to /dev/mapper/control itself, as libdevmapper has no static
 * library and waits for a udev that the guest has not; the nodes are devtmpfs's. The modules
 * are to be loaded before. Sources: the kernel's linux/dm-ioctl.h and its documentation,
 * admin-guide/device-mapper/{verity,dm-crypt}.rst. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define DEVICE_PATH_SIZE 32 /* of "/dev/dm-N" and "/dev/loopN" with the NUL */

#define DEVICE_MAPPER_NAME_MAX   127  /* the kernel's DM_NAME_LEN, less the NUL */
#define DEVICE_MAPPER_BLOCK_SIZE 4096 /* of data and tree, and of what is encrypted at once */
#define DEVICE_MAPPER_SECTOR     UINT64_C(512)
#define VERITY_HASH_SIZE         32  /* SHA-256, as everywhere here */
#define VERITY_SALT_MAX          256 /* the kernel's */
#define CRYPT_KEY_MAX            64  /* of AES-256-XTS */

/* A table of either kind in the kernel's text form, with the NUL. */
#define DEVICE_MAPPER_TABLE_SIZE 2048

typedef struct VerityTable {
    const char *data_device, *hash_device;
    uint64_t n_data_blocks;    /* of DEVICE_MAPPER_BLOCK_SIZE, as the next */
    uint64_t hash_start_block; /* where the top of the tree is on @hash_device */
    const uint8_t *salt;       /* may be NULL when @salt_size is 0 */
    size_t salt_size;
    uint8_t root[VERITY_HASH_SIZE];
    bool panic_on_corruption; /* else reading a block that was altered fails with EIO */
} VerityTable;

typedef struct CryptTable {
    const char *device;
    uint64_t offset_sectors, n_sectors; /* multiples of a block */
    const uint8_t *key;
    size_t key_size; /* 32 or CRYPT_KEY_MAX: AES-XTS takes it as two halves */
} CryptTable;

/* Write the table as the kernel reads it. -EINVAL for a number that no table can have or a path
 * that the kernel would read as two words, -ENAMETOOLONG for one that does not fit. The text of a
 * crypt table has the key in it. */
int device_mapper_format_verity(const VerityTable *table,
                                char text[static DEVICE_MAPPER_TABLE_SIZE]);
int device_mapper_format_crypt(const CryptTable *table, char text[static DEVICE_MAPPER_TABLE_SIZE]);

/* Make the device @name and write the path of its node into @path. What it is made over stays in
 * use as long as it is there. A verity device is read-only; nothing is read of it yet, so that a
 * wrong root shows when something is. */
int device_mapper_open_verity(const char *name,
                              const VerityTable *table,
                              char path[static DEVICE_PATH_SIZE],
                              Error *error);

/* AES-XTS over blocks, numbered from the beginning of the device. The key goes nowhere but into the
 * kernel, and every copy made here is wiped. */
int device_mapper_open_crypt(const char *name,
                             const CryptTable *table,
                             char path[static DEVICE_PATH_SIZE],
                             Error *error);

/* Fails with EBUSY while somebody has it open. */
int device_mapper_remove(const char *name, Error *error);

/* Whether any block that was read of the verity device @name was not what its root says. */
int device_mapper_is_corrupted(const char *name, bool *ret_is_corrupted, Error *error);
