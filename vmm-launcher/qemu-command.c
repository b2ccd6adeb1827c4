/* SPDX-License-Identifier: Apache-2.0 */
/* The argument vector of qemu-system-x86_64. Everything is configured here and by descriptor: a
 * QMP command costs QEMU 4 microseconds a byte. The machine is q35, as microvm hangs in a third of
 * its boots under TCG. */
#include "vmm-launcher/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/fd.h"
#include "composite-disk/region-table.h"
#include "protocol/guest-message.h"
#include "protocol/notify-message.h"

#define BYTES_PER_MIB  (UINT64_C(1) << 20)
#define FDSET_NAME_MAX 24

#define TCG_BUFFER_MIB_MIN 64
#define TCG_BUFFER_MIB_MAX 512
/* QEMU 7.2 takes 30 MiB of its own before the guest runs and up to 60 MiB with it, vsock-device and
 * stub 1 MiB; the rest is room for block requests under way and for other versions. */
#define OVERHEAD_BASE_MIB UINT64_C(192)
#define OVERHEAD_CPU_MIB  UINT64_C(8)

/* Adds "-option value"; gathers the first failure in *@r. */
#define ADD(option, ...)                                 \
    do {                                                 \
        if (*r >= 0)                                     \
            *r = vmm_command_add(command, "%s", option); \
        if (*r >= 0)                                     \
            *r = vmm_command_add(command, __VA_ARGS__);  \
    } while (0)

/* TCG keeps translated code in a buffer, and begins anew when it is full. QEMU's own choice is up
 * to 1 GiB; a booted Linux guest of 128 MiB fills 30 MiB. */
static uint64_t get_tcg_buffer_mib(const LaunchSpec *spec)
{
    uint64_t half_mib = spec->memory_bytes / BYTES_PER_MIB / 2;

    return half_mib < TCG_BUFFER_MIB_MIN   ? TCG_BUFFER_MIB_MIN
           : half_mib > TCG_BUFFER_MIB_MAX ? TCG_BUFFER_MIB_MAX
                                           : half_mib;
}

uint64_t qemu_get_overhead_bytes(const LaunchSpec *spec, bool use_kvm)
{
    /* Page tables of all processes that map the guest's memory, and what the kernel keeps of it. */
    uint64_t overhead = OVERHEAD_BASE_MIB * BYTES_PER_MIB + spec->memory_bytes / 64 +
                        spec->cpus * (OVERHEAD_CPU_MIB * BYTES_PER_MIB);

    return use_kvm ? overhead : overhead + get_tcg_buffer_mib(spec) * BYTES_PER_MIB;
}

static int give(VmmCommand *command, int *fd, int *r)
{
    int number = -EBADF;

    if (*r >= 0)
        *r = vmm_command_take_fd(command, take_fd(fd), &number);
    return number;
}

