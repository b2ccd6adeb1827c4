/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes from the kernel, as many as are asked for. */
#pragma once

#include <stddef.h>

/* Waits until the kernel has seeded its generator, once after the machine's start. */
int random_fill(void *buffer, size_t size);
