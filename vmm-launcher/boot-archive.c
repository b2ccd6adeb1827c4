/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/boot-archive.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define MAGIC        "070701"
#define N_FIELDS     13
#define FIELD_DIGITS 8
#define ALIGNMENT    4 /* of names' and contents' ends, counted from the archive's beginning */

#define TRAILER_NAME "TRAILER!!!"

/* Fills up to the next multiple of @alignment behind @start. */
static void pad(ByteWriter *writer, size_t start, size_t alignment)
{
    size_t rest = (writer->size - start) % alignment;

    if (rest != 0)
        byte_writer_put_zeros(writer, alignment - rest);
}

static void put_header(
    ByteWriter *writer, uint32_t number, uint32_t mode, uint32_t file_size, uint32_t name_size)
{
    const uint32_t fields[N_FIELDS] = {
        number,    mode,      0, /* uid */
        0,                       /* gid */
        1,                       /* links */
        0,                       /* time of the last change */
        file_size, 0,            /* the numbers of the device that it is on */
        0,         0,            /* those of the device that it is */
        0,         name_size, 0, /* the sum, of another format */
    };
    char digits[FIELD_DIGITS + 1];

    byte_writer_put_bytes(writer, MAGIC, strlen(MAGIC));
    for (size_t i = 0; i < ELEMENTS_OF(fields); i++) {
        (void)snprintf(digits, sizeof(digits), "%08X", fields[i]); /* eight digits take 32 bits */
        byte_writer_put_bytes(writer, digits, FIELD_DIGITS);
    }
}

static void put_member(ByteWriter *writer,
                       size_t start,
                       uint32_t number,
                       uint32_t mode,
                       const char *name,
                       const void *bytes,
                       uint32_t size)
{
    size_t name_size = strlen(name) + 1;

    put_header(writer, number, mode, size, (uint32_t)name_size);
    byte_writer_put_bytes(writer, name, name_size);
    pad(writer, start, ALIGNMENT);
    byte_writer_put_bytes(writer, bytes, size);
    pad(writer, start, ALIGNMENT);
}

void boot_archive_put(ByteWriter *writer, const char *name, const void *bytes, uint32_t size)
{
    size_t start = writer->size;

    put_member(writer, start, 1, S_IFREG | S_IRUSR, name, bytes, size);
    put_member(writer, start, 0, 0, TRAILER_NAME, "", 0);
    pad(writer, start, BOOT_ARCHIVE_BLOCK_SIZE);
}
