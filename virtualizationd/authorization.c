/* SPDX-License-Identifier: Apache-2.0 */
/* That there is no polkit is not asked for beforehand, which would be true at another time than the
 * question: the bus answers ServiceUnknown to the question itself when the name has no owner and
 * cannot be activated. Any other failure is a denial.
 *
 * While polkit thinks the VM may die and be forgotten: a question holds no pointer to it, and
 * bus_call_run() looks the object up again. A VM's owner and its path do not change. */
#include "virtualizationd/authorization.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "dbus/bus-query.h"
#include "virtualizationd/vm.h"

#define POLKIT_NAME         "org.freedesktop.PolicyKit1"
#define POLKIT_PATH         "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE    "org.freedesktop.PolicyKit1.Authority"
#define ALLOW_INTERACTION   1U /* of CheckAuthorization's flags */
#define ANSWER_MSEC         25000
#define PASSWORD_MSEC       300000 /* a person types it */
#define CANCELLATION_ID_MAX 32

struct Question {
    LIST_ENTRY(Question) link;
    Daemon *daemon;
    BusCall *call;
    QuotaCharge charge; /* it keeps a call and its files */
    const char *action, *second;
    char vm_id[LAUNCH_SPEC_ID_SIZE + 1]; /* "": none */
    char *vm_name;
    uid_t vm_owner;
    char cancellation_id[CANCELLATION_ID_MAX];
    BusQuery *query;
};

static Question *question_free(Question *question)
{
    if (!question)
        return NULL;
    bus_query_free(question->query);
    bus_call_unref(question->call);
    quota_charge_release(&question->charge);
    free(question->vm_name);
    free(question);
    return NULL;
}
DEFINE_CLEANUP(Question, question_free);

bool authorization_is_privileged(const Daemon *daemon, uid_t uid)
{
    return uid == 0 || (daemon->options->user && uid == geteuid());
}

static bool is_in_group(const Daemon *daemon, const BusCaller *caller)
{
    for (size_t i = 0; daemon->has_group && i < caller->n_groups; i++) {
        if (caller->groups[i] == daemon->group)
            return true;
    }
    return false;
}

static int deny(const Question *question, const char *why, Error *error)
{
    const BusCall *call = question->call;
    const char *method = bus_call_get_method(call)->name;
    uid_t uid = bus_call_get_caller(call)->uid;

    if (question->vm_id[0] != '\0')
        return error_set(error, ERROR_ACCESS_DENIED,
                         "VM '%s' belongs to uid %u, you are uid %u, and '%s' needs %s: %s",
                         question->vm_name, question->vm_owner, uid, method, question->action, why);
    return error_set(error, ERROR_ACCESS_DENIED, "you are uid %u, and '%s' needs %s: %s", uid,
                     method, question->action, why);
}

static bool append_detail(DBusMessageIter *details, const char *key, const char *value)
{
    DBusMessageIter entry;

    return dbus_message_iter_open_container(details, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &value) &&
           dbus_message_iter_close_container(details, &entry);
}

/* What polkit's rules may decide by, as strings: the VM's id and name, the method, the owner. */
static bool append_details(const Question *question, DBusMessageIter *arguments)
{
    DBusMessageIter details;
    char owner[16];

    (void)snprintf(owner, sizeof(owner), "%u", question->vm_owner);
    return dbus_message_iter_open_container(arguments, DBUS_TYPE_ARRAY, "{ss}", &details) &&
           append_detail(&details, "verb", bus_call_get_method(question->call)->name) &&
           (question->vm_id[0] == '\0' || (append_detail(&details, "vm", question->vm_id) &&
                                           append_detail(&details, "name", question->vm_name) &&
                                           append_detail(&details, "owner", owner))) &&
           dbus_message_iter_close_container(arguments, &details);
}

/* The subject: the caller's connection, as a{sv} of one entry. */
static bool append_subject(const Question *question, DBusMessageIter *arguments)
{
    static const char *const kind = "system-bus-name", *const key = "name";
    const char *name = bus_call_get_caller(question->call)->name;
    DBusMessageIter subject, entries, entry, variant;

    return dbus_message_iter_open_container(arguments, DBUS_TYPE_STRUCT, NULL, &subject) &&
           dbus_message_iter_append_basic(&subject, DBUS_TYPE_STRING, &kind) &&
           dbus_message_iter_open_container(&subject, DBUS_TYPE_ARRAY, "{sv}", &entries) &&
           dbus_message_iter_open_container(&entries, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
           dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) &&
           dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, "s", &variant) &&
           dbus_message_iter_append_basic(&variant, DBUS_TYPE_STRING, &name) &&
           dbus_message_iter_close_container(&entry, &variant) &&
           dbus_message_iter_close_container(&entries, &entry) &&
           dbus_message_iter_close_container(&subject, &entries) &&
           dbus_message_iter_close_container(arguments, &subject);
}

static DBusMessage *new_polkit_call(const char *method)
{
    return dbus_message_new_method_call(POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, method);
}

static bool append_question(const Question *question, bool interactive, DBusMessage *message)
{
    const char *cancellation_id = question->cancellation_id;
    dbus_uint32_t flags = interactive ? ALLOW_INTERACTION : 0;
    DBusMessageIter arguments;

    dbus_message_iter_init_append(message, &arguments);
    return append_subject(question, &arguments) &&
           dbus_message_iter_append_basic(&arguments, DBUS_TYPE_STRING, &question->action) &&
           append_details(question, &arguments) &&
           dbus_message_iter_append_basic(&arguments, DBUS_TYPE_UINT32, &flags) &&
           dbus_message_iter_append_basic(&arguments, DBUS_TYPE_STRING, &cancellation_id);
}

