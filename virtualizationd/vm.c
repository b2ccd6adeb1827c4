/* SPDX-License-Identifier: Apache-2.0 */
/* The table of VMs, and how one comes into it and leaves it. */
#include "virtualizationd/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/random.h"
#include "common/text.h"
#include "dbus/interfaces.h"
#include "virtualizationd/vm-app.h"
#include "virtualizationd/vm-directory.h"
#include "virtualizationd/vm-follow.h"

#define CREATION_EVENT 1

/* --- the table of VMs --- */

Vm *vm_find_by_id(Daemon *daemon, const char *id)
{
    Vm *vm;

    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (strcmp(vm->id, id) == 0)
            return vm;
    }
    return NULL;
}

Vm *vm_find(Daemon *daemon, const char *name_or_id)
{
    Vm *vm = vm_find_by_id(daemon, name_or_id);

    if (vm)
        return vm;
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (vm->state != VM_DEAD && strcmp(vm->name, name_or_id) == 0)
            return vm;
    }
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (strcmp(vm->name, name_or_id) == 0)
            return vm; /* the newest dead one: they are put in at the head */
    }
    return NULL;
}

/* --- creation --- */

static int choose_id(Vm *vm)
{
    uint8_t random[LAUNCH_SPEC_ID_SIZE / 2];

    int r = random_fill(random, sizeof(random));
    if (r < 0)
        return r;
    text_hex(random, sizeof(random), vm->id);
    return 0;
}

static int choose_name(Vm *vm, Error *error)
{
    const Vm *holder = vm->config->name ? vm_find(vm->daemon, vm->config->name) : NULL;

    if (holder && holder->state != VM_DEAD)
        return error_set(error, ERROR_VM_EXISTS, "the name '%s' is taken by VM %s",
                         vm->config->name, holder->id);
    vm->name = strdup(vm->config->name ? vm->config->name : vm->id);
    if (!vm->name)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return 0;
}

static uint32_t choose_cpus(const Vm *vm)
{
    if (vm->config->cpu_topology == CPU_TOPOLOGY_ONE_CPU)
        return 1;
    return vm->daemon->host_cpus < LAUNCH_SPEC_CPUS_MAX ? vm->daemon->host_cpus
                                                        : LAUNCH_SPEC_CPUS_MAX;
}

static int charge_life(Vm *vm, Error *error)
{
    int r = quota_charge_open(vm->daemon->quota, vm->owner, &vm->charge, error);

    if (r >= 0)
        r = quota_charge_set(&vm->charge, QUOTA_VMS, 1, error);
    if (r >= 0)
        r = quota_charge_set(&vm->charge, QUOTA_CPUS, vm->cpus, error);
    if (r >= 0)
        r = quota_charge_set(&vm->charge, QUOTA_MEMORY, vm->config->memory_bytes, error);
    return r;
}

/* It is there: what it has counts, even above the limit. */
static int charge_adopted(Vm *vm, Error *error)
{
    int r = quota_charge_open(vm->daemon->quota, vm->owner, &vm->charge, error);

    if (r < 0)
        return r;
    quota_charge_force(&vm->charge, QUOTA_VMS, 1);
    quota_charge_force(&vm->charge, QUOTA_CPUS, vm->cpus);
    quota_charge_force(&vm->charge, QUOTA_MEMORY, vm->config->memory_bytes);
    return 0;
}

int vm_charge_files(Vm *vm, Error *error)
{
    uint64_t n_open = 0;

    for (size_t i = 0; i < vm->files.n_files; i++)
        n_open += vm->files.files[i].fd >= 0;
    return quota_charge_set(&vm->charge, QUOTA_FILES, n_open, error);
}

/* How fast its guest will be is for the launcher to find out, which looks at what the daemon has
 * looked at. */
static bool is_slow(const Vm *vm)
{
    const Daemon *daemon = vm->daemon;
    LaunchAccelerator accelerator = vm->config->accelerator;

    return daemon->is_nested || accelerator == ACCELERATOR_TCG ||
           (accelerator == ACCELERATOR_AUTO && !daemon->kvm_usable);
}

