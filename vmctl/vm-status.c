/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/vm-status.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/death-report.h"
#include "vmctl/json-member.h"
#include "vmctl/log-tail.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/vm-properties.h"

#define EVENTS_MAX  10 /* the last ones */
#define LINES_MAX   10
#define LABEL_WIDTH 10

static int out_of_memory(Error *error)
{
    return error_set(error, ERROR_NO_MEMORY, "out of memory");
}

/* --- the object --- */

/* One element of GetEvents's answer. */
static int add_event(struct json_object *array, struct json_object *event)
{
    struct json_object *object = json_array_add_object(array);
    struct json_object *details = json_object_array_get_idx(event, EVENT_FIELD_DETAILS);
    int r = object ? 0 : -ENOMEM;

    if (r >= 0)
        r = json_member_add(object, "number",
                            json_object_get(json_object_array_get_idx(event, EVENT_FIELD_NUMBER)));
    if (r >= 0)
        r = json_member_add(object, "event",
                            json_object_get(json_object_array_get_idx(event, EVENT_FIELD_NAME)));
    if (r < 0)
        return r;
    json_object_object_foreach(details, key, value)
    {
        if (r >= 0)
            r = json_member_add(object, key, json_object_get(value));
    }
    return r;
}

static bool is_of(struct json_object *event, const char *id)
{
    return strcmp(json_object_get_string(json_object_array_get_idx(event, EVENT_FIELD_ID)), id) ==
           0;
}

/* The last events of this VM, and the time of the last one. */
static int add_events(struct json_object *status, struct json_object *events, const char *id)
{
    struct json_object *array = json_member_add_array(status, "events");
    size_t n_events = json_object_array_length(events), n_own = 0, n_seen = 0;
    int64_t time = 0;
    int r = array ? 0 : -ENOMEM;

    for (size_t i = 0; i < n_events; i++)
        n_own += is_of(json_object_array_get_idx(events, i), id);
    for (size_t i = 0; r >= 0 && i < n_events; i++) {
        struct json_object *event = json_object_array_get_idx(events, i);

        if (!is_of(event, id) || ++n_seen + EVENTS_MAX <= n_own)
            continue;
        r = add_event(array, event);
        (void)bus_value_get_number(json_object_array_get_idx(event, EVENT_FIELD_DETAILS), "time",
                                   &time);
    }
    return r < 0 ? r : json_member_add_number(status, "since", (uint64_t)time);
}

/* A denial in words; NULL where there is none. */
static int add_denial(struct json_object *status, struct json_object *record)
{
    const char *process, *call = "", *layer = "sandbox";
    char text[512];

    if (!bus_value_get_string(record, "denied-process", &process))
        return json_member_add_string(status, "denial", NULL);
    (void)bus_value_get_string(record, "denied-call", &call); /* or what stands there */
    (void)bus_value_get_string(record, "denied-layer", &layer);
    (void)snprintf(text, sizeof(text),
                   "the process '%s' made the system call '%s', which %s denies it", process,
                   *call ? call : "(unknown)", layer);
    return json_member_add_string(status, "denial", text);
}

/* The death record of a dead VM, and what its console said. */
static int add_death(Client *client, const char *path, struct json_object *status)
{
    _cleanup_(json_object_putp) struct json_object *record = NULL;
    const char *console = NULL;

    /* Who may not have it gets the rest. */
    (void)client_call_vm(client, path, "GetDeathRecord", "a{sv}", &record, NULL);
    (void)bus_value_get_string(record, "console-tail", &console); /* NULL then */
    int r = json_member_add(status, "death", json_object_get(record));
    if (r >= 0)
        r = add_denial(status, record);
    return r < 0 ? r : json_member_add_string(status, "console", console);
}

static int add_console(Client *client, const char *path, struct json_object *status)
{
    _cleanup_free_ char *console = NULL;

    /* Who may not read it, or before there is one, gets the rest. */
    (void)log_tail_read(client, path, "console", &console, NULL);
    int r = json_member_add(status, "death", NULL);
    if (r >= 0)
        r = json_member_add(status, "denial", NULL);
    return r < 0 ? r : json_member_add_string(status, "console", console);
}

int vm_status_new(Client *client,
                  const char *path,
                  struct json_object *events,
                  struct json_object **ret_status,
                  Error *error)
{
    _cleanup_(json_object_putp) struct json_object *status = json_object_new_object();
    _cleanup_(json_object_putp) struct json_object *properties = NULL;
    const char *state = "";

    if (!status)
        return out_of_memory(error);
    int r = client_get_properties(client, path, &properties, error);
    if (r < 0)
        return r;
    (void)bus_value_get_string(properties, "State", &state); /* "" then */
    r = vm_properties_add(properties, status);
    if (r >= 0)
        r = add_events(status, events, path + strlen(BUS_VM_PATH_PREFIX));
    if (r >= 0)
        r = strcmp(state, "dead") == 0 ? add_death(client, path, status)
                                       : add_console(client, path, status);
    if (r < 0)
        return out_of_memory(error);
    *ret_status = TAKE_PTR(status);
    return 0;
}

/* --- for people --- */

