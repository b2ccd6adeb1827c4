/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/run-streams.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-run.h"
#include "vmctl/vm-validate.h"

int verb_run(const Options *options)
{
    _cleanup_(named_fds_deinit) NamedFds files = { 0 };
    const VmRunOptions run_options = { .command_line = options,
                                       .detach = options->detach,
                                       .forget = options->rm,
                                       .console = options_wants_console(options),
                                       .files = &files };
    _cleanup_(run_streams_deinit) RunStreams streams = { 0 };
    _cleanup_(config_files_freep) ConfigFiles *config = NULL;
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_(vm_run_freep) VmRun *run = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (vm_run_check_options(options, &error) < 0) {
        output_error(&error);
        return EXIT_STATUS_USAGE;
    }
    int r = config_files_load(options->arguments[0], options->name, &config, &error);
    if (r >= 0)
        r = client_new(options, &client, &error);
    if (r >= 0 && options->dry_run)
        return vm_validate_report(options, client, config);
    if (r >= 0)
        r = run_streams_open(&streams, options, &files, &error);
    if (r >= 0)
        r = vm_run_start(client, config, &run_options, &run, &error);
    if (r < 0)
        return vm_run_report(&run_options, &error);
    run_streams_keep(&streams);
    r = vm_run_wait(run, &error);
    return r < 0 ? vm_run_report(&run_options, &error) : r;
}