/* Makes the VM's configuration and its list of files, with what the host has of them. */
static int init_app(Vm *vm, Error *error)
{
    const Daemon *daemon = vm->daemon;
    const VmAppConfig *app = vm->config->app;
    _cleanup_(os_image_freep) OsImage *os = NULL;

    if (!instance_registry_has(daemon->instances, app->instance_id, vm->owner))
        return error_set(error, ERROR_NO_SUCH_INSTANCE,
                         "/payload/instance_id: it is no instance of yours: AllocateInstanceId "
                         "gives one, ClaimInstance makes one of another host yours");
    int r = os_image_open(daemon->options->os_dirs, app->os, app->debug_level, &os, error);
    if (r >= 0)
        r = vm_app_assemble(vm->config, os, is_slow(vm), error);
    if (r >= 0)
        r = vm_config_check_memory(vm->config, daemon->host_memory_bytes, error);
    if (r >= 0)
        r = vm_files_init(&vm->files, vm->config, error);
    return r < 0 ? r : vm_app_bring_files(vm->config, os, &vm->files, error);
}

static int init_config(Vm *vm, const char *json, Error *error)
{
    int r = vm_config_parse(json, vm->daemon->host_memory_bytes, &vm->config, error);

    if (r < 0)
        return r;
    return vm->config->app ? init_app(vm, error) : vm_files_init(&vm->files, vm->config, error);
}

static int vm_init(Vm *vm, const VmRequest *request, Error *error)
{
    Daemon *daemon = vm->daemon;
    char path[sizeof(BUS_VM_PATH_PREFIX) + LAUNCH_SPEC_ID_SIZE];

    /* Before anything is read: work is what this limits. */
    int r = quota_count_creation(daemon->quota, vm->owner, monotonic_usec(), error);
    if (r < 0)
        return r;
    r = init_config(vm, request->config_json, error);
    if (r < 0)
        return r;
    vm->cpus = choose_cpus(vm);
    r = charge_life(vm, error);
    if (r < 0)
        return r;
    vm->config_json = strdup(request->config_json);
    if (!vm->config_json)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    r = choose_id(vm);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "no random numbers");
    r = choose_name(vm, error);
    if (r < 0)
        return r;
    if (request->client) {
        vm->client = strdup(request->client);
        if (!vm->client)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    r = cid_pool_acquire(&daemon->cids, &vm->cid);
    if (r < 0)
        return error_set_errno(error, ERROR_LIMITS_EXCEEDED, r, "no CID is left");

    (void)snprintf(path, sizeof(path), BUS_VM_PATH_PREFIX "%s", vm->id);
    return bus_object_new(daemon->bus, path, &vm_interface, vm, false, &vm->object, error);
}

void vm_release_life(Vm *vm)
{
    boot_check_leave(&vm->boot_check);
    vm_files_deinit(&vm->files);
    if (vm->cid != 0)
        cid_pool_release(&vm->daemon->cids, vm->cid);
    quota_charge_release(&vm->charge);
}

/* Everything but its place in the table and its directory. */
static void release(Vm *vm)
{
    if (vm->state != VM_DEAD)
        vm_release_life(vm);
    quota_charge_release(&vm->charge);
    sd_event_source_disable_unref(vm->connection_io);
    (void)fd_close(vm->connection);
    sd_event_source_disable_unref(vm->forget_timer);
    bus_object_free(vm->object);
    vm_config_free(vm->config);
    event_history_deinit(&vm->history);
    free(vm->config_json);
    free(vm->record);
    free(vm->crash_report);
    free(vm->client);
    free(vm->name);
    free(vm);
}

/* A VM in the state "not-started" that is nothing yet. */
static Vm *vm_alloc(Daemon *daemon)
{
    Vm *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return NULL;
    vm->daemon = daemon;
    vm->state = VM_NOT_STARTED;
    vm->last_event = vm->announced = vm->acknowledged = CREATION_EVENT;
    vm->connection = -EBADF;
    vm_channels_init(&vm->channels);
    return vm;
}

