/* SPDX-License-Identifier: Apache-2.0 */
/* Instance images of the smallest size that a store takes, in memory files. */
#pragma once

#include "guest/instance-store.h"

#define MADE_INSTANCE_SIZE (INSTANCE_IMAGE_HEADER_SIZE + 2 * (size_t)INSTANCE_JOURNAL_SIZE)

void made_instance_blank(uint8_t image[static MADE_INSTANCE_SIZE]);

/* A file with these bytes, which the caller closes. */
int made_instance_file(const uint8_t image[static MADE_INSTANCE_SIZE]);

/* The store in a file, which is taken, or in one with these bytes; the caller frees it. */
InstanceStore *made_instance_open_file(int fd);
InstanceStore *made_instance_open(const uint8_t image[static MADE_INSTANCE_SIZE]);

/* The bytes of the file that a store is in. */
void made_instance_read(const InstanceStore *store, uint8_t image[static MADE_INSTANCE_SIZE]);
