/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"
#include "vmm-launcher/qemu.h"

#define FDS_MAX 300

typedef struct Fixture {
    LaunchSpec spec;
    LaunchDisk disks[2];
    LaunchRegion regions[LAUNCH_SPEC_REGIONS_MAX];
    LaunchRegion image;
    int fds[FDS_MAX];
    VmmMachine machine;
    VmmCommand command;
} Fixture;

static int new_file(void)
{
    int fd = memfd_create("x", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int setup(void **state)
{
    static char params[] = "console=ttyS0 a=b,c";
    Fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    for (size_t i = 0; i < FDS_MAX; i++)
        fixture->fds[i] = -EBADF;
    for (size_t i = 0; i < 8; i++)
        fixture->fds[i] = new_file();
    fixture->spec = (LaunchSpec){
        .id = "0123456789abcdef0123456789abcdef",
        .cid = 4096,
        .memory_bytes = UINT64_C(512) << 20,
        .cpus = 3,
        .params = params,
        .kernel = 0,
        .initrd = 1,
        .bootloader = LAUNCH_SPEC_NO_FD,
        .disks = fixture->disks,
    };
    fixture->machine = (VmmMachine){ .spec = &fixture->spec,
                                     .fds = fixture->fds,
                                     .kernel = "/vm/kernel",
                                     .initrd = "/vm/initrd",
                                     .control = new_file(),
                                     .console = new_file(),
                                     .vhost_vsock = new_file() };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    vmm_command_deinit(&fixture->command);
    fd_close_many(fixture->fds, FDS_MAX);
    fd_close_many(
        (int[]){ fixture->machine.control, fixture->machine.console, fixture->machine.vhost_vsock },
        3);
    free(fixture);
    return 0;
}

static void build(Fixture *fixture)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    int r = qemu_build_command(&fixture->machine, &fixture->command, &error);
    if (r < 0)
        print_message("%s\n", error_get_message(&error));
    assert_int_equal(r, 0);
    assert_null(fixture->command.argv[fixture->command.n_args]);
}

/* Whether "option value" is among the arguments. */
static bool has(const Fixture *fixture, const char *option, const char *value)
{
    for (size_t i = 0; i + 1 < fixture->command.n_args; i++) {
        if (strcmp(fixture->command.argv[i], option) == 0 &&
            strcmp(fixture->command.argv[i + 1], value) == 0)
            return true;
    }
    return false;
}

static bool has_option(const Fixture *fixture, const char *option)
{
    for (size_t i = 0; i < fixture->command.n_args; i++) {
        if (strcmp(fixture->command.argv[i], option) == 0)
            return true;
    }
    return false;
}

static int get_fd(const Fixture *fixture, int number)
{
    assert_true(number >= VMM_FIRST_FD && (size_t)number < VMM_FIRST_FD + fixture->command.n_fds);
    return fixture->command.fds[number - VMM_FIRST_FD];
}

static void machine_is_what_the_spec_says(void **state)
{
    Fixture *fixture = *state;

    build(fixture);
    assert_string_equal(fixture->command.argv[0], vmm_backend_qemu.path);
    assert_true(has_option(fixture, "-nodefaults"));
    assert_true(has_option(fixture, "-no-user-config"));
    assert_true(has_option(fixture, "-S"));
    assert_true(has(fixture, "-name", fixture->spec.id));
    assert_true(has(fixture, "-smp", "3"));
    assert_true(has(fixture, "-m", "512M"));
    assert_true(has(fixture, "-object", "memory-backend-memfd,id=ram,size=512M,share=on"));
    assert_true(has(fixture, "-cpu", "max,-erms,-fsrm"));
    assert_true(has(fixture, "-machine", "q35,memory-backend=ram,dump-guest-core=off,usb=off"));
    assert_true(has(fixture, "-accel", "tcg,tb-size=256"));
    assert_true(has(fixture, "-append", "console=ttyS0 a=b,c"));
    assert_true(has(fixture, "-sandbox",
                    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
}

static void kvm_brings_the_hosts_cpu(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.use_kvm = true;
    build(fixture);
    assert_true(has(fixture, "-cpu", "host"));
    assert_true(has(fixture, "-accel", "kvm"));
}

static void overhead_grows_with_the_machine(void **state)
{
    LaunchSpec spec = ((Fixture *)*state)->spec;
    const uint64_t mib = 1 << 20;

    assert_int_equal(qemu_get_overhead_bytes(&spec, true), (192 + 512 / 64 + 3 * 8) * mib);
    assert_int_equal(qemu_get_overhead_bytes(&spec, false), (192 + 512 / 64 + 3 * 8 + 256) * mib);
    spec.memory_bytes = mib; /* the smallest buffer of TCG */
    assert_int_equal(qemu_get_overhead_bytes(&spec, false),
                     qemu_get_overhead_bytes(&spec, true) + 64 * mib);
    spec.memory_bytes = 16384 * mib; /* and the largest */
    assert_int_equal(qemu_get_overhead_bytes(&spec, false),
                     qemu_get_overhead_bytes(&spec, true) + 512 * mib);
}

static void descriptors_move_into_the_command_in_order(void **state)
{
    Fixture *fixture = *state;
    const int expected[] = { fixture->machine.control, fixture->machine.console,
                             fixture->machine.vhost_vsock };

    build(fixture);
    assert_int_equal(fixture->command.n_fds, ELEMENTS_OF(expected));
    assert_memory_equal(fixture->command.fds, expected, sizeof(expected));
    assert_true(has(fixture, "-kernel", "/vm/kernel"));
    assert_true(has(fixture, "-initrd", "/vm/initrd"));
    assert_true(has(fixture, "-chardev", "socket,id=qmp,fd=3"));
    assert_true(has(fixture, "-chardev", "socket,id=console,fd=4"));
    assert_true(has(fixture, "-chardev", "socket,id=vsock,fd=5"));
    assert_true(fixture->machine.control == -EBADF && fixture->machine.console == -EBADF &&
                fixture->machine.vhost_vsock == -EBADF);
}

static void bootloader_stands_in_place_of_a_kernel(void **state)
{
    Fixture *fixture = *state;

    fixture->machine.kernel = fixture->machine.initrd = NULL;
    fixture->machine.bootloader = "/vm/bootloader";
    build(fixture);
    assert_true(has(fixture, "-bios", "/vm/bootloader"));
    assert_false(has_option(fixture, "-kernel"));
    assert_false(has_option(fixture, "-initrd"));
    assert_false(has_option(fixture, "-append"));
}

static void disks_are_made_of_their_regions(void **state)
{
    Fixture *fixture = *state;
    char text[1024];

    fixture->regions[0] = (LaunchRegion){ .fd_index = 3, .size = 20480 };
    fixture->regions[1] = (LaunchRegion){ .fd_index = 4, .file_offset = 1024, .size = 4096 };
    fixture->regions[2] = (LaunchRegion){ .fd_index = 3, .size = 512 };
    fixture->image = (LaunchRegion){ .fd_index = 5, .size = 1 << 20 };
    fixture->disks[0] = (LaunchDisk){ .n_regions = 3, .regions = fixture->regions };
    fixture->disks[1] =
        (LaunchDisk){ .writable = true, .n_regions = 1, .regions = &fixture->image };
    fixture->spec.n_disks = 2;
    build(fixture);

    assert_true(has(fixture, "-add-fd", "fd=6,set=6"));
    assert_true(has(fixture, "-add-fd", "fd=10,set=10"));
    assert_true(has(fixture, "-drive",
                    "if=none,id=disk0,driver=vmdk,read-only=on,auto-read-only=off,file.driver=file,"
                    "file.filename=/dev/fdset/9,file.locking=off,extents.0.locking=off,"
                    "extents.1.locking=off,extents.2.locking=off"));
    assert_true(has(fixture, "-blockdev",
                    "driver=raw,node-name=disk1,read-only=off,file.driver=file,"
                    "file.filename=/dev/fdset/10,file.locking=off"));
    assert_true(has(fixture, "-device", "virtio-blk-pci,drive=disk0,disable-legacy=on"));
    assert_true(has(fixture, "-device", "virtio-blk-pci,drive=disk1,disable-legacy=on"));
    /* The access mode is the disk's, and each region's file is opened for it alone. */
    for (int number = 6; number <= 10; number++)
        assert_int_equal(fd_get_access_mode(get_fd(fixture, number)),
                         number == 10 ? O_RDWR : O_RDONLY);
    assert_true(fixture->fds[3] >= 0 && fixture->fds[5] >= 0);

    ssize_t size = read(get_fd(fixture, 9), text, sizeof(text) - 1);
    assert_true(size > 0);
    text[size] = '\0';
    assert_string_equal(text, "# Disk DescriptorFile\n"
                              "version=1\n"
                              "CID=fffffffe\n"
                              "parentCID=ffffffff\n"
                              "createType=\"twoGbMaxExtentFlat\"\n"
                              "RW 40 FLAT \"/dev/fdset/6\" 0\n"
                              "RW 8 FLAT \"/dev/fdset/7\" 2\n"
                              "RW 1 FLAT \"/dev/fdset/8\" 0\n"
                              "ddb.adapterType = \"ide\"\n");
}

static void image_that_begins_inside_its_file_has_a_descriptor(void **state)
{
    Fixture *fixture = *state;

    fixture->image = (LaunchRegion){ .fd_index = 5, .file_offset = 512, .size = 512 };
    fixture->disks[0] =
        (LaunchDisk){ .writable = true, .n_regions = 1, .regions = &fixture->image };
    fixture->spec.n_disks = 1;
    build(fixture);
    assert_true(
        has(fixture, "-drive",
            "if=none,id=disk0,driver=vmdk,read-only=off,auto-read-only=off,file.driver=file,"
            "file.filename=/dev/fdset/7,file.locking=off,extents.0.locking=off"));
    assert_int_equal(fd_get_access_mode(get_fd(fixture, 7)), O_RDWR);
}

/* 128 partitions, each with its filler: a spec may have it, so QEMU's arguments must hold it. */
static void disk_with_the_most_regions_is_built(void **state)
{
    Fixture *fixture = *state;

    for (size_t i = 0; i < LAUNCH_SPEC_REGIONS_MAX; i++)
        fixture->regions[i] = (LaunchRegion){ .fd_index = 3, .size = 512 };
    fixture->disks[0] =
        (LaunchDisk){ .n_regions = LAUNCH_SPEC_REGIONS_MAX, .regions = fixture->regions };
    fixture->spec.n_disks = 1;
    build(fixture);
    assert_int_equal(fixture->command.n_fds, 3 + LAUNCH_SPEC_REGIONS_MAX + 1);
}

static void file_that_is_not_there_is_an_error(void **state)
{
    Fixture *fixture = *state;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    fixture->image = (LaunchRegion){ .fd_index = 20, .size = 512 };
    fixture->disks[0] = (LaunchDisk){ .n_regions = 1, .regions = &fixture->image };
    fixture->spec.n_disks = 1;
    assert_int_equal(qemu_build_command(&fixture->machine, &fixture->command, &error), -ENOENT);
    assert_int_equal(error.kind, ERROR_START_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(machine_is_what_the_spec_says, setup, teardown),
        cmocka_unit_test_setup_teardown(kvm_brings_the_hosts_cpu, setup, teardown),
        cmocka_unit_test_setup_teardown(overhead_grows_with_the_machine, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_move_into_the_command_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bootloader_stands_in_place_of_a_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(disks_are_made_of_their_regions, setup, teardown),
        cmocka_unit_test_setup_teardown(image_that_begins_inside_its_file_has_a_descriptor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(disk_with_the_most_regions_is_built, setup, teardown),
        cmocka_unit_test_setup_teardown(file_that_is_not_there_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
