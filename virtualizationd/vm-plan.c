/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-plan.h"

#include "virtualizationd/bus-dict.h"
#include "virtualizationd/capabilities.h"

#define USEC_PER_MSEC UINT64_C(1000)

static const char *name_use(VmFileUse use)
{
    static const char *const names[] = {
        [VM_FILE_BOOT] = "boot",
        [VM_FILE_DISK] = "disk",
        [VM_FILE_OUTPUT] = "output",
        [VM_FILE_INPUT] = "input",
    };

    return names[use];
}

static bool append_file(const VmFile *file, BusDictArray *files)
{
    BusDict dict;

    return bus_dict_open(&dict, &files->elements) && bus_dict_add_string(&dict, "key", file->key) &&
           bus_dict_add_string(&dict, "use", name_use(file->use)) &&
           bus_dict_add_bool(&dict, "writable", file->writable) &&
           bus_dict_add_bool(&dict, "from-host", file->is_hosts) && bus_dict_close(&dict);
}

/* The files that the VM would have. */
static bool append_files(const VmFiles *files, BusDict *plan)
{
    BusDictArray array;

    bool done = bus_dict_open_array(plan, "files", &array);
    for (size_t i = 0; done && i < files->n_files; i++) {
        if (files->files[i].is_there)
            done = append_file(&files->files[i], &array);
    }
    return done && bus_dict_close_array(plan, &array);
}

static bool append_partition(const VmConfigPartition *partition, BusDictArray *partitions)
{
    BusDict dict;

    return bus_dict_open(&dict, &partitions->elements) &&
           bus_dict_add_string(&dict, "label", partition->label) &&
           bus_dict_add_string(&dict, "key", partition->path) &&
           bus_dict_add_bool(&dict, "writable", partition->writable) && bus_dict_close(&dict);
}

static bool append_disk(const VmConfigDisk *disk, BusDictArray *disks)
{
    BusDictArray partitions;
    BusDict dict;

    bool done = bus_dict_open(&dict, &disks->elements) &&
                bus_dict_add_bool(&dict, "writable", disk->writable);
    if (done && disk->image)
        done = bus_dict_add_string(&dict, "key", disk->image);
    if (done && !disk->image) {
        done = bus_dict_open_array(&dict, "partitions", &partitions);
        for (size_t i = 0; done && i < disk->n_partitions; i++)
            done = append_partition(&disk->partitions[i], &partitions);
        done = done && bus_dict_close_array(&dict, &partitions);
    }
    return done && bus_dict_close(&dict);
}

static bool append_disks(const VmConfig *config, BusDict *plan)
{
    BusDictArray array;

    bool done = bus_dict_open_array(plan, "disks", &array);
    for (size_t i = 0; done && i < config->n_disks; i++)
        done = append_disk(&config->disks[i], &array);
    return done && bus_dict_close_array(plan, &array);
}

static const char *name_accelerator(const Vm *vm)
{
    if (vm->config->accelerator == ACCELERATOR_AUTO)
        return vm->daemon->kvm_usable ? "kvm" : "tcg";
    return vm->config->accelerator == ACCELERATOR_TCG ? "tcg" : "kvm";
}

bool vm_plan_append(const Vm *vm, DBusMessageIter *arguments)
{
    const VmConfig *config = vm->config;
    BusDict plan;

    return bus_dict_open(&plan, arguments) &&
           bus_dict_add_string(&plan, "name", config->name ? config->name : "") &&
           bus_dict_add_string(&plan, "vmm", "qemu") && /* the one back end */
           bus_dict_add_string(&plan, "accelerator", name_accelerator(vm)) &&
           bus_dict_add_u64(&plan, "memory", config->memory_bytes) &&
           bus_dict_add_u32(&plan, "cpus", vm->cpus) &&
           bus_dict_add_bool(&plan, "balloon", config->balloon) &&
           bus_dict_add_string(&plan, "vsock", "user") && /* the one transport */
           bus_dict_add_string(&plan, "params", config->params) &&
           bus_dict_add_u64(&plan, "payload-timeout", config->payload_timeout_ms * USEC_PER_MSEC) &&
           append_files(&vm->files, &plan) && append_disks(config, &plan) &&
           capabilities_append_layers(vm->daemon, &plan) && bus_dict_close(&plan);
}
