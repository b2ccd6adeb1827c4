/* SPDX-License-Identifier: Apache-2.0 */
/* The VM lives as long as this connection to the bus does. The loop ends when the service says that
 * the VM has died, or is gone itself, and all output is copied; only then is the death record
 * asked for. */
#include "vmctl/vm-run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"
#include "vmctl/death-report.h"
#include "vmctl/exit-status.h"
#include "vmctl/interrupt.h"
#include "vmctl/output-copy.h"
#include "vmctl/output.h"
#include "vmctl/vm-action.h"

#define PAYLOAD_OUT     "payload-out"
#define CONSOLE_OUT     "console-out"
#define N_OUTPUTS       2
#define PIPE_SIZE       (1 << 20) /* what every user may ask for, pipe(7) */
#define DEATH_GRACE_SEC 2         /* after the VM's death, for the ends of its pipes */
#define USEC_PER_SEC    UINT64_C(1000000)

struct VmRun {
    ConfigFiles *config; /* lent, as those below */
    Client *client;
    const VmRunOptions *options;
    sd_event *event;
    OutputCopy *outputs[N_OUTPUTS];
    int writing_ends[N_OUTPUTS]; /* until the service has them */
    const char *output_keys[N_OUTPUTS];
    size_t n_outputs;
    char *path;
    const char *name; /* of the VM, or its id */
    bool died, gone, interrupted;
};

VmRun *vm_run_free(VmRun *run)
{
    if (!run)
        return NULL;

    for (size_t i = 0; i < run->n_outputs; i++) {
        output_copy_free(run->outputs[i]);
        (void)fd_close(run->writing_ends[i]);
    }
    client_detach(run->client);
    sd_event_unref(run->event);
    free(run->path);
    free(run);
    return NULL;
}

/* --- what ends the loop --- */

static void end_if_complete(void *userdata)
{
    VmRun *run = userdata;
    bool complete = run->died || run->gone;

    for (size_t i = 0; i < run->n_outputs; i++) {
        if (output_copy_get_error(run->outputs[i]) < 0)
            (void)sd_event_exit(run->event, 0); /* nobody listens any more */
        complete = complete && output_copy_is_done(run->outputs[i]);
    }
    if (complete)
        (void)sd_event_exit(run->event, 0); /* cannot fail on a live loop, here and above */
}

static void finish_outputs(VmRun *run)
{
    for (size_t i = 0; i < run->n_outputs; i++)
        output_copy_finish(run->outputs[i]);
    end_if_complete(run);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    finish_outputs(userdata);
    return 0;
}

static void on_signal(void *userdata, DBusMessage *signal)
{
    VmRun *run = userdata;

    if (!dbus_message_is_signal(signal, BUS_VM_INTERFACE, "Died") ||
        !dbus_message_has_path(signal, run->path) || run->died)
        return;
    run->died = true;
    /* What the guest wrote is in the pipes. Their ends come, unless somebody kept them open. */
    if (sd_event_add_time_relative(run->event, NULL, CLOCK_MONOTONIC,
                                   DEATH_GRACE_SEC * USEC_PER_SEC, 0, on_grace_over, run) < 0)
        finish_outputs(run);
    end_if_complete(run);
}

static void on_gone(void *userdata)
{
    VmRun *run = userdata;

    run->gone = true;
    finish_outputs(run);
}

static int on_interrupt(sd_event_source *source,
                        const struct signalfd_siginfo *info,
                        void *userdata)
{
    VmRun *run = userdata;

    (void)source;
    (void)info;
    if (run->died || run->gone) {
        (void)sd_event_exit(run->event, 0); /* what is left waits for our own reader */
    } else if (!run->interrupted) {
        run->interrupted = true;
        if (!run->options->command_line->quiet)
            output_diagnostic("stopping VM %s; interrupt again to kill it", run->name);
        client_send_to_vm(run->client, run->path, "Stop");
    } else {
        client_send_to_vm(run->client, run->path, "Kill");
    }
    return 0;
}

static const ClientHandlers client_handlers = { .on_signal = on_signal, .on_gone = on_gone };

/* --- setting up --- */

static int add_output(VmRun *run, const char *key, int destination_fd, OutputCopyMode mode)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE); /* a smaller one works, too */
    int r = output_copy_new(run->event, ends[0], destination_fd, mode, end_if_complete, run,
                            &run->outputs[run->n_outputs]);
    if (r < 0) {
        fd_close_many(ends, ELEMENTS_OF(ends));
        return r;
    }
    run->output_keys[run->n_outputs] = key;
    run->writing_ends[run->n_outputs++] = ends[1];
    return 0;
}

static int add_outputs(VmRun *run, bool console)
{
    int r = add_output(run, PAYLOAD_OUT, STDOUT_FILENO, OUTPUT_COPY_RAW);

    if (r >= 0 && console)
        r = add_output(run, CONSOLE_OUT, STDERR_FILENO,
                       isatty(STDERR_FILENO) == 1 ? OUTPUT_COPY_ESCAPED : OUTPUT_COPY_RAW);
    return r;
}

