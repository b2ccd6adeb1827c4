/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/manager-interface.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/clock.h"
#include "common/text.h"
#include "config.h"
#include "dbus/interfaces.h"
#include "virtualizationd/authorization.h"
#include "virtualizationd/bus-dict.h"
#include "virtualizationd/capabilities.h"
#include "virtualizationd/daemon.h"
#include "virtualizationd/disk-job.h"
#include "virtualizationd/files-argument.h"
#include "virtualizationd/instance-registry.h"
#include "virtualizationd/kill-point.h"
#include "virtualizationd/os-list.h"
#include "virtualizationd/vm-events.h"
#include "virtualizationd/vm-plan.h"
#include "virtualizationd/vm.h"

typedef struct CreateOptions {
    bool detached;
    bool start;
    bool paused;
    LaunchSeccompAction seccomp_action;
} CreateOptions;

static int read_lifetime(DBusMessageIter *variant, bool *ret_detached, Error *error)
{
    const char *lifetime;

    if (dbus_message_iter_get_arg_type(variant) != DBUS_TYPE_STRING)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the option 'lifetime' is a string");
    dbus_message_iter_get_basic(variant, &lifetime);
    *ret_detached = strcmp(lifetime, "detached") == 0;
    if (!*ret_detached && strcmp(lifetime, "client") != 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the option 'lifetime' is 'client' or 'detached', not '%s'", lifetime);
    return 0;
}

static int read_seccomp_action(DBusMessageIter *variant,
                               LaunchSeccompAction *ret_action,
                               Error *error)
{
    const char *action;

    if (dbus_message_iter_get_arg_type(variant) != DBUS_TYPE_STRING)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the option 'seccomp-action' is a string");
    dbus_message_iter_get_basic(variant, &action);
    if (launch_seccomp_action_from_string(action, ret_action) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the option 'seccomp-action' is 'kill', 'errno' or 'log', not '%s'",
                         action);
    return 0;
}

static int read_boolean(DBusMessageIter *variant, const char *name, bool *ret_value, Error *error)
{
    dbus_bool_t value;

    if (dbus_message_iter_get_arg_type(variant) != DBUS_TYPE_BOOLEAN)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the option '%s' is a boolean", name);
    dbus_message_iter_get_basic(variant, &value);
    *ret_value = value;
    return 0;
}

static int read_options(DBusMessageIter *dictionary, CreateOptions *options, Error *error)
{
    DBusMessageIter entries, entry, variant;
    const char *name;
    int r = 0;

    dbus_message_iter_recurse(dictionary, &entries);
    while (r >= 0 && dbus_message_iter_get_arg_type(&entries) == DBUS_TYPE_DICT_ENTRY) {
        dbus_message_iter_recurse(&entries, &entry);
        dbus_message_iter_get_basic(&entry, &name);
        dbus_message_iter_next(&entry);
        dbus_message_iter_recurse(&entry, &variant);
        if (strcmp(name, "lifetime") == 0)
            r = read_lifetime(&variant, &options->detached, error);
        else if (strcmp(name, "start") == 0)
            r = read_boolean(&variant, name, &options->start, error);
        else if (strcmp(name, "paused") == 0)
            r = read_boolean(&variant, name, &options->paused, error);
        else if (strcmp(name, "seccomp-action") == 0)
            r = read_seccomp_action(&variant, &options->seccomp_action, error);
        else
            r = error_set(error, ERROR_INVALID_ARGUMENT, "there is no option '%s'", name);
        dbus_message_iter_next(&entries);
    }
    if (r >= 0 && options->paused && !options->start)
        r = error_set(error, ERROR_INVALID_ARGUMENT, "the option 'paused' goes with 'start'");
    return r;
}

/* The options of CreateVm's @call. */
static int read_create_options(BusCall *call, CreateOptions *options, Error *error)
{
    DBusMessageIter arguments;

    dbus_message_iter_init(bus_call_get_message(call), &arguments);
    dbus_message_iter_next(&arguments);
    dbus_message_iter_next(&arguments);
    return read_options(&arguments, options, error);
}

void vm_reply_created(Vm *vm, BusCall *call)
{
    const char *path = bus_object_get_path(vm->object);

    bus_call_reply(call, DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_INVALID);
    bus_object_announce(vm->object); /* nobody hears of it before its creator */
}

static int on_create_vm(void *object, BusCall *call, Error *error)
{
    const BusCaller *caller = bus_call_get_caller(call);
    VmRequest request = { .owner = caller->uid };
    CreateOptions options = { 0 };
    DBusMessageIter arguments, files;
    Vm *vm;

    int r = read_create_options(call, &options, error);
    if (r < 0)
        return r;
    dbus_message_iter_init(bus_call_get_message(call), &arguments);
    dbus_message_iter_get_basic(&arguments, &request.config_json);
    dbus_message_iter_next(&arguments);
    files = arguments;

    request.client = options.detached ? NULL : caller->name;
    request.paused = options.paused;
    request.seccomp_action = options.seccomp_action;
    r = vm_new(object, &request, &vm, error);
    if (r < 0)
        return r;
    kill_point(KILL_VM_CREATED);
    r = files_argument_take(vm, &files, error);
    if (r >= 0 && options.start)
        r = vm_start(vm, call, true, error);
    else if (r >= 0)
        vm_reply_created(vm, call);
    if (r < 0)
        vm_free(vm);
    return r;
}

static void reply_plan(const Vm *vm, BusCall *call)
{
    DBusMessage *reply = bus_call_new_reply(call);
    DBusMessageIter arguments;

    if (reply) {
        dbus_message_iter_init_append(reply, &arguments);
        if (!vm_plan_append(vm, &arguments)) {
            dbus_message_unref(reply);
            reply = NULL;
        }
    }
    bus_call_send(call, reply);
}

/* Makes the VM, looks whether it could be started, and forgets it: nobody has heard of it. */
static int on_validate_config(void *object, BusCall *call, Error *error)
{
    const BusCaller *caller = bus_call_get_caller(call);
    VmRequest request = { .owner = caller->uid };
    DBusMessageIter arguments;
    Vm *vm;

    dbus_message_iter_init(bus_call_get_message(call), &arguments);
    dbus_message_iter_get_basic(&arguments, &request.config_json);
    dbus_message_iter_next(&arguments);
    int r = vm_new(object, &request, &vm, error);
    if (r < 0)
        return r;
    r = files_argument_take(vm, &arguments, error);
    if (r >= 0)
        r = vm_check_complete(vm, error);
    if (r >= 0)
        reply_plan(vm, call);
    vm_free(vm);
    return r;
}

static int on_initialize_writable_partition(void *object, BusCall *call, Error *error)
{
    const char *type;
    dbus_uint64_t size;
    int fd;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_UNIX_FD, &fd,
                               DBUS_TYPE_UINT64, &size, DBUS_TYPE_STRING, &type, DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return disk_job_initialize_partition(object, fd, size, type, call, error);
}

static int on_create_or_update_idsig(void *object, BusCall *call, Error *error)
{
    int apk, idsig;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_UNIX_FD, &apk,
                               DBUS_TYPE_UNIX_FD, &idsig, DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return disk_job_create_or_update_idsig(object, apk, idsig, call, error);
}

static int on_get_vm(void *object, BusCall *call, Error *error)
{
    const char *name, *path;
    char shown[128];

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_STRING, &name,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    const Vm *vm = vm_find(object, name);
    if (!vm) {
        text_escape(name, strlen(name), shown, sizeof(shown));
        return error_set(error, ERROR_NO_SUCH_VM, "no VM has the name or id '%s'", shown);
    }

    path = bus_object_get_path(vm->object);
    bus_call_reply(call, DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_INVALID);
    return 0;
}

static bool append_vm(const Vm *vm, DBusMessageIter *vms)
{
    const char *path = bus_object_get_path(vm->object), *id = vm->id;
    const char *state = vm_state_to_string(vm->state);
    dbus_uint32_t owner = vm->owner;
    DBusMessageIter entry;

    return dbus_message_iter_open_container(vms, DBUS_TYPE_STRUCT, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_OBJECT_PATH, &path) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &id) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &vm->name) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &state) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_UINT32, &vm->cid) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_UINT32, &owner) &&
           dbus_message_iter_close_container(vms, &entry);
}

