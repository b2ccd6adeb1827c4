/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd-message.h"
#include "common/fd.h"

#define MSEC_PER_SEC 1000U

/* The descriptors of a launch: lent from the VM's files, or made here. */
typedef struct FdList {
    int fds[LAUNCH_SPEC_FDS_MAX];
    bool owned[LAUNCH_SPEC_FDS_MAX];
    size_t n_fds;
} FdList;

static FdList *fd_list_free(FdList *list)
{
    if (!list)
        return NULL;

    for (size_t i = 0; i < list->n_fds; i++) {
        if (list->owned[i])
            (void)fd_close(list->fds[i]);
    }
    free(list);
    return NULL;
}
DEFINE_CLEANUP(FdList, fd_list_free);

static int fd_list_add(FdList *list, int fd, bool owned, uint16_t *ret_index, Error *error)
{
    if (list->n_fds == LAUNCH_SPEC_FDS_MAX) {
        if (owned)
            (void)fd_close(fd);
        return error_set(error, ERROR_LIMITS_EXCEEDED, "a VM takes at most %d files",
                         LAUNCH_SPEC_FDS_MAX);
    }
    list->fds[list->n_fds] = fd;
    list->owned[list->n_fds] = owned;
    *ret_index = (uint16_t)list->n_fds++;
    return 0;
}

static int add_file(
    FdList *list, const VmFiles *files, const char *key, uint16_t *ret_index, Error *error)
{
    const VmFile *file = key ? vm_files_find(files, key) : NULL;

    *ret_index = LAUNCH_SPEC_NO_FD;
    return file && file->fd >= 0 ? fd_list_add(list, file->fd, false, ret_index, error) : 0;
}

static int add_memory(FdList *list,
                      const char *name,
                      const void *data,
                      size_t size,
                      uint16_t *ret_index,
                      Error *error)
{
    int fd;

    int r = memfd_new_sealed(name, data, size, &fd);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot make a file in memory");
    return fd_list_add(list, fd, true, ret_index, error);
}

static int add_image(
    FdList *list, const Vm *vm, const VmConfigDisk *disk, LaunchDisk *launch_disk, Error *error)
{
    const VmFile *file = vm_files_find(&vm->files, disk->image);
    uint64_t size = (uint64_t)file->status.st_size;

    launch_disk->regions = calloc(1, sizeof(LaunchRegion));
    if (!launch_disk->regions)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    launch_disk->n_regions = 1;
    /* The VMM sees the whole file; a device's size it finds itself. */
    launch_disk->regions[0].size = size < LAUNCH_SPEC_SECTOR_SIZE
                                       ? LAUNCH_SPEC_SECTOR_SIZE
                                       : size - size % LAUNCH_SPEC_SECTOR_SIZE;
    return add_file(list, &vm->files, disk->image, &launch_disk->regions[0].fd_index, error);
}

static int add_regions(FdList *list,
                       const Vm *vm,
                       const VmConfigDisk *disk,
                       const CompositeLayout *layout,
                       LaunchDisk *launch_disk,
                       Error *error)
{
    static const uint8_t zeros[COMPOSITE_ALIGNMENT];
    uint16_t head, tail, filler;

    int r = add_memory(list, "gpt-head", layout->head, layout->head_size, &head, error);
    if (r >= 0)
        r = add_memory(list, "gpt-tail", layout->tail, sizeof(layout->tail), &tail, error);
    if (r >= 0)
        r = add_memory(list, "filler", zeros, sizeof(zeros), &filler, error);
    for (size_t i = 0; r >= 0 && i < layout->n_regions; i++) {
        const CompositeRegion *region = &layout->regions[i];
        LaunchRegion *launch_region = &launch_disk->regions[i];

        launch_region->size = region->size;
        switch (region->kind) {
        case COMPOSITE_HEAD:
            launch_region->fd_index = head;
            break;
        case COMPOSITE_TAIL:
            launch_region->fd_index = tail;
            break;
        case COMPOSITE_FILLER:
            launch_region->fd_index = filler;
            break;
        case COMPOSITE_PARTITION:
            r = add_file(list, &vm->files, disk->partitions[region->partition].path,
                         &launch_region->fd_index, error);
            break;
        }
    }
    return r;
}

static int add_partitions(
    FdList *list, const Vm *vm, const VmConfigDisk *disk, LaunchDisk *launch_disk, Error *error)
{
    _cleanup_(composite_layout_freep) CompositeLayout *layout = NULL;

    int r = vm_files_lay_out(&vm->files, disk, &layout, error);
    if (r < 0)
        return r;
    launch_disk->regions = calloc(layout->n_regions, sizeof(LaunchRegion));
    if (!launch_disk->regions)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    launch_disk->n_regions = (uint16_t)layout->n_regions;
    return add_regions(list, vm, disk, layout, launch_disk, error);
}

