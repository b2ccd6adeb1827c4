/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/partition-table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

#define BLOCK_DIRECTORY "/sys/class/block"

/* 1 for a partition with a label. */
static int read_entry(int directory, const char *name, PartitionEntry *entry)
{
    char path[300], text[1024], device[UEVENT_VALUE_MAX + 1];

    (void)snprintf(path, sizeof(path), "%s/uevent", name);
    _cleanup_close_ int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    if (size < 0)
        return -errno;
    text[size] = '\0';
    if (uevent_get(text, "PARTNAME", entry->label) < 0 || uevent_get(text, "DEVNAME", device) < 0)
        return 0;
    (void)snprintf(entry->path, sizeof(entry->path), "/dev/%s", device);
    return 1;
}

static int add_entry(PartitionTable *table, int directory, const char *name)
{
    PartitionEntry *grown =
        reallocarray(table->entries, table->n_entries + 1, sizeof(*table->entries));
    if (!grown)
        return -ENOMEM;
    table->entries = grown;
    int r = read_entry(directory, name, &grown[table->n_entries]);
    if (r > 0)
        table->n_entries++;
    return r;
}

int partition_table_read(PartitionTable **ret_table, Error *error)
{
    _cleanup_(partition_table_freep) PartitionTable *table = calloc(1, sizeof(*table));
    const struct dirent *entry;
    int r = 0;

    if (!table)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    DIR *directory = opendir(BLOCK_DIRECTORY);
    if (!directory)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot list the block devices");
    while (r >= 0 && (entry = readdir(directory))) {
        if (entry->d_name[0] != '.')
            r = add_entry(table, dirfd(directory), entry->d_name);
    }
    (void)closedir(directory); /* only read */
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot list the block devices");
    *ret_table = TAKE_PTR(table);
    return 0;
}

PartitionTable *partition_table_free(PartitionTable *table)
{
    if (!table)
        return NULL;
    free(table->entries);
    free(table);
    return NULL;
}

const char *partition_table_find(const PartitionTable *table, const char *label)
{
    for (size_t i = 0; i < table->n_entries; i++) {
        if (strcmp(table->entries[i].label, label) == 0)
            return table->entries[i].path;
    }
    return NULL;
}

int partition_table_open(
    const PartitionTable *table, const char *label, int mode, int *ret_fd, Error *error)
{
    const char *path = partition_table_find(table, label);
    if (!path)
        return error_set(error, ERROR_INVALID_FILE, "there is no partition '%s'", label);

    int fd = open(path, mode | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot open partition '%s'",
                               label);
    *ret_fd = fd;
    return 0;
}