static bool append_vms(Daemon *daemon, bool all, DBusMessageIter *arguments)
{
    DBusMessageIter vms;
    const Vm *vm;

    if (!dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "(osssuu)", &vms))
        return false;
    LIST_FOREACH(vm, &daemon->vms, link)
    {
        if ((all || vm->state != VM_DEAD) && !append_vm(vm, &vms))
            return false;
    }
    return dbus_message_iter_close_container(arguments, &vms);
}

static int on_list_vms(void *object, BusCall *call, Error *error)
{
    DBusMessageIter arguments;
    dbus_bool_t all;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_BOOLEAN, &all,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    DBusMessage *reply = bus_call_new_reply(call);
    if (reply) {
        dbus_message_iter_init_append(reply, &arguments);
        if (!append_vms(object, all, &arguments)) {
            dbus_message_unref(reply);
            reply = NULL;
        }
    }
    bus_call_send(call, reply);
    return 0;
}

static int on_get_events(void *object, BusCall *call, Error *error)
{
    return vm_events_answer(object, call, error);
}

static int on_is_feature_enabled(void *object, BusCall *call, Error *error)
{
    const char *name;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_STRING, &name,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    dbus_bool_t enabled = capabilities_has_feature(object, name);
    bus_call_reply(call, DBUS_TYPE_BOOLEAN, &enabled, DBUS_TYPE_INVALID);
    return 0;
}

