/* SPDX-License-Identifier: Apache-2.0 */
/* Verifies vbmeta as a boot loader does, and reads what the rest of the boot goes by. The trust
 * anchor is the public key that is in the initramfs; kernel and initramfs themselves were checked
 * against their descriptors by the host, before it started them. Without I/O. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/merkle-tree.h"
#include "guest/crypto.h"
#include "guest/dice.h"

/* The partition "super": the root file system and its hash tree. */
typedef struct VerifiedSystem {
    uint64_t n_data_blocks, tree_block; /* of MERKLE_BLOCK_SIZE */
    uint8_t root[MERKLE_HASH_SIZE];
    uint8_t salt[MERKLE_SALT_MAX];
    size_t salt_size;
} VerifiedSystem;

typedef struct VerifiedBoot {
    uint8_t code[DICE_HASH_SIZE];      /* SHA-512 of the hashes of kernel, initramfs and system */
    uint8_t authority[DICE_HASH_SIZE]; /* SHA-512 of the public key, AVB's form */
    uint64_t rollback_index;
    VerifiedSystem system;
} VerifiedBoot;

/* @vbmeta: the whole partition, in which bytes that nothing speaks of are zeros. @is_debuggable:
 * which of the two initramfs has booted. -EKEYREJECTED for one that is signed with another key than
 * @trusted, ERROR_IMAGE_INVALID for anything else that is wrong. */
int verified_boot_read(const ByteSource *vbmeta,
                       CryptoBytes trusted,
                       bool is_debuggable,
                       VerifiedBoot *ret_boot,
                       Error *error);