static void print_row(const char *label, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print_row(const char *label, const char *format, ...)
{
    _cleanup_free_ char *text = NULL, *line = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    line = text ? output_dup_line(text) : NULL;
    printf("%*s%s %s\n", LABEL_WIDTH, label, *label ? ":" : " ", line ? line : "");
}

static void print_time(int64_t usec, bool with_date, char *text, size_t size)
{
    time_t seconds = (time_t)(usec / (int64_t)USEC_PER_SEC);
    struct tm broken_down;

    text[0] = '\0';
    if (!localtime_r(&seconds, &broken_down))
        return;
    if (with_date)
        (void)strftime(text, size, "%a %F %T %Z", &broken_down);
    else
        (void)strftime(text, size, "%T", &broken_down);
}

static void print_state(struct json_object *status)
{
    const char *state = "unknown", *step;
    char when[64], ago[QUANTITY_TEXT_SIZE];
    struct timespec now;
    int64_t since = 0;

    (void)bus_value_get_string(status, "state", &state);
    (void)bus_value_get_number(status, "since", &since);
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    uint64_t now_usec = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
    print_time(since, true, when, sizeof(when));
    quantity_print_span(now_usec > (uint64_t)since ? now_usec - (uint64_t)since : 0, ago);
    if (bus_value_get_string(status, "stop-step", &step))
        print_row("State", "%s (step: %s) since %s; %s ago", state, step, when, ago);
    else
        print_row("State", "%s since %s; %s ago", state, when, ago);
}

static void print_numbers(struct json_object *status)
{
    int64_t owner = 0, pid, cid = 0, memory = 0, cpus = 0;
    const char *vmm = "";
    char size[QUANTITY_TEXT_SIZE];

    (void)bus_value_get_number(status, "owner", &owner);
    (void)bus_value_get_number(status, "cid", &cid);
    (void)bus_value_get_number(status, "memory", &memory);
    (void)bus_value_get_number(status, "cpus", &cpus);
    (void)bus_value_get_string(status, "vmm", &vmm);
    const struct passwd *user = getpwuid((uid_t)owner);
    if (user)
        print_row("Owner", "%s (%" PRId64 ")", user->pw_name, owner);
    else
        print_row("Owner", "%" PRId64, owner);
    if (bus_value_get_number(status, "pid", &pid))
        print_row("PID", "%" PRId64 " (%s)", pid, vmm);
    print_row("CID", "%" PRId64, cid);
    quantity_print_size((uint64_t)memory, size);
    print_row("Memory", "%s", size);
    print_row("CPUs", "%" PRId64, cpus);
}

static void print_ends(struct json_object *record)
{
    static const struct {
        const char *key, *words;
    } ends[] = { { "vmm-exit-code", "the VMM exited with" },
                 { "vmm-signal", "the VMM was killed by signal" },
                 { "payload-exit-code", "the payload exited with" },
                 { "payload-signal", "the payload was killed by signal" } };
    int64_t number;

    for (size_t i = 0; i < ELEMENTS_OF(ends); i++) {
        if (bus_value_get_number(record, ends[i].key, &number))
            print_row("", "%s %" PRId64, ends[i].words, number);
    }
}

static void print_text(const char *label, const char *text, size_t n_lines_max)
{
    _cleanup_free_ char *escaped = output_dup_escaped(text);
    char *rest = escaped, *line;
    size_t n_lines = 0;

    for (const char *c = text; *c; c++)
        n_lines += *c == '\n' && c[1] != '\0';
    for (size_t i = 0; (line = strsep(&rest, "\n")); i++) {
        if (i + n_lines_max > n_lines && (*line || rest)) {
            print_row(label, "%s", line);
            label = "";
        }
    }
}

static void print_death(struct json_object *status)
{
    const char *reason, *text, *initiator, *words;
    struct json_object *record = json_object_object_get(status, "death");

    if (!bus_value_get_string(status, "death-reason", &reason))
        return;
    words = death_report_explain(reason);
    print_row("Reason", "%s%s%s", reason, words ? ": " : "", words ? words : "");
    if (!record) {
        print_row("", "more of it is for its owner, and whom polkit lets");
        return;
    }
    if (bus_value_get_string(record, "message", &text) && *text)
        print_row("", "%s", text);
    if (bus_value_get_string(status, "denial", &text))
        print_row("Denied", "%s", text);
    if (bus_value_get_string(record, "initiator", &initiator))
        print_row("Ended by", "%s", initiator);
    print_ends(record);
    if (bus_value_get_string(record, "crash-report", &text) && *text)
        print_text("Crash", text, SIZE_MAX / 2);
    if (bus_value_get_string(record, "vmm-tail", &text) && *text)
        print_text("VMM", text, LINES_MAX);
}

static void print_events(struct json_object *status)
{
    struct json_object *events = json_object_object_get(status, "events");

    for (size_t i = 0; i < json_object_array_length(events); i++) {
        struct json_object *event = json_object_array_get_idx(events, i);
        const char *name = "", *detail = "";
        char when[32], code[16] = "";
        int64_t usec = 0, number;

        (void)bus_value_get_number(event, "time", &usec);
        (void)bus_value_get_string(event, "event", &name);
        if (bus_value_get_number(event, "exit-code", &number))
            (void)snprintf(code, sizeof(code), "%" PRId64, number);
        if (!bus_value_get_string(event, "step", &detail) &&
            !bus_value_get_string(event, "code", &detail))
            (void)bus_value_get_string(event, "reason", &detail); /* "" for most */
        print_time(usec, false, when, sizeof(when));
        print_row(i == 0 ? "Events" : "", "%s %s%s%s%s", when, name, *detail || *code ? " " : "",
                  detail, code);
    }
}

void vm_status_print(struct json_object *status)
{
    const char *name = "", *id = "", *console;

    (void)bus_value_get_string(status, "name", &name);
    (void)bus_value_get_string(status, "id", &id);
    _cleanup_free_ char *line = output_dup_line(name);
    printf("%s (%s)\n", line ? line : "", id);
    print_state(status);
    print_death(status);
    print_numbers(status);
    print_events(status);
    if (bus_value_get_string(status, "console", &console) && *console)
        print_text("Console", console, LINES_MAX);
}
