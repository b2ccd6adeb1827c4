/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

static const char document[] =
    "{\"kernel\":\"vmlinux\",\"initrd\":\"initramfs\",\"disks\":["
    "{\"partitions\":[{\"label\":\"a\",\"path\":\"a.img\"},{\"label\":\"b\",\"path\":\"b.img\"}]},"
    "{\"image\":\"data.img\",\"writable\":true},{\"image\":\"a.img\"}]}";

typedef struct Fixture {
    VmConfig *config;
    VmFiles files;
} Fixture;

static int init(Fixture *fixture, const char *json, Error *error)
{
    assert_int_equal(vm_config_parse(json, UINT64_C(1) << 40, &fixture->config, NULL), 0);
    return vm_files_init(&fixture->files, fixture->config, error);
}

static void deinit(Fixture *fixture)
{
    vm_files_deinit(&fixture->files);
    fixture->config = vm_config_free(fixture->config);
}

static int setup(void **state)
{
    static Fixture fixture;

    *state = &fixture;
    return init(&fixture, document, NULL);
}

static int teardown(void **state)
{
    deinit(*state);
    return 0;
}

static int new_memory(off_t size)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    return fd;
}

/* The same file again, in another mode. */
static int reopen(int fd, int flags)
{
    int reopened = -EBADF;

    assert_int_equal(fd_reopen(fd, flags, &reopened), 0);
    return reopened;
}

static void assert_taken(Fixture *fixture, const char *key, int fd)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    int r = vm_files_take(&fixture->files, key, fd, &error);

    if (r < 0)
        print_message("%s\n", error_get_message(&error));
    assert_int_equal(r, 0);
    assert_int_equal(vm_files_find(&fixture->files, key)->fd, fd);
}

/* @fd is closed even so. */
static void assert_refused(Fixture *fixture, const char *key, int fd, const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert_true(vm_files_take(&fixture->files, key, fd, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_FILE);
    assert_string_equal(error_get_message(&error), sentence);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void every_named_file_is_listed_once(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        const char *key;
        VmFileUse use;
        bool writable, optional;
    } expected[] = {
        { "console-out", VM_FILE_OUTPUT, false, true },
        { "console-in", VM_FILE_INPUT, false, true },
        { "log", VM_FILE_OUTPUT, false, true },
        { "payload-out", VM_FILE_OUTPUT, false, true },
        { "vmlinux", VM_FILE_BOOT, false, false },
        { "initramfs", VM_FILE_BOOT, false, false },
        { "a.img", VM_FILE_DISK, false, false },
        { "b.img", VM_FILE_DISK, false, false },
        { "data.img", VM_FILE_DISK, true, false },
    };

    assert_int_equal(fixture->files.n_files, ELEMENTS_OF(expected));
    for (size_t i = 0; i < ELEMENTS_OF(expected); i++) {
        const VmFile *file = vm_files_find(&fixture->files, expected[i].key);

        assert_non_null(file);
        assert_int_equal(file->use, expected[i].use);
        assert_int_equal(file->writable, expected[i].writable);
        assert_int_equal(file->optional, expected[i].optional);
        assert_true(file->fd < 0);
    }
    assert_null(vm_files_find(&fixture->files, "c.img"));
}

static void key_with_two_uses_is_refused(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "{\"kernel\":\"console-out\"}",
        "{\"kernel\":\"log\"}",
        "{\"kernel\":\"x\",\"disks\":[{\"image\":\"x\"}]}",
        "{\"kernel\":\"k\",\"disks\":[{\"image\":\"x\",\"writable\":true},{\"image\":\"x\"}]}",
        "{\"kernel\":\"k\",\"disks\":[{\"image\":\"x\"},{\"image\":\"x\",\"writable\":true}]}",
        "{\"kernel\":\"k\",\"disks\":[{\"writable\":true,\"partitions\":["
        "{\"label\":\"a\",\"path\":\"x\",\"writable\":true},"
        "{\"label\":\"b\",\"path\":\"x\",\"writable\":true}]}]}",
    };

    for (size_t i = 0; i < ELEMENTS_OF(documents); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        Fixture fixture = { 0 };

        assert_int_equal(init(&fixture, documents[i], &error), -EINVAL);
        assert_int_equal(error.kind, ERROR_INVALID_CONFIG);
        assert_null(fixture.files.files);
        deinit(&fixture);
    }

    Fixture fixture = { 0 };
    assert_int_equal(init(&fixture, "{\"kernel\":\"x\",\"initrd\":\"x\"}", NULL), 0);
    assert_int_equal(fixture.files.n_files, 5);
    deinit(&fixture);
}

