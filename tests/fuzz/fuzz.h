/* SPDX-License-Identifier: Apache-2.0 */
/* The entry of a fuzz target, called by libFuzzer or by replay.c, once for each input. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
