/* SPDX-License-Identifier: Apache-2.0 */
/* A directory made here in place of the kernel's list of block devices. */
#include "guest/partition-table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);

static char top[] = "/tmp/test-partition-table-XXXXXX";

DIR *__wrap_opendir(const char *path)
{
    assert_string_equal(path, "/sys/class/block");
    return __real_opendir(top);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(top + strlen(top) - 6, "XXXXXX");
    return mkdtemp(top) ? 0 : -1;
}

static void for_each_device(void (*call)(const char *path))
{
    DIR *directory = __real_opendir(top);
    const struct dirent *entry;
    char path[512];

    while (directory && (entry = readdir(directory))) {
        (void)snprintf(path, sizeof(path), "%s/%s", top, entry->d_name);
        if (entry->d_name[0] != '.')
            call(path);
    }
    if (directory)
        (void)closedir(directory);
}

static void remove_device(const char *path)
{
    char uevent[600];

    (void)snprintf(uevent, sizeof(uevent), "%s/uevent", path);
    (void)unlink(uevent);
    (void)rmdir(path);
}

static int tear_down(void **state)
{
    (void)state;
    for_each_device(remove_device);
    return rmdir(top);
}

static void add_device(const char *name, const char *text)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    assert_int_equal(mkdir(path, 0700), 0);
    if (!text)
        return;
    (void)snprintf(path, sizeof(path), "%s/%s/uevent", top, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void add_partition(const char *name, const char *label)
{
    char text[400];

    (void)snprintf(text, sizeof(text),
                   "MAJOR=254\nMINOR=1\nDEVNAME=%s\nDEVTYPE=partition\nPARTN=1\nPARTNAME=%s\n",
                   name, label);
    add_device(name, text);
}

static PartitionTable *read_table(void)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    PartitionTable *table;

    if (partition_table_read(&table, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return table;
}

static void a_device_is_found_by_the_label_it_has(void **state)
{
    (void)state;
    char longest[UEVENT_VALUE_MAX + 2] = "";

    memset(longest, 'l', UEVENT_VALUE_MAX);
    add_device("vda", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n");
    add_partition("vda1", "payload-metadata");
    add_partition("vda2", "payload");
    add_partition("vda3", "name = \"with\" = signs");
    add_partition("vda4", longest);
    _cleanup_(partition_table_freep) PartitionTable *table = read_table();
    assert_int_equal(table->n_entries, 4);
    assert_string_equal(partition_table_find(table, "payload"), "/dev/vda2");
    assert_string_equal(partition_table_find(table, "payload-metadata"), "/dev/vda1");
    assert_string_equal(partition_table_find(table, "name = \"with\" = signs"), "/dev/vda3");
    assert_string_equal(partition_table_find(table, longest), "/dev/vda4");
    assert_null(partition_table_find(table, "payload-"));
    assert_null(partition_table_find(table, ""));
    assert_null(partition_table_find(table, "vda"));
}

static void devices_without_a_label_that_fits_are_left_out(void **state)
{
    (void)state;
    char too_long[UEVENT_VALUE_MAX + 2] = "";

    memset(too_long, 'l', UEVENT_VALUE_MAX + 1);
    add_device("loop0", "DEVNAME=loop0\n");
    add_device("dm-0", "");
    add_device("vdb1", "PARTNAME=nameless\n"); /* without a device */
    add_partition("vdb2", too_long);
    add_partition("vdb3", "vm-instance");
    _cleanup_(partition_table_freep) PartitionTable *table = read_table();
    assert_int_equal(table->n_entries, 1);
    assert_string_equal(partition_table_find(table, "vm-instance"), "/dev/vdb3");
}

static void a_full_disk_of_partitions_is_read(void **state)
{
    (void)state;
    char name[32], label[32];

    for (int i = 1; i <= 128; i++) {
        (void)snprintf(name, sizeof(name), "vda%d", i);
        (void)snprintf(label, sizeof(label), "extra-apk-%d", i);
        add_partition(name, label);
    }
    _cleanup_(partition_table_freep) PartitionTable *table = read_table();
    assert_int_equal(table->n_entries, 128);
    for (int i = 1; i <= 128; i++) {
        (void)snprintf(name, sizeof(name), "/dev/vda%d", i);
        (void)snprintf(label, sizeof(label), "extra-apk-%d", i);
        assert_string_equal(partition_table_find(table, label), name);
    }
}

static void no_device_at_all_is_an_empty_table(void **state)
{
    (void)state;
    _cleanup_(partition_table_freep) PartitionTable *table = read_table();

    assert_int_equal(table->n_entries, 0);
    assert_null(partition_table_find(table, "payload"));
}

static void what_cannot_be_read_is_told(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    PartitionTable *table = NULL;

    add_partition("vda1", "payload");
    add_device("vda2", NULL);
    assert_int_equal(partition_table_read(&table, &error), -ENOENT);
    assert_null(table);
    assert_int_equal(error.kind, ERROR_FAILED);
    assert_non_null(strstr(error_get_message(&error), "cannot list the block devices"));
}

static void a_partition_is_opened_by_its_label(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    struct stat status;
    int fd = -1;

    add_device("vda1", "DEVNAME=null\nPARTNAME=there\n");
    add_device("vda2", "DEVNAME=no-such-device\nPARTNAME=gone\n");
    _cleanup_(partition_table_freep) PartitionTable *table = read_table();
    assert_int_equal(partition_table_open(table, "there", O_RDWR, &fd, &error), 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(fd_get_access_mode(fd), O_RDWR);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);

    fd = -1;
    assert_int_equal(partition_table_open(table, "gone", O_RDONLY, &fd, &error), -ENOENT);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    assert_non_null(strstr(error_get_message(&error), "cannot open partition 'gone'"));
    error_clear(&error);
    assert_true(partition_table_open(table, "other", O_RDONLY, &fd, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    assert_string_equal(error_get_message(&error), "there is no partition 'other'");
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_is_found_by_the_label_it_has, set_up, tear_down),
        cmocka_unit_test_setup_teardown(devices_without_a_label_that_fits_are_left_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_of_partitions_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_device_at_all_is_an_empty_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_partition_is_opened_by_its_label, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
