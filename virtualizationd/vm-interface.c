/* SPDX-License-Identifier: Apache-2.0 */
/* org.virtualizationd1.VirtualMachine: methods for the owner and whom
 * authorization.h lets, properties for everybody. */
#include "common/error.h"
#include "common/fd.h"
#include "dbus/interfaces.h"
#include "virtualizationd/authorization.h"
#include "virtualizationd/bus-dict.h"
#include "virtualizationd/files-argument.h"
#include "virtualizationd/stop-options.h"
#include "virtualizationd/vm.h"

static int authorize(void *object, BusCall *call, Error *error)
{
    const Vm *vm = object;

    return authorization_check(vm->daemon, call, bus_call_get_method(call)->right, NULL, vm, error);
}

/* A request without arguments whose reply is empty. */
static int run_request(Vm *vm, BusCall *call, int (*request)(Vm *vm, Error *error), Error *error)
{
    int r = request(vm, error);

    if (r >= 0)
        bus_call_reply(call, DBUS_TYPE_INVALID);
    return r;
}

static int request_kill(Vm *vm, Error *error)
{
    return vm_kill(vm, INITIATOR_CLIENT, error);
}

static int request_stop(Vm *vm, Error *error)
{
    return vm_stop(vm, &STOP_PLAN_DEFAULT, error);
}

static int on_add_files(void *object, BusCall *call, Error *error)
{
    Vm *vm = object;
    DBusMessageIter arguments;

    if (vm->state != VM_NOT_STARTED || vm_is_being_started(vm))
        return error_set(error, ERROR_INVALID_STATE, "VM '%s' takes no more files: it was started",
                         vm->name);
    dbus_message_iter_init(bus_call_get_message(call), &arguments);
    int r = files_argument_take(vm, &arguments, error);
    if (r < 0)
        return r;

    bus_call_reply(call, DBUS_TYPE_INVALID);
    return 0;
}

static int on_start(void *object, BusCall *call, Error *error)
{
    return vm_start(object, call, false, error);
}

static int on_stop(void *object, BusCall *call, Error *error)
{
    return run_request(object, call, request_stop, error);
}

static int on_stop_with_options(void *object, BusCall *call, Error *error)
{
    DBusMessageIter arguments;
    StopPlan plan;

    dbus_message_iter_init(bus_call_get_message(call), &arguments);
    int r = stop_options_read(&arguments, &plan, error);
    if (r >= 0)
        r = vm_stop(object, &plan, error);
    if (r >= 0)
        bus_call_reply(call, DBUS_TYPE_INVALID);
    return r;
}

static int on_kill(void *object, BusCall *call, Error *error)
{
    return run_request(object, call, request_kill, error);
}

static int on_suspend(void *object, BusCall *call, Error *error)
{
    return run_request(object, call, vm_suspend, error);
}

static int on_resume(void *object, BusCall *call, Error *error)
{
    return run_request(object, call, vm_resume, error);
}

static int on_connect_vsock(void *object, BusCall *call, Error *error)
{
    dbus_uint32_t port;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_UINT32, &port,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return vm_connect_vsock(object, port, call, error);
}

static int on_listen_vsock(void *object, BusCall *call, Error *error)
{
    dbus_uint32_t port;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_UINT32, &port,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return vm_listen_vsock(object, port, call, error);
}

static int on_capture_vsock(void *object, BusCall *call, Error *error)
{
    int fd;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_UNIX_FD, &fd,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    _cleanup_close_ int capture_fd = fd; /* a duplicate, ours */
    return vm_capture_vsock(object, capture_fd, call, error);
}

static int on_set_memory_balloon(void *object, BusCall *call, Error *error)
{
    dbus_uint64_t bytes;

    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_UINT64, &bytes,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = vm_set_balloon(object, bytes, error);
    if (r >= 0)
        bus_call_reply(call, DBUS_TYPE_INVALID);
    return r;
}

/* Reads the call's one argument, a string of the bus's, which lives as long as the call. */
static int read_word(const BusCall *call, const char **ret_word, Error *error)
{
    if (!dbus_message_get_args(bus_call_get_message(call), NULL, DBUS_TYPE_STRING, ret_word,
                               DBUS_TYPE_INVALID))
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return 0;
}

static int on_open_console(void *object, BusCall *call, Error *error)
{
    ConsoleMode mode;
    const char *word;

    int r = read_word(call, &word, error);
    if (r < 0)
        return r;
    if (console_mode_from_string(word, &mode) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "a console's mode is 'read-only', 'read-write' or 'take-over', not '%s'",
                         word);
    return vm_open_console(object, mode, call, error);
}