/* The loop and all that it watches, before there is a VM, so that nothing is missed. */
static int set_up_loop(VmRun *run, bool console, Error *error)
{
    int r = sd_event_new(&run->event);

    if (r >= 0)
        r = interrupt_watch(run->event, on_interrupt, run);
    if (r >= 0)
        r = add_outputs(run, console);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot set up the event loop");
    r = client_attach(run->client, run->event, &client_handlers, run, error);
    if (r < 0)
        return r;
    return client_watch(run->client, "interface='" BUS_VM_INTERFACE "',member='Died'", error);
}

static int create_vm(VmRun *run, const char *lifetime, Error *error)
{
    const NamedFds *more = run->options->files;
    size_t n_files = 0;
    _cleanup_free_ NamedFd *files =
        calloc(N_OUTPUTS + more->n_items + run->config->n_files, sizeof(NamedFd));
    if (!files)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    for (size_t i = 0; i < run->n_outputs; i++)
        files[n_files++] = (NamedFd){ .key = run->output_keys[i], .fd = run->writing_ends[i] };
    for (size_t i = 0; i < more->n_items; i++)
        files[n_files++] = more->items[i];
    for (size_t i = 0; i < run->config->n_files; i++)
        files[n_files++] =
            (NamedFd){ .key = run->config->files[i].path, .fd = run->config->files[i].fd };
    return vm_create(run->client, run->config->text, lifetime, files, n_files, &run->path, error);
}

/* Once the service has the descriptors: the outputs end when the guest's side does, and the images
 * are the VM's alone. */
static void close_files(VmRun *run)
{
    for (size_t i = 0; i < run->n_outputs; i++)
        run->writing_ends[i] = fd_close(run->writing_ends[i]);
    for (size_t i = 0; i < run->config->n_files; i++)
        run->config->files[i].fd = fd_close(run->config->files[i].fd);
    named_fds_close(run->options->files);
}

static int start_vm(VmRun *run, Error *error)
{
    bool detach = run->options->detach;

    int r = detach ? 0 : set_up_loop(run, run->options->console, error);
    if (r >= 0)
        r = create_vm(run, detach ? "detached" : "client", error);
    if (r < 0)
        return r;
    close_files(run);
    const char *id = strrchr(run->path, '/') + 1; /* an object path has one */
    run->name = run->config->name ? run->config->name : id;
    r = client_call_vm(run->client, run->path, "Start", "", NULL, error);
    if (r < 0) {
        if (detach) /* or else it ends with the connection; @error has the cause already */
            (void)client_call_vm(run->client, run->path, "Kill", "", NULL, NULL);
        return r;
    }
    return detach ? vm_action_print_vm(run->options->command_line, run->client, run->path, error)
                  : 0;
}

int vm_run_check_options(const Options *options, Error *error)
{
    if (options->json != JSON_FORMAT_OFF && !options->detach && !options->dry_run)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' has '--json' with '--detach' or '--dry-run' only: without them "
                         "standard output is the payload's",
                         options->verb->name);
    return 0;
}

int vm_run_start(
    Client *client, ConfigFiles *config, const VmRunOptions *options, VmRun **ret_run, Error *error)
{
    _cleanup_(vm_run_freep) VmRun *run = calloc(1, sizeof(*run));
    if (!run)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");

    *run = (VmRun){ .client = client, .config = config, .options = options };
    int r = start_vm(run, error);
    if (r < 0)
        return r;
    *ret_run = TAKE_PTR(run);
    return 0;
}

int vm_run_wait(VmRun *run, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *record = NULL;

    if (run->options->detach)
        return 0;
    int r = sd_event_loop(run->event);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot wait for VM %s", run->name);
    for (size_t i = 0; i < run->n_outputs; i++) {
        r = output_copy_get_error(run->outputs[i]);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot copy %s of VM %s",
                                   run->output_keys[i], run->name);
    }
    if (!run->died)
        return error_set(error, ERROR_UNAVAILABLE,
                         "virtualizationd is gone from the bus, what became of VM %s is unknown",
                         run->name);
    client_detach(run->client);
    r = client_call_vm(run->client, run->path, "GetDeathRecord", "a{sv}", &record, error);
    if (r < 0)
        return r;
    death_report_print(run->name, run->options->instance, record);
    if (run->options->forget)
        r = client_call_vm(run->client, run->path, "Forget", "", NULL, error);
    if (r < 0)
        return r;
    return exit_status_from_death_record(record);
}

int vm_run_report(const VmRunOptions *options, const Error *error)
{
    output_error(error);
    /* A detached VM's payload has no part in the exit status. */
    return (int)(options->detach ? exit_status_from_error(error->kind)
                                 : exit_status_of_run_from_error(error->kind));
}