static void add_machine(VmmCommand *command, const VmmMachine *machine, int *r)
{
    const LaunchSpec *spec = machine->spec;
    uint64_t memory_mib = spec->memory_bytes / BYTES_PER_MIB;

    if (*r >= 0)
        *r = vmm_command_add(command, "%s", vmm_backend_qemu.path);
    if (*r >= 0)
        *r = vmm_command_add(command, "-nodefaults");
    if (*r >= 0)
        *r = vmm_command_add(command, "-no-user-config");
    if (*r >= 0)
        *r = vmm_command_add(command, "-no-reboot");
    if (*r >= 0)
        *r = vmm_command_add(command, "-S");
    ADD("-name", "%s", spec->id);
    ADD("-display", "none");
    ADD("-machine", "q35,memory-backend=ram,dump-guest-core=off,usb=off");
    if (machine->use_kvm)
        ADD("-accel", "kvm");
    else
        ADD("-accel", "tcg,tb-size=%" PRIu64, get_tcg_buffer_mib(spec));
    /* TCG runs "rep movsb" byte by byte, which is what Linux copies with where the processor says
     * that it is fast. Without, guests copy two to four times as fast. */
    ADD("-cpu", "%s", machine->use_kvm ? "host" : "max,-erms,-fsrm");
    ADD("-smp", "%" PRIu32, spec->cpus);
    ADD("-m", "%" PRIu64 "M", memory_mib);
    /* vsock-device maps this memory; QEMU seals its size. */
    ADD("-object", "memory-backend-memfd,id=ram,size=%" PRIu64 "M,share=on", memory_mib);
    ADD("-object", "rng-builtin,id=rng");
    ADD("-device", "virtio-rng-pci,rng=rng");
    ADD("-device", "pvpanic-pci");
    /* For a guest whose systemd is to tell what guest-manager tells elsewhere. */
    ADD("-smbios", "type=11,value=io.systemd.credential:vmm.notify_socket=vsock-stream:%d:%" PRIu32,
        GUEST_LINK_HOST_CID, NOTIFY_VSOCK_PORT);
    if (spec->balloon)
        ADD("-device", "virtio-balloon-pci,deflate-on-oom=on");
    ADD("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static void add_kernel(VmmCommand *command, const VmmMachine *machine, int *r)
{
    if (machine->bootloader) {
        ADD("-bios", "%s", machine->bootloader);
        return;
    }
    ADD("-kernel", "%s", machine->kernel);
    if (machine->initrd)
        ADD("-initrd", "%s", machine->initrd);
    ADD("-append", "%s", machine->spec->params);
}

static void add_channels(VmmCommand *command, VmmMachine *machine, int *r)
{
    ADD("-chardev", "socket,id=qmp,fd=%d", give(command, &machine->control, r));
    ADD("-mon", "chardev=qmp,mode=control");
    ADD("-chardev", "socket,id=console,fd=%d", give(command, &machine->console, r));
    ADD("-serial", "chardev:console");
    ADD("-chardev", "socket,id=vsock,fd=%d", give(command, &machine->vhost_vsock, r));
    ADD("-device", "vhost-user-vsock-pci,chardev=vsock");
}

/* The disk as a VMDK descriptor whose extents are fdset names: QEMU reads no other list of files.
 */
static int new_vmdk_descriptor(const LaunchDisk *disk,
                               const int *set_numbers,
                               int *ret_fd,
                               Error *error)
{
    char names[LAUNCH_SPEC_REGIONS_MAX][FDSET_NAME_MAX];
    Region regions[LAUNCH_SPEC_REGIONS_MAX];
    _cleanup_free_ char *text = NULL;
    size_t size;

    for (size_t i = 0; i < disk->n_regions; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "/dev/fdset/%d", set_numbers[i]);
        regions[i] = (Region){ .file = names[i],
                               .file_offset = disk->regions[i].file_offset,
                               .size = disk->regions[i].size };
    }
    int r = region_table_to_vmdk(regions, disk->n_regions, &text, &size, error);
    if (r < 0)
        return r;

    /* QEMU rewrites the CID of a disk that it opens for writing. */
    _cleanup_close_ int fd = memfd_create("vmdk", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = fd_write_all(fd, text, size);
    if (r < 0)
        return r;
    return fd_reopen(fd, disk->writable ? O_RDWR : O_RDONLY, ret_fd);
}

/* QEMU's locks are not ours, and to find out which kind of them there is it would want a /dev/null.
 * Only -drive takes options of extents. */
static char *dup_unlocked_extents(size_t n_extents)
{
    char *text = NULL;
    size_t size;

    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    for (size_t i = 0; i < n_extents; i++)
        fprintf(stream, ",extents.%zu.locking=off", i);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}

/* Puts @fd into an fdset of its own, whose number is the descriptor's. QEMU duplicates what is
 * added and closes the original, so a set per region is also a descriptor per region. */
static int add_fdset(VmmCommand *command, int fd, int *r)
{
    int number = give(command, &fd, r);

    ADD("-add-fd", "fd=%d,set=%d", number, number);
    return number;
}

static void add_disk(VmmCommand *command, VmmMachine *machine, size_t index, int *r, Error *error)
{
    const LaunchDisk *disk = &machine->spec->disks[index];
    const char *read_only = disk->writable ? "off" : "on";
    int set_numbers[LAUNCH_SPEC_REGIONS_MAX];

    /* QEMU wants the access mode of the description to be the disk's. */
    for (size_t i = 0; i < disk->n_regions; i++) {
        int fd = -EBADF;

        if (*r >= 0)
            *r = fd_reopen(machine->fds[disk->regions[i].fd_index],
                           disk->writable ? O_RDWR : O_RDONLY, &fd);
        set_numbers[i] = add_fdset(command, fd, r);
    }

    if (disk->n_regions == 1 && disk->regions[0].file_offset == 0) {
        ADD("-blockdev",
            "driver=raw,node-name=disk%zu,read-only=%s,file.driver=file,"
            "file.filename=/dev/fdset/%d,file.locking=off",
            index, read_only, set_numbers[0]);
    } else {
        int descriptor = -EBADF;

        if (*r >= 0)
            *r = new_vmdk_descriptor(disk, set_numbers, &descriptor, error);
        int set_number = add_fdset(command, descriptor, r);
        _cleanup_free_ char *no_locks = dup_unlocked_extents(disk->n_regions);
        if (!no_locks && *r >= 0)
            *r = -ENOMEM;
        ADD("-drive",
            "if=none,id=disk%zu,driver=vmdk,read-only=%s,auto-read-only=off,file.driver=file,"
            "file.filename=/dev/fdset/%d,file.locking=off%s",
            index, read_only, set_number, no_locks);
    }
    ADD("-device", "virtio-blk-pci,drive=disk%zu,disable-legacy=on", index);
}

int qemu_build_command(VmmMachine *machine, VmmCommand *command, Error *error)
{
    int result = 0, *r = &result;

    add_machine(command, machine, r);
    add_kernel(command, machine, r);
    add_channels(command, machine, r);
    for (size_t i = 0; i < machine->spec->n_disks; i++)
        add_disk(command, machine, i, r, error);

    if (result < 0)
        return error_set_errno(error, ERROR_START_FAILED, result, "cannot build QEMU's arguments");
    return 0;
}