static int on_open_log(void *object, BusCall *call, Error *error)
{
    LogKind kind;
    const char *word;

    int r = read_word(call, &word, error);
    if (r < 0)
        return r;
    if (log_kind_from_string(word, &kind) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the logs are 'console', 'guest' and 'vmm', there is none '%s'", word);
    return vm_open_log(object, kind, call, error);
}

static bool append_record(const Vm *vm, DBusMessageIter *arguments)
{
    const DeathRecord *record = vm->record;
    BusDict dict;

    bool done =
        bus_dict_open(&dict, arguments) &&
        bus_dict_add_string(&dict, "reason", death_reason_to_string(record->reason)) &&
        bus_dict_add_string(&dict, "initiator", death_initiator_to_string(record->initiator)) &&
        bus_dict_add_string(&dict, "message", record->message) &&
        bus_dict_add_u64(&dict, "created", vm->created_usec) &&
        bus_dict_add_u64(&dict, "started", vm->started_usec) &&
        bus_dict_add_u64(&dict, "died", record->died_usec) &&
        bus_dict_add_bool(&dict, "oom", record->oom) &&
        bus_dict_add_u64(&dict, "console-dropped", record->console_dropped) &&
        bus_dict_add_u64(&dict, "payload-out-dropped", record->payload_out_dropped) &&
        bus_dict_add_string(&dict, "console-tail", record->console_tail) &&
        bus_dict_add_string(&dict, "vmm-tail", record->vmm_tail);
    if (done && record->stop_step != STOP_STEP_NONE)
        done = bus_dict_add_string(&dict, "stop-step", stop_step_to_string(record->stop_step));
    if (done && record->denied_process[0] != '\0')
        done = bus_dict_add_string(&dict, "denied-process", record->denied_process) &&
               bus_dict_add_string(&dict, "denied-call", record->denied_call) &&
               bus_dict_add_string(&dict, "denied-layer", record->denied_layer);
    if (done && vm->crash_report)
        done = bus_dict_add_string(&dict, "crash-report", vm->crash_report);
    if (done && record->crash_report_dropped > 0)
        done = bus_dict_add_u64(&dict, "crash-report-dropped", record->crash_report_dropped);
    if (done && record->vmm_exit_code >= 0)
        done = bus_dict_add_i32(&dict, "vmm-exit-code", record->vmm_exit_code);
    if (done && record->vmm_signal > 0)
        done = bus_dict_add_i32(&dict, "vmm-signal", record->vmm_signal);
    if (done && record->payload_exit_code >= 0)
        done = bus_dict_add_i32(&dict, "payload-exit-code", record->payload_exit_code);
    if (done && record->payload_signal > 0)
        done = bus_dict_add_i32(&dict, "payload-signal", record->payload_signal);
    return done && bus_dict_close(&dict);
}

static int on_get_death_record(void *object, BusCall *call, Error *error)
{
    const Vm *vm = object;
    DBusMessageIter arguments;

    if (!vm->record)
        return error_set(error, ERROR_INVALID_STATE, "VM '%s' has no death record: it is '%s'",
                         vm->name, vm_state_to_string(vm->state));

    DBusMessage *reply = bus_call_new_reply(call);
    if (reply) {
        dbus_message_iter_init_append(reply, &arguments);
        if (!append_record(vm, &arguments)) {
            dbus_message_unref(reply);
            reply = NULL;
        }
    }
    bus_call_send(call, reply);
    return 0;
}

static int on_forget(void *object, BusCall *call, Error *error)
{
    return run_request(object, call, vm_forget, error);
}

static int on_get_config(void *object, BusCall *call, Error *error)
{
    const Vm *vm = object;

    (void)error;
    bus_call_reply(call, DBUS_TYPE_STRING, &vm->config_json, DBUS_TYPE_INVALID);
    return 0;
}

static bool append_string(DBusMessageIter *variant, const char *value)
{
    return dbus_message_iter_append_basic(variant, DBUS_TYPE_STRING, &value);
}

static bool append_u32(DBusMessageIter *variant, uint32_t value)
{
    return dbus_message_iter_append_basic(variant, DBUS_TYPE_UINT32, &value);
}

static bool append_u64(DBusMessageIter *variant, uint64_t value)
{
    return dbus_message_iter_append_basic(variant, DBUS_TYPE_UINT64, &value);
}

static bool get_id(const void *object, DBusMessageIter *variant)
{
    return append_string(variant, ((const Vm *)object)->id);
}

static bool get_name(const void *object, DBusMessageIter *variant)
{
    return append_string(variant, ((const Vm *)object)->name);
}

static bool get_state(const void *object, DBusMessageIter *variant)
{
    return append_string(variant, vm_state_to_string(((const Vm *)object)->state));
}

static bool get_cid(const void *object, DBusMessageIter *variant)
{
    return append_u32(variant, ((const Vm *)object)->cid);
}

static bool get_owner(const void *object, DBusMessageIter *variant)
{
    return append_u32(variant, ((const Vm *)object)->owner);
}

static bool get_protected(const void *object, DBusMessageIter *variant)
{
    dbus_bool_t no = FALSE; /* vm-config.c refuses the others */

    (void)object;
    return dbus_message_iter_append_basic(variant, DBUS_TYPE_BOOLEAN, &no);
}

static bool get_memory(const void *object, DBusMessageIter *variant)
{
    return append_u64(variant, ((const Vm *)object)->config->memory_bytes);
}

static bool get_cpus(const void *object, DBusMessageIter *variant)
{
    return append_u32(variant, ((const Vm *)object)->cpus);
}

static bool get_vmm(const void *object, DBusMessageIter *variant)
{
    (void)object;
    return append_string(variant, "qemu"); /* the one back end */
}

static bool get_pid(const void *object, DBusMessageIter *variant)
{
    return append_u32(variant, ((const Vm *)object)->pid);
}

static bool get_created_at(const void *object, DBusMessageIter *variant)
{
    return append_u64(variant, ((const Vm *)object)->created_usec);
}

static bool get_started_at(const void *object, DBusMessageIter *variant)
{
    return append_u64(variant, ((const Vm *)object)->started_usec);
}

static bool get_last_event(const void *object, DBusMessageIter *variant)
{
    return append_u64(variant, ((const Vm *)object)->last_event);
}

static bool get_stop_step(const void *object, DBusMessageIter *variant)
{
    return append_string(variant, stop_step_to_string(((const Vm *)object)->stop_step));
}

static bool get_death_reason(const void *object, DBusMessageIter *variant)
{
    const Vm *vm = object;

    if (vm->state != VM_DEAD)
        return append_string(variant, "");
    return append_string(variant, vm->record ? death_reason_to_string(vm->record->reason)
                                             : death_reason_to_string(DEATH_UNKNOWN));
}

static bool get_seccomp_action(const void *object, DBusMessageIter *variant)
{
    return append_string(variant,
                         launch_seccomp_action_to_string(((const Vm *)object)->seccomp_action));
}

static const BusMethod methods[] = {
    { "AddFiles", "a{sh}", "", on_add_files, ACTION_MANAGE_OTHERS },
    { "Start", "", "", on_start, ACTION_MANAGE_OTHERS },
    { "Stop", "", "", on_stop, ACTION_MANAGE_OTHERS },
    { "StopWithOptions", "a{sv}", "", on_stop_with_options, ACTION_MANAGE_OTHERS },
    { "Kill", "", "", on_kill, ACTION_MANAGE_OTHERS },
    { "Suspend", "", "", on_suspend, ACTION_MANAGE_OTHERS },
    { "Resume", "", "", on_resume, ACTION_MANAGE_OTHERS },
    { "ConnectVsock", "u", "h", on_connect_vsock, ACTION_MANAGE_OTHERS },
    { "ListenVsock", "u", "h", on_listen_vsock, ACTION_MANAGE_OTHERS },
    { "CaptureVsock", "h", "", on_capture_vsock, ACTION_DEBUG },
    { "SetMemoryBalloon", "t", "", on_set_memory_balloon, ACTION_MANAGE_OTHERS },
    { "OpenConsole", "s", "h", on_open_console, ACTION_DEBUG },
    { "OpenLog", "s", "h", on_open_log, ACTION_DEBUG },
    { "GetDeathRecord", "", "a{sv}", on_get_death_record, ACTION_DEBUG },
    { "Forget", "", "", on_forget, ACTION_MANAGE_OTHERS },
    { "GetConfig", "", "s", on_get_config, ACTION_DEBUG },
};

static const BusProperty properties[] = {
    { "Id", "s", get_id },
    { "Name", "s", get_name },
    { "State", "s", get_state },
    { "Cid", "u", get_cid },
    { "Owner", "u", get_owner },
    { "Protected", "b", get_protected },
    { "Memory", "t", get_memory },
    { "Cpus", "u", get_cpus },
    { "Vmm", "s", get_vmm },
    { "Pid", "u", get_pid },
    { "CreatedAt", "t", get_created_at },
    { "StartedAt", "t", get_started_at },
    { "LastEvent", "t", get_last_event },
    { "StopStep", "s", get_stop_step },
    { "DeathReason", "s", get_death_reason },
    { "SeccompAction", "s", get_seccomp_action },
};

const BusInterface vm_interface = {
    .name = BUS_VM_INTERFACE,
    .xml = bus_vm_xml,
    .methods = methods,
    .n_methods = ELEMENTS_OF(methods),
    .authorize = authorize,
    .properties = properties,
    .n_properties = ELEMENTS_OF(properties),
};