static int on_get_supported_os_list(void *object, BusCall *call, Error *error)
{
    const Daemon *daemon = object;
    char **names;
    size_t n_names;

    int r = os_list_read(daemon->options->os_dirs, &names, &n_names);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read the list of systems");
    bus_call_reply(call, DBUS_TYPE_ARRAY, DBUS_TYPE_STRING, &names, (int)n_names,
                   DBUS_TYPE_INVALID);
    os_list_free(names);
    return 0;
}

static int on_allocate_instance_id(void *object, BusCall *call, Error *error)
{
    const Daemon *daemon = object;
    uint8_t id[INSTANCE_ID_SIZE];
    const uint8_t *bytes = id;

    int r =
        instance_registry_allocate(daemon->instances, bus_call_get_caller(call)->uid, id, error);
    if (r >= 0)
        bus_call_reply(call, DBUS_TYPE_ARRAY, DBUS_TYPE_BYTE, &bytes, INSTANCE_ID_SIZE,
                       DBUS_TYPE_INVALID);
    return r;
}

static int read_instance_id(const BusCall *call, const uint8_t **ret_id, Error *error)
{
    int size;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_ARRAY, DBUS_TYPE_BYTE,
                               ret_id, &size, DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (size != INSTANCE_ID_SIZE)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "an instance id has %d bytes, not %d: AllocateInstanceId gives one",
                         INSTANCE_ID_SIZE, size);
    return 0;
}

static int change_instance(Daemon *daemon,
                           BusCall *call,
                           int (*change)(InstanceRegistry *registry,
                                         const uint8_t *id,
                                         uid_t owner,
                                         bool force,
                                         Error *error),
                           Error *error)
{
    const BusCaller *caller = bus_call_get_caller(call);
    const uint8_t *id;

    int r = read_instance_id(call, &id, error);
    if (r >= 0)
        r = change(daemon->instances, id, caller->uid,
                   authorization_is_privileged(daemon, caller->uid), error);
    if (r >= 0)
        bus_call_reply(call, DBUS_TYPE_INVALID);
    return r;
}

static int on_claim_instance(void *object, BusCall *call, Error *error)
{
    return change_instance(object, call, instance_registry_claim, error);
}

static int on_remove_instance(void *object, BusCall *call, Error *error)
{
    return change_instance(object, call, instance_registry_remove, error);
}

static int on_get_capabilities(void *object, BusCall *call, Error *error)
{
    DBusMessageIter arguments;
    DBusMessage *reply = bus_call_new_reply(call);

    (void)error;
    if (reply) {
        dbus_message_iter_init_append(reply, &arguments);
        if (!capabilities_append(object, &arguments)) {
            dbus_message_unref(reply);
            reply = NULL;
        }
    }
    bus_call_send(call, reply);
    return 0;
}

static bool append_use(BusDict *dict, const char *prefix, const char *name, QuotaUse use)
{
    char key[64];

    (void)snprintf(key, sizeof(key), "%s%s", prefix, name);
    return bus_dict_add_u64_pair(dict, key, use.used, use.max);
}

