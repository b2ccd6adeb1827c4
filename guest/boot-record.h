/* SPDX-License-Identifier: Apache-2.0 */
/* What first-stage has recorded of the system that an instance was booted with first, or last: the
 * role of pvmfw's entry in AVF. A system of the same authority and the same mode is accepted when
 * its rollback index is not lower than the recorded one; it is recorded in turn, and keeps the
 * instance's secrets.
 *
 * Record of pvmfw's UUID: SHA-512 of code and authority, a random salt (64 bytes each), mode (8
 * bits), as in AVF, and behind them the rollback index (64 bits, little-endian). Source of the
 * first: AOSP, packages/modules/Virtualization, guest/pvmfw/src/instance.rs. */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "guest/dice.h"
#include "guest/instance-store.h"
#include "guest/verified-boot.h"

#define BOOT_RECORD_SALT_SIZE 64

typedef struct BootIdentity {
    uint8_t salt[BOOT_RECORD_SALT_SIZE];
    bool is_new; /* there was no record */
} BootIdentity;

/* Compares what has booted with the record, which is made in a new image. @key seals it.
 * ERROR_IMAGE_INVALID says what is different, or that the image was altered. */
int boot_record_check(InstanceStore *store,
                      const uint8_t key[static CRYPTO_KEY_SIZE],
                      const VerifiedBoot *boot,
                      DiceMode mode,
                      BootIdentity *ret_identity,
                      Error *error);