static void files_of_every_fitting_kind_are_taken(void **state)
{
    Fixture *fixture = *state;
    int in[2], out[2], pair[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_taken(fixture, "console-in", in[0]);
    assert_taken(fixture, "console-out", out[1]);
    assert_taken(fixture, "log", pair[0]);
    assert_taken(fixture, "payload-out", open("/dev/null", O_WRONLY | O_CLOEXEC));
    assert_taken(fixture, "vmlinux", new_memory(0));
    assert_taken(fixture, "data.img", new_memory(512));
    vm_files_drop(&fixture->files, "log");
    vm_files_drop(&fixture->files, "no such file");
    assert_int_equal(fcntl(pair[0], F_GETFD), -1);
    assert_taken(fixture, "log", new_memory(0)); /* a regular file */
    fd_close_many((int[]){ in[1], out[0], pair[1] }, 3);
}

static void files_of_the_wrong_kind_are_refused(void **state)
{
    Fixture *fixture = *state;
    int fds[2], pair[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_refused(fixture, "vmlinux", fds[0], "the file 'vmlinux' is a pipe, not a regular file");
    assert_refused(fixture, "a.img", pair[0],
                   "the file 'a.img' is a socket, not a regular file or a block device");
    assert_refused(fixture, "a.img", open("/dev/null", O_RDWR | O_CLOEXEC),
                   "the file 'a.img' is a character device, not a regular file or a block device");
    assert_refused(fixture, "log", open("/", O_RDONLY | O_CLOEXEC),
                   "the file 'log' is a directory, not a file, pipe, socket or terminal");
    assert_refused(fixture, "console-in", new_memory(0),
                   "the file 'console-in' is a regular file, not a pipe, socket or terminal");
    assert_refused(fixture, "c.img", fds[1],
                   "the configuration names no file 'c.img': leave it out");
    (void)fd_close(pair[1]);
}

static void files_of_the_wrong_access_mode_are_refused(void **state)
{
    Fixture *fixture = *state;
    _cleanup_close_ int image = new_memory(4096);
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_refused(fixture, "console-out", fds[0],
                   "the file 'console-out' is not open for writing");
    assert_refused(fixture, "console-in", fds[1], "the file 'console-in' is not open for reading");
    assert_refused(fixture, "vmlinux", reopen(image, O_WRONLY),
                   "the file 'vmlinux' is not open for reading");
    assert_refused(fixture, "a.img", reopen(image, O_WRONLY),
                   "the file 'a.img' is not open for reading");
    assert_refused(fixture, "a.img", reopen(image, O_PATH),
                   "the file 'a.img' is not open for reading");
    assert_refused(fixture, "data.img", reopen(image, O_RDONLY),
                   "the file 'data.img' is not open for reading and writing");
    assert_refused(fixture, "data.img", reopen(image, O_WRONLY),
                   "the file 'data.img' is not open for reading and writing");
    assert_refused(fixture, "data.img", reopen(image, O_RDWR | O_APPEND),
                   "the file 'data.img' is open for appending: all that the guest writes would "
                   "go to its end");
    assert_taken(fixture, "a.img", reopen(image, O_RDONLY));
    assert_refused(fixture, "a.img", reopen(image, O_RDONLY), "the file 'a.img' is there already");
}

static void missing_file_is_found_until_all_are_there(void **state)
{
    Fixture *fixture = *state;
    static const char *const needed[] = { "vmlinux", "initramfs", "a.img", "b.img", "data.img" };

    for (size_t i = 0; i < ELEMENTS_OF(needed); i++) {
        assert_string_equal(vm_files_find_missing(&fixture->files), needed[i]);
        assert_taken(fixture, needed[i], new_memory(4096));
    }
    assert_null(vm_files_find_missing(&fixture->files));
}

static void image_that_somebody_writes_is_not_shared(void **state)
{
    Fixture *fixture = *state;
    Fixture other = { 0 };
    _cleanup_close_ int image = new_memory(4096);

    assert_int_equal(init(&other, document, NULL), 0);
    assert_taken(fixture, "a.img", reopen(image, O_RDONLY));
    assert_taken(fixture, "b.img", reopen(image, O_RDONLY));
    assert_taken(&other, "a.img", reopen(image, O_RDONLY));
    assert_null(vm_files_find_conflict(&fixture->files, &fixture->files)); /* all of them read */
    assert_null(vm_files_find_conflict(&fixture->files, &other.files));
    assert_taken(&other, "vmlinux", reopen(image, O_RDONLY)); /* no disk */
    assert_null(vm_files_find_conflict(&fixture->files, &other.files));

    assert_taken(&other, "data.img", reopen(image, O_RDWR));
    const VmFile *file = vm_files_find_conflict(&fixture->files, &other.files);
    assert_non_null(file);
    assert_string_equal(file->key, "a.img");
    file = vm_files_find_conflict(&other.files, &fixture->files);
    assert_non_null(file);
    assert_non_null(vm_files_find_conflict(&other.files, &other.files)); /* within one VM */
    vm_files_drop(&other.files, "data.img");
    assert_null(vm_files_find_conflict(&fixture->files, &other.files));
    deinit(&other);
}

static int check_disks(Fixture *fixture, const char *sentence)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    int r = vm_files_check_disks(&fixture->files, fixture->config, &error);

    if (sentence)
        assert_string_equal(error_get_message(&error), sentence);
    return r;
}

static void disks_are_made_of_whole_sectors(void **state)
{
    Fixture *fixture = *state;

    assert_taken(fixture, "a.img", new_memory(1));
    assert_taken(fixture, "b.img", new_memory(4097));
    assert_taken(fixture, "data.img", new_memory(512));
    assert_int_equal(check_disks(fixture, NULL), 0);

    vm_files_drop(&fixture->files, "data.img");
    assert_taken(fixture, "data.img", new_memory(513));
    assert_int_equal(check_disks(fixture, "the writable disk image 'data.img' is not made of whole "
                                          "sectors of 512 bytes"),
                     -EBADF);
    vm_files_drop(&fixture->files, "data.img");
    assert_taken(fixture, "data.img", new_memory(0));
    assert_int_equal(check_disks(fixture, "the disk image 'data.img' is empty"), -EBADF);
    vm_files_drop(&fixture->files, "b.img");
    assert_taken(fixture, "b.img", new_memory(0));
    assert_int_equal(check_disks(fixture, "the file of partition 'b' is empty"), -EINVAL);
}

static void partitions_are_laid_out_by_the_sizes_of_their_files(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(composite_layout_freep) CompositeLayout *layout = NULL, *again = NULL;

    assert_taken(fixture, "a.img", new_memory(100));
    assert_taken(fixture, "b.img", new_memory(8192));
    assert_int_equal(vm_files_lay_out(&fixture->files, &fixture->config->disks[0], &layout, NULL),
                     0);
    assert_int_equal(layout->n_regions, 5); /* head, a, filler, b, tail */
    assert_true(layout->regions[1].size == 512);
    assert_true(layout->regions[3].size == 8192);
    /* Another disk has other GUIDs. */
    assert_int_equal(vm_files_lay_out(&fixture->files, &fixture->config->disks[0], &again, NULL),
                     0);
    assert_memory_not_equal(layout->head + 512 + 56, again->head + 512 + 56, GUID_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_named_file_is_listed_once, setup, teardown),
        cmocka_unit_test(key_with_two_uses_is_refused),
        cmocka_unit_test_setup_teardown(files_of_every_fitting_kind_are_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_the_wrong_kind_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_the_wrong_access_mode_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(missing_file_is_found_until_all_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(image_that_somebody_writes_is_not_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(disks_are_made_of_whole_sectors, setup, teardown),
        cmocka_unit_test_setup_teardown(partitions_are_laid_out_by_the_sizes_of_their_files, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