static int fill_disks(LaunchSpec *spec, FdList *list, const Vm *vm, Error *error)
{
    const VmConfig *config = vm->config;

    if (config->n_disks == 0)
        return 0;
    spec->disks = calloc(config->n_disks, sizeof(LaunchDisk));
    if (!spec->disks)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    for (size_t i = 0; i < config->n_disks; i++) {
        const VmConfigDisk *disk = &config->disks[i];
        LaunchDisk *launch_disk = &spec->disks[spec->n_disks++];

        launch_disk->writable = disk->writable;
        int r = disk->image ? add_image(list, vm, disk, launch_disk, error)
                            : add_partitions(list, vm, disk, launch_disk, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int fill_spec(
    LaunchSpec *spec, FdList *list, const Vm *vm, const VmLaunchSockets *sockets, Error *error)
{
    const Settings *settings = &vm->daemon->settings;
    const VmConfig *config = vm->config;
    const struct {
        const char *key;
        uint16_t *index;
    } files[] = {
        { config->kernel, &spec->kernel },           { config->initrd, &spec->initrd },
        { config->bootloader, &spec->bootloader },   { VM_FILE_CONSOLE_OUT, &spec->console_out },
        { VM_FILE_CONSOLE_IN, &spec->console_in },   { VM_FILE_LOG, &spec->log },
        { VM_FILE_PAYLOAD_OUT, &spec->payload_out },
    };

    memcpy(spec->id, vm->id, sizeof(spec->id));
    spec->cid = vm->cid;
    spec->memory_bytes = config->memory_bytes;
    spec->cpus = vm->cpus;
    spec->accelerator = config->accelerator;
    spec->seccomp_action = vm->seccomp_action;
    spec->paused = vm->start_paused;
    spec->balloon = config->balloon;
    if (config->app) {
        spec->has_instance = true;
        memcpy(spec->instance_id, config->app->instance_id, sizeof(spec->instance_id));
    }
    spec->payload_timeout_ms = config->payload_timeout_ms;
    spec->orphan_timeout_ms = vm->client ? (uint32_t)(settings->orphan_sec * MSEC_PER_SEC) : 0;
    spec->record_timeout_ms = (uint32_t)(settings->death_record_sec * MSEC_PER_SEC);
    spec->params = strdup(config->params);
    if (!spec->params)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    int r = fd_list_add(list, sockets->stub, false, &spec->stub_socket, error);
    if (r >= 0)
        r = fd_list_add(list, sockets->supervisor, false, &spec->supervisor_socket, error);
    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(files); i++)
        r = add_file(list, &vm->files, files[i].key, files[i].index, error);
    return r < 0 ? r : fill_disks(spec, list, vm, error);
}

static int send_message(int connection,
                        SupervisorMessageType type,
                        size_t value,
                        const int *fds,
                        size_t n_fds,
                        Error *error)
{
    const SupervisorMessage message = { .type = type,
                                        .version = SUPERVISOR_PROTOCOL_VERSION,
                                        .value = (uint32_t)value };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    size_t size = supervisor_message_encode(&message, bytes);

    int r = fd_message_send(connection, bytes, size, fds, n_fds);
    if (r < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, r, "cannot send the launcher its job");
    return 0;
}

static int send_spec(const LaunchSpec *spec, const FdList *list, int connection, Error *error)
{
    _cleanup_free_ uint8_t *bytes = NULL;
    _cleanup_close_ int spec_fd = -EBADF;
    size_t size;

    int r = launch_spec_encode(spec, &bytes, &size);
    if (r >= 0)
        r = memfd_new_sealed("launch-spec", bytes, size, &spec_fd);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot make the launch spec");

    r = send_message(connection, SUPERVISOR_LAUNCH, list->n_fds, &spec_fd, 1, error);
    for (size_t done = 0; r >= 0 && done < list->n_fds;) {
        size_t left = list->n_fds - done;
        size_t n_fds = left < FD_MESSAGE_FDS_MAX ? left : FD_MESSAGE_FDS_MAX;

        r = send_message(connection, SUPERVISOR_FILES, n_fds, list->fds + done, n_fds, error);
        done += n_fds;
    }
    return r;
}

int vm_launch_send(const Vm *vm, int connection, const VmLaunchSockets *sockets, Error *error)
{
    _cleanup_(launch_spec_deinit) LaunchSpec spec = { 0 };
    _cleanup_(fd_list_freep) FdList *list = calloc(1, sizeof(*list));
    if (!list)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    int r = fill_spec(&spec, list, vm, sockets, error);
    return r < 0 ? r : send_spec(&spec, list, connection, error);
}