int vm_new(Daemon *daemon, const VmRequest *request, Vm **ret_vm, Error *error)
{
    Vm *vm = vm_alloc(daemon);
    if (!vm)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    vm->owner = request->owner;
    vm->start_paused = request->paused;
    vm->seccomp_action = request->seccomp_action;
    vm->created_usec = realtime_usec();

    int r = vm_init(vm, request, error);
    if (r < 0) {
        release(vm);
        return r;
    }
    LIST_INSERT_HEAD(&daemon->vms, vm, link);
    *ret_vm = vm;
    return 0;
}

/* The files of the record's images are not ours to open again; who they are is enough. */
static int restore_files(Vm *vm, const VmRecord *record, Error *error)
{
    int r = vm_files_init(&vm->files, vm->config, error);

    for (size_t i = 0; r >= 0 && i < record->n_images; i++) {
        const VmRecordImage *image = &record->images[i];
        const struct stat status = { .st_mode = image->mode,
                                     .st_dev = image->device,
                                     .st_ino = image->inode,
                                     .st_rdev = image->rdevice };

        r = vm_files_note(&vm->files, image->key, &status, error);
    }
    return r;
}

static int restore(Vm *vm, const VmRecord *record, Error *error)
{
    char path[sizeof(BUS_VM_PATH_PREFIX) + LAUNCH_SPEC_ID_SIZE];

    memcpy(vm->id, record->id, sizeof(vm->id));
    vm->owner = record->owner;
    vm->cpus = record->cpus;
    vm->seccomp_action = record->seccomp_action;
    vm->created_usec = record->created_usec;
    vm->name = strdup(record->name);
    vm->config_json = strdup(record->config);
    vm->client = *record->client ? strdup(record->client) : NULL;
    if (!vm->name || !vm->config_json || (*record->client && !vm->client))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    /* It has its memory, whatever this host has become. */
    int r = vm_config_parse(record->config, UINT64_MAX, &vm->config, error);
    if (r >= 0 && vm->config->app)
        r = vm_app_assemble(vm->config, NULL, is_slow(vm), error);
    if (r < 0)
        return r;
    if (record->memory_bytes != 0)
        vm->config->memory_bytes = record->memory_bytes;
    r = charge_adopted(vm, error);
    if (r < 0)
        return r;
    r = restore_files(vm, record, error);
    if (r < 0)
        return r;
    r = cid_pool_take(&vm->daemon->cids, record->cid);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "its CID %u is another VM's", record->cid);
    vm->cid = record->cid;
    (void)snprintf(path, sizeof(path), BUS_VM_PATH_PREFIX "%s", vm->id);
    return bus_object_new(vm->daemon->bus, path, &vm_interface, vm, false, &vm->object, error);
}

int vm_new_from_record(Daemon *daemon, const VmRecord *record, Vm **ret_vm, Error *error)
{
    Vm *vm = vm_alloc(daemon);
    if (!vm)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    vm->state = VM_STARTING;
    vm->is_recorded = true;
    int r = restore(vm, record, error);
    if (r < 0) {
        release(vm);
        return r;
    }
    LIST_INSERT_HEAD(&daemon->vms, vm, link);
    *ret_vm = vm;
    return 0;
}

Vm *vm_leave(Vm *vm)
{
    if (!vm)
        return NULL;

    vm_answer_waiting(vm, ERROR_UNAVAILABLE, "the daemon ends");
    LIST_REMOVE(vm, link);
    release(vm);
    return NULL;
}

Vm *vm_free(Vm *vm)
{
    if (vm)
        vm_directory_remove(vm->daemon->vms_fd, vm->id);
    return vm_leave(vm);
}

const Vm *vm_find_image_user(const Daemon *daemon, const struct stat *status)
{
    Vm *vm;

    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if (vm_files_use_image(&vm->files, status))
            return vm;
    }
    return NULL;
}

int vm_check_files(Vm *vm, Error *error)
{
    Vm *other;

    LIST_FOREACH(other, &vm->daemon->vms, link)
    {
        const VmFile *file = vm_files_find_conflict(&vm->files, &other->files);
        if (file)
            return error_set(error, ERROR_IMAGE_BUSY,
                             "the image '%s' is used by VM '%s', and one of both uses writes it",
                             file->key, other->name);
    }
    if (vm_files_find_missing(&vm->files))
        return 0;
    return vm_files_check_disks(&vm->files, vm->config, error);
}
