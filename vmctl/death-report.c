/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/death-report.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "vmctl/bus-value.h"
#include "vmctl/output.h"

#define TAIL_LINES 10

#define ALL_LINES SIZE_MAX

static const struct {
    const char *reason, *words;
} explanations[] = {
    { "shutdown", "the guest has shut down" },
    { "reboot", "the guest asked for a reboot, which ends a VM" },
    { "killed", "it was killed" },
    { "crash", "the guest or the VMM has crashed" },
    { "start-failed", "the VMM could not be started" },
    { "hangup", "the payload did not report in time" },
    { "watchdog-reboot", "the guest's watchdog has ended it" },
    { "oom", "it needed more memory than its limit" },
    { "sandbox-violation", "a process of the VM did what its sandbox forbids" },
    { "infrastructure-error", "a part of virtualizationd has failed" },
    { "firmware-public-key-mismatch", "what it boots is signed with another key" },
    { "firmware-instance-image-changed",
      "what it boots is not what its instance image has on record" },
    { "failed-to-connect-to-virtualization-service", "the guest could not reach its host" },
    { "payload-has-changed", "the payload is not the one that the instance image has on record" },
    { "payload-verification-failed", "the payload's signature or a block of it is wrong" },
    { "invalid-payload-config", "the payload's own configuration is wrong" },
    { "unknown-runtime-error", "the guest's manager has failed" },
    { "unknown", "why is not known" },
};

const char *death_report_explain(const char *reason)
{
    for (size_t i = 0; i < ELEMENTS_OF(explanations); i++) {
        if (strcmp(explanations[i].reason, reason) == 0)
            return explanations[i].words;
    }
    return NULL;
}

/* The last lines of @text, without the newline at the end. */
static const char *last_lines(const char *text, size_t length, size_t n_lines)
{
    const char *start = text + length;

    for (; start > text; start--) {
        if (start[-1] == '\n' && start < text + length && --n_lines == 0)
            break;
    }
    return start;
}

static void print_tail(const char *heading, const char *tail, size_t n_lines)
{
    _cleanup_free_ char *escaped = output_dup_escaped(tail);
    if (!escaped)
        return;

    size_t length = strlen(escaped);
    while (length > 0 && escaped[length - 1] == '\n')
        escaped[--length] = '\0';
    output_diagnostic("%s", heading);
    fprintf(stderr, "%s\n", last_lines(escaped, length, n_lines));
}

static void print_death(const char *name, struct json_object *record)
{
    const char *reason, *message, *tail;

    if (!bus_value_get_string(record, "reason", &reason))
        reason = "unknown";
    if (bus_value_get_string(record, "message", &message) && message[0] != '\0')
        output_diagnostic("VM %s died: %s: %s", name, reason, message);
    else
        output_diagnostic("VM %s died: %s", name, reason);

    if (bus_value_get_string(record, "vmm-tail", &tail) && tail[0] != '\0')
        print_tail("the VMM's last messages:", tail, TAIL_LINES);
    else if (bus_value_get_string(record, "console-tail", &tail) && tail[0] != '\0')
        print_tail("the console's last lines:", tail, TAIL_LINES);
}

/* Whether the guest found another instance than the one that it was to run. */
static bool is_of_instance(const char *reason)
{
    return strcmp(reason, "payload-has-changed") == 0 ||
           strcmp(reason, "firmware-instance-image-changed") == 0;
}

/* What its user can do about the instance. */
static void print_remedy(const char *instance, struct json_object *record)
{
    const char *reason;

    if (bus_value_get_string(record, "reason", &reason) && is_of_instance(reason))
        output_diagnostic("the instance in '%s' is not for this: name another one (--name, "
                          "--work-dir), or remove it, and its secrets with it",
                          instance);
}

static void print_crash_report(const char *instance, struct json_object *record)
{
    const char *report;
    int64_t number;

    if (bus_value_get_string(record, "crash-report", &report))
        print_tail("the payload's crash report:", report, ALL_LINES);
    else if (instance && bus_value_get_number(record, "payload-signal", &number))
        output_diagnostic("a crash report comes from a debuggable guest: --debug=full, in an "
                          "instance of its own");
    if (bus_value_get_number(record, "crash-report-dropped", &number))
        output_diagnostic("%" PRId64 " bytes of the payload's crash report were too many", number);
}

void death_report_print(const char *name, const char *instance, struct json_object *record)
{
    int64_t number;

    if (bus_value_get_number(record, "payload-signal", &number) && number > 0)
        output_diagnostic("the payload of VM %s was killed by signal %" PRId64 " (%s)", name,
                          number, number < 65 ? strsignal((int)number) : "unknown");
    else if (!bus_value_get_number(record, "payload-exit-code", &number))
        print_death(name, record);
    if (instance)
        print_remedy(instance, record);
    print_crash_report(instance, record);
    if (bus_value_get_number(record, "payload-out-dropped", &number) && number > 0)
        output_diagnostic("%" PRId64 " bytes of the payload's output were lost: they came faster "
                          "than standard output took them",
                          number);
}