static bool append_limits(const Daemon *daemon, uid_t uid, DBusMessageIter *arguments)
{
    static const char *const names[QUOTA_RESOURCE_MAX] = {
        [QUOTA_VMS] = "vms",         [QUOTA_CPUS] = "cpus",   [QUOTA_MEMORY] = "memory",
        [QUOTA_FILES] = "files",     [QUOTA_CALLS] = "calls", [QUOTA_DISK_JOBS] = "disk-jobs",
        [QUOTA_RECORDS] = "records",
    };
    const Quota *quota = daemon->quota;
    bool total = quota_is_exempt(quota, uid);
    uint64_t now = monotonic_usec();
    BusDict dict;

    bool done = bus_dict_open(&dict, arguments);
    for (QuotaResource i = 0; done && i < QUOTA_RESOURCE_MAX; i++) {
        done = append_use(&dict, "", names[i], quota_get_use(quota, uid, i)) &&
               (!total || append_use(&dict, "total-", names[i], quota_get_total(quota, i)));
    }
    done =
        done && append_use(&dict, "", "creations", quota_get_creations(quota, uid, now)) &&
        (!total || append_use(&dict, "total-", "creations", quota_get_total_creations(quota, now)));
    return done && bus_dict_close(&dict);
}

static int on_get_limits(void *object, BusCall *call, Error *error)
{
    DBusMessageIter arguments;
    DBusMessage *reply = bus_call_new_reply(call);

    (void)error;
    if (reply) {
        dbus_message_iter_init_append(reply, &arguments);
        if (!append_limits(object, bus_call_get_caller(call)->uid, &arguments)) {
            dbus_message_unref(reply);
            reply = NULL;
        }
    }
    bus_call_send(call, reply);
    return 0;
}

/* The right that the configuration of @call needs: an app is kept to a system of the host's, what
 * is raw is all of the client's choice. */
static const char *find_right_to_create(const Daemon *daemon, BusCall *call)
{
    _cleanup_(vm_config_freep) VmConfig *config = NULL;
    DBusMessageIter arguments;
    const char *json;
    bool is_app;

    dbus_message_iter_init(bus_call_get_message(call), &arguments); /* the signature was checked */
    dbus_message_iter_get_basic(&arguments, &json);
    if (vm_config_parse(json, daemon->host_memory_bytes, &config, NULL) >= 0)
        is_app = config->app != NULL;
    else /* it will be refused, and whom that is told is all there is to decide */
        is_app = strstr(json, "\"payload\"") != NULL;
    return is_app ? ACTION_CREATE : ACTION_CREATE_CUSTOM;
}

/* The sandbox of a VM that lets its VMM do more than it should needs the right to look into VMs on
 * top of that to create. */
static int authorize(void *object, BusCall *call, Error *error)
{
    const BusMethod *method = bus_call_get_method(call);
    const char *right = method->right, *second = NULL;
    CreateOptions options = { 0 };

    if (method->handler == on_create_vm || method->handler == on_validate_config)
        right = find_right_to_create(object, call);
    if (method->handler == on_create_vm) {
        int r = read_create_options(call, &options, error);
        if (r < 0)
            return r;
        if (options.seccomp_action != SECCOMP_KILL)
            second = ACTION_DEBUG;
    }
    return authorization_check(object, call, right, second, NULL, error);
}

static const BusMethod methods[] = {
    { "CreateVm", "sa{sh}a{sv}", "o", on_create_vm, ACTION_CREATE }, /* or more: see authorize() */
    { "InitializeWritablePartition", "hts", "", on_initialize_writable_partition, ACTION_CREATE },
    { "CreateOrUpdateIdsig", "hh", "", on_create_or_update_idsig, ACTION_CREATE },
    { "GetVm", "s", "o", on_get_vm, NULL },
    { "ListVms", "b", "a(osssuu)", on_list_vms, NULL },
    { "GetEvents", "a{st}", "a(stsa{sv})", on_get_events, NULL },
    { "GetCapabilities", "", "a{sv}", on_get_capabilities, NULL },
    { "IsFeatureEnabled", "s", "b", on_is_feature_enabled, NULL },
    { "GetSupportedOsList", "", "as", on_get_supported_os_list, NULL },
    { "ValidateConfig", "sa{sh}", "a{sv}", on_validate_config, ACTION_CREATE }, /* the same */
    { "AllocateInstanceId", "", "ay", on_allocate_instance_id, ACTION_CREATE },
    { "ClaimInstance", "ay", "", on_claim_instance, ACTION_CREATE },
    { "RemoveInstance", "ay", "", on_remove_instance, NULL },
    { "GetLimits", "", "a{sv}", on_get_limits, NULL },
};

const BusInterface manager_interface = {
    .name = BUS_MANAGER_INTERFACE,
    .xml = bus_manager_xml,
    .methods = methods,
    .n_methods = ELEMENTS_OF(methods),
    .authorize = authorize,
};