static void on_answer(void *userdata, DBusMessage *reply);

static int question_ask(Question *question, Error *error)
{
    Daemon *daemon = question->daemon;
    bool interactive =
        dbus_message_get_allow_interactive_authorization(bus_call_get_message(question->call));
    DBusMessage *message = new_polkit_call("CheckAuthorization");

    (void)snprintf(question->cancellation_id, sizeof(question->cancellation_id), "%llu",
                   (unsigned long long)++daemon->last_question);
    int r = message && append_question(question, interactive, message)
                ? bus_query_new(daemon->bus, message, interactive ? PASSWORD_MSEC : ANSWER_MSEC,
                                on_answer, question, &question->query)
                : -ENOMEM;
    if (message)
        dbus_message_unref(message);
    if (r < 0)
        return error_set_errno(error, ERROR_UNAVAILABLE, r, "cannot ask polkit");
    return 0;
}

/* 1: granted; negative: not, and why. */
static int read_answer(const Question *question, DBusMessage *reply, Error *error)
{
    DBusMessageIter arguments, result;
    dbus_bool_t is_authorized, is_challenge;

    if (dbus_message_is_error(reply, DBUS_ERROR_SERVICE_UNKNOWN)) {
        if (is_in_group(question->daemon, bus_call_get_caller(question->call)))
            return 1;
        return deny(
            question,
            "there is no polkit, and you are not in the group of the setting Group=", error);
    }
    if (!dbus_message_has_signature(reply, "(bba{ss})") ||
        dbus_message_get_type(reply) != DBUS_MESSAGE_TYPE_METHOD_RETURN) {
        const char *name = dbus_message_get_error_name(reply);

        log_warning("polkit does not answer about %s: %s", question->action,
                    name ? name : "a reply of another type");
        return deny(question, "polkit gave no answer", error);
    }
    dbus_message_iter_init(reply, &arguments);
    dbus_message_iter_recurse(&arguments, &result);
    dbus_message_iter_get_basic(&result, &is_authorized);
    dbus_message_iter_next(&result);
    dbus_message_iter_get_basic(&result, &is_challenge);
    if (is_authorized)
        return 1;
    if (is_challenge &&
        !dbus_message_get_allow_interactive_authorization(bus_call_get_message(question->call)))
        return error_set(error, ERROR_AUTHORIZATION_REQUIRED,
                         "'%s' needs %s, which polkit grants to whom authenticates: call again and "
                         "allow interactive authorization",
                         bus_call_get_method(question->call)->name, question->action);
    return deny(question, "polkit does not grant it", error);
}

static void on_answer(void *userdata, DBusMessage *reply)
{
    Question *question = userdata;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    question->query = bus_query_free(question->query);
    int r = read_answer(question, reply, &error);
    if (r > 0 && question->second) {
        question->action = question->second;
        question->second = NULL;
        r = question_ask(question, &error);
        if (r == 0)
            return;
    }
    /* First out of the list, as the method may end anything. */
    LIST_REMOVE(question, link);
    quota_charge_release(&question->charge); /* if it goes on to wait, that is its own charge */
    if (r > 0)
        bus_call_run(question->call);
    else
        bus_call_reply_error(question->call, &error);
    question_free(question);
}

int authorization_check(Daemon *daemon,
                        BusCall *call,
                        const char *action,
                        const char *second,
                        const Vm *vm,
                        Error *error)
{
    uid_t uid = bus_call_get_caller(call)->uid;

    if (authorization_is_privileged(daemon, uid) || (vm && vm->owner == uid))
        return 1;

    _cleanup_(question_freep) Question *question = calloc(1, sizeof(*question));
    if (!question)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    question->daemon = daemon;
    question->call = bus_call_ref(call);
    question->action = action;
    question->second = second;
    if (vm) {
        memcpy(question->vm_id, vm->id, sizeof(question->vm_id));
        question->vm_owner = vm->owner;
        question->vm_name = strdup(vm->name);
        if (!question->vm_name)
            return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    if (daemon->options->user)
        return deny(question, "this daemon serves its own user and root alone", error);
    int r = quota_charge_call(daemon->quota, uid, &question->charge, error);
    if (r >= 0)
        r = question_ask(question, error);
    if (r < 0)
        return r;

    LIST_INSERT_HEAD(&daemon->questions, question, link);
    TAKE_PTR(question);
    return 0;
}

/* Tells polkit, too, which may be showing a dialogue. */
static void question_give_up(Question *question)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    const char *id = question->cancellation_id;
    DBusMessage *message = new_polkit_call("CancelCheckAuthorization");

    if (message) {
        dbus_message_set_no_reply(message, TRUE);
        dbus_message_set_auto_start(message, FALSE);
        if (dbus_message_append_args(message, DBUS_TYPE_STRING, &id, DBUS_TYPE_INVALID))
            (void)dbus_connection_send(bus_service_get_connection(question->daemon->bus), message,
                                       NULL); /* polkit finds out by itself that it is gone */
        dbus_message_unref(message);
    }
    LIST_REMOVE(question, link);
    (void)error_set(&error, ERROR_ACCESS_DENIED, "the question to polkit was given up");
    bus_call_reply_error(question->call, &error);
    question_free(question);
}

void authorization_client_gone(Daemon *daemon, const char *client)
{
    Question *question, *next;

    for (question = LIST_FIRST(&daemon->questions); question; question = next) {
        next = LIST_NEXT(question, link);
        if (strcmp(bus_call_get_caller(question->call)->name, client) == 0)
            question_give_up(question);
    }
}

void authorization_give_up(Daemon *daemon)
{
    while (!LIST_EMPTY(&daemon->questions))
        question_give_up(LIST_FIRST(&daemon->questions));
}
