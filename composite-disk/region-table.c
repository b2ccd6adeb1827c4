/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/region-table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"

static int check_region(const Region *region, size_t index, Error *error)
{
    const char *label = region->label ? region->label : "between the partitions";

    if (region->size == 0 || region->size % REGION_SECTOR_SIZE != 0 ||
        region->file_offset % REGION_SECTOR_SIZE != 0)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "piece %zu of the disk ('%s') is not made of whole sectors of %d bytes",
                         index, label, REGION_SECTOR_SIZE);
    if (strlen(region->file) > REGION_FILE_NAME_MAX || strchr(region->file, '"') ||
        !text_has_no_control(region->file))
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "the name of the file of '%s' is longer than %d bytes, or has a quotation "
                         "mark or a control character",
                         label, REGION_FILE_NAME_MAX);
    return 0;
}

static int check_regions(const Region *regions, size_t n_regions, Error *error)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < n_regions; i++)
        r = check_region(&regions[i], i, error);
    return r;
}

static int check_one_mode(const Region *regions, size_t n_regions, Error *error)
{
    const Region *first = NULL;

    for (size_t i = 0; i < n_regions; i++) {
        if (!regions[i].label)
            continue;
        if (first && first->writable != regions[i].writable)
            return error_set(error, ERROR_NOT_SUPPORTED,
                             "partition '%s' is %s and '%s' is %s, which a VMDK cannot say: put "
                             "writable partitions on a disk of their own",
                             first->label, first->writable ? "writable" : "read-only",
                             regions[i].label, regions[i].writable ? "writable" : "read-only");
        first = first ? first : &regions[i];
    }
    return 0;
}

static int close_text(FILE *stream, char **text, char **ret_text, Error *error)
{
    if (fclose(stream) != 0) {
        free(*text);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    *ret_text = *text;
    return 0;
}

int region_table_to_vmdk(
    const Region *regions, size_t n_regions, char **ret_text, size_t *ret_size, Error *error)
{
    _cleanup_free_ char *finished = NULL;
    char *text = NULL;
    size_t size = 0;

    int r = check_regions(regions, n_regions, error);
    if (r >= 0)
        r = check_one_mode(regions, n_regions, error);
    if (r < 0)
        return r;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    fputs("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
          "createType=\"twoGbMaxExtentFlat\"\n",
          stream);
    /* QEMU reads no other access than RW: the mode is the disk's. */
    for (size_t i = 0; i < n_regions; i++)
        fprintf(stream, "RW %" PRIu64 " FLAT \"%s\" %" PRIu64 "\n",
                regions[i].size / REGION_SECTOR_SIZE, regions[i].file,
                regions[i].file_offset / REGION_SECTOR_SIZE);
    fputs("ddb.adapterType = \"ide\"\n", stream);
    r = close_text(stream, &text, &finished, error);
    if (r < 0)
        return r;
    if (size > REGION_VMDK_MAX)
        return error_set(error, ERROR_NOT_SUPPORTED,
                         "the VMDK descriptor gets %zu bytes; QEMU reads at most %d", size,
                         REGION_VMDK_MAX);
    *ret_text = TAKE_PTR(finished);
    *ret_size = size;
    return 0;
}

int region_table_to_device_mapper(
    const Region *regions, size_t n_regions, char **ret_text, size_t *ret_size, Error *error)
{
    uint64_t begin = 0;
    char *text = NULL;

    int r = check_regions(regions, n_regions, error);
    for (size_t i = 0; r >= 0 && i < n_regions; i++) {
        if (strchr(regions[i].file, ' '))
            r = error_set(error, ERROR_NOT_SUPPORTED,
                          "the file name '%s' has a space, which a device mapper table cannot say",
                          regions[i].file);
    }
    if (r < 0)
        return r;
    FILE *stream = open_memstream(&text, ret_size);
    if (!stream)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < n_regions; i++) {
        uint64_t n_sectors = regions[i].size / REGION_SECTOR_SIZE;

        fprintf(stream, "%" PRIu64 " %" PRIu64 " linear %s %" PRIu64 "\n", begin, n_sectors,
                regions[i].file, regions[i].file_offset / REGION_SECTOR_SIZE);
        begin += n_sectors;
    }
    return close_text(stream, &text, ret_text, error);
}
