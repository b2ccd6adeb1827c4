/* SPDX-License-Identifier: Apache-2.0 */
/* Makes what a payload partition holds runnable: either a read-only file system with the program
 * /payload in it, or the program itself, written raw from the partition's first byte and followed
 * by zeros. Which of them is told by the magic numbers. */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Enough for the magic number farthest behind, ext4's. */
#define PAYLOAD_HEAD_SIZE 2048

typedef enum PayloadFormat {
    PAYLOAD_FORMAT_UNKNOWN,
    PAYLOAD_FORMAT_ELF,
    PAYLOAD_FORMAT_SCRIPT, /* starts with #! */
    PAYLOAD_FORMAT_EXT4,
    PAYLOAD_FORMAT_EROFS,
    PAYLOAD_FORMAT_SQUASHFS,
    PAYLOAD_FORMAT_MAX,
} PayloadFormat;

/* The format of what begins with @head. */
PayloadFormat payload_format_detect(const uint8_t *head, size_t size);

/* The type for mount(2), or NULL for what is no file system. */
const char *payload_format_get_filesystem(PayloadFormat format);

/* Copies the program at the start of @source into @destination, an empty file. Blocks of zeros
 * become holes, and behind a script's last line the zeros go. */
int payload_image_copy_program(int source, int destination, PayloadFormat format);

/* Mounts the file system on @device read-only at @directory, which is made unless it is there. */
int payload_image_mount(const char *device, const char *directory, Error *error);

typedef struct PayloadProgram {
    const char *path;
    const char *directory; /* where it starts: the root of its file system, or / */
} PayloadProgram;

/* Mounts or copies the payload on @device. The strings of @ret_program are static. */
int payload_image_prepare(const char *device, PayloadProgram *ret_program, Error *error);
