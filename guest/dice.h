/* SPDX-License-Identifier: Apache-2.0 */
/* Open DICE's derivation of one stage's secrets from those of the stage before and from what was
 * found of the next: code, configuration, authority, mode and hidden inputs. The sealing secret
 * does not depend on code and configuration, so that an update by the same authority keeps it; the
 * attestation secret does. Certificates are not made; they would change no secret. Source: Open
 * Profile for DICE v2.5, "CDI values" (salts, info texts and sizes are open-dice's, src/dice.c). */
#pragma once

#include <stdint.h>

#define DICE_CDI_SIZE    32
#define DICE_HASH_SIZE   64 /* of SHA-512 */
#define DICE_HIDDEN_SIZE 64

/* Open DICE's numbers. */
typedef enum DiceMode {
    DICE_MODE_NOT_CONFIGURED = 0,
    DICE_MODE_NORMAL = 1,
    DICE_MODE_DEBUG = 2,
    DICE_MODE_MAINTENANCE = 3,
} DiceMode;

typedef struct DiceSecrets {
    uint8_t attest[DICE_CDI_SIZE], seal[DICE_CDI_SIZE];
} DiceSecrets;

typedef struct DiceInputs {
    uint8_t code[DICE_HASH_SIZE];
    uint8_t configuration[DICE_HASH_SIZE]; /* the hash of its descriptor */
    uint8_t authority[DICE_HASH_SIZE];
    DiceMode mode;
    uint8_t hidden[DICE_HIDDEN_SIZE];
} DiceInputs;

/* -ENOMEM. @ret_next may be @current. */
int dice_derive(const DiceSecrets *current, const DiceInputs *inputs, DiceSecrets *ret_next);
