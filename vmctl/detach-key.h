/* SPDX-License-Identifier: Apache-2.0 */
/* The key by which a person gets away from a guest that has the terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define DETACH_KEY_PRESSES  3
#define DETACH_KEY_USEC_MAX 1000000 /* from the first press to the last */

typedef struct DetachKey {
    uint8_t key;
    unsigned n_needed, n_pressed;
    uint64_t pressed_usec[DETACH_KEY_PRESSES]; /* the last n_pressed, oldest first */
} DetachKey;

/* Ctrl+] three times within a second where @text is NULL, as machinectl has it; else the key that
 * it names, once, as virsh has it: one character, or ^ and one for Ctrl. */
int detach_key_init(DetachKey *detach, const char *text, Error *error);

/* How it is pressed, for a person. */
const char *detach_key_describe(const DetachKey *detach, char text[static 64]);

/* How many of the bytes typed at @now_usec stand before the press that detaches; all @size if none
 * does. */
size_t detach_key_inspect(DetachKey *detach, const uint8_t *bytes, size_t size, uint64_t now_usec);
