/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>

#include "common/fd.h"
#include "config.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/remote.h"
#include "vmctl/verbs.h"

#define RUN_OPTIONS "console console-in detach dry-run json log name quiet rm"

#define A_VM     "the name or id of a VM"
#define A_CONFIG "a configuration file"

/* clang-format off */
static const Verb verbs[] = {
    { "list", 0, SIZE_MAX, NULL, "[PATTERN...]", "list the VMs; what vmctl does without a verb",
      "all json no-legend owner quiet state", verb_list },
    { "status", 1, SIZE_MAX, A_VM, "VM...", "tell how VMs are, or why they died",
      "all json quiet", verb_status },
    { "show", 0, SIZE_MAX, NULL, "[VM...]", "print the properties of VMs",
      "all json property value", verb_show },
    { "run", 1, 1, A_CONFIG, "CONFIG.json",
      "make and start a VM, copy its payload's output, exit as it exits",
      RUN_OPTIONS, verb_run },
    { "run-app", 1, 3, "an archive (APK)", "APK [IDSIG INSTANCE]",
      "the same with a program of a signed archive, as an instance of it",
      RUN_OPTIONS " config-path cpu-topology debug extra-apk extra-idsig instance-id-file mem os "
                  "payload-binary-name payload_path protected storage storage-size work-dir",
      verb_run_app },
    { "create", 1, 1, A_CONFIG, "CONFIG.json", "make a VM that is not started, and print its id",
      "dry-run json name quiet", verb_create },
    { "start", 1, SIZE_MAX, A_VM, "VM...", "start VMs that were made", "json", verb_start },
    { "stop", 1, SIZE_MAX, A_VM, "VM...", "have VMs end, and wait for that",
      "json mode no-block no-kill timeout", verb_stop },
    { "kill", 1, SIZE_MAX, A_VM, "VM...", "end VMs at once, and wait for that",
      "json no-block", verb_kill },
    { "suspend", 1, SIZE_MAX, A_VM, "VM...", "stop the processors of VMs", "json", verb_suspend },
    { "resume", 1, SIZE_MAX, A_VM, "VM...", "let suspended VMs go on", "json", verb_resume },
    { "forget", 1, SIZE_MAX, A_VM, "VM...", "forget dead VMs, and why they died", "json", verb_forget },
    { "wait", 1, SIZE_MAX, A_VM, "VM...", "wait until VMs are dead, or have got so far",
      "for json timeout", verb_wait },
    { "events", 0, SIZE_MAX, NULL, "[VM...]", "print what happens to VMs, until interrupted",
      "all json since", verb_events },
    { "logs", 1, 1, A_VM, "VM", "print what is kept of the console or a log",
      "console follow guest lines vmm", verb_logs },
    { "console", 1, 1, A_VM, "VM", "attach to the guest's console", "escape force read-only",
      verb_console },
    { "exec", 2, SIZE_MAX, A_VM " and a command", "VM -- COMMAND [ARGUMENT...]",
      "run a command in a debuggable guest, as root", "escape", verb_exec },
    { "connect", 2, 2, A_VM " and a port", "VM PORT",
      "connect standard input and output to a vsock port of the guest", NULL, verb_connect },
    { "capture", 1, 1, A_VM, "VM -w FILE", "capture the guest's vsock traffic, as pcap",
      "write", verb_capture },
    { "balloon", 2, 2, "a VM and a size", "VM SIZE", "take memory from a guest, or give it back",
      "json", verb_balloon },
    { "validate", 1, 1, A_CONFIG, "CONFIG.json", "check a configuration and show what would be run",
      "json name quiet", verb_validate },
    { "info", 0, 0, NULL, NULL, "check whether this host can run VMs, and how well",
      "json no-legend quiet", verb_info },
    { "limits", 0, 0, NULL, NULL, "show what you have, and how much you may have",
      "json no-legend quiet", verb_limits },
    { "check-feature-enabled", 1, 1, "the name of a feature", "FEATURE",
      "tell whether this host and version have a feature", "json quiet",
      verb_check_feature_enabled },
    { "create-partition", 2, 2, "a path and a size", "PATH SIZE", "make a writable partition",
      "json type", verb_create_partition },
    { "create-idsig", 2, 2, "an APK and a path", "APK PATH",
      "make the idsig of an APK, or bring it up to date", "json", verb_create_idsig },
    { "create-payload", 1, 1, "a folder", "FOLDER -o APK",
      "make a signed archive of a folder, for run-app",
      "cert force json key output package version-code", verb_create_payload },
    { .name = NULL },
};
/* clang-format on */

static int run_remotely(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    (void)remote_execute(options, &error); /* it comes back with an error only */
    output_error(&error);
    return (int)exit_status_from_error(error.kind);
}

int main(int argc, char **argv)
{
    Options options = { 0 };
    Error error = ERROR_INIT;
    int status = EXIT_STATUS_OK;

    fd_occupy_standard();
    if (options_parse(argc, argv, verbs, &options, &error) < 0) {
        output_error(&error);
        error_clear(&error);
        return EXIT_STATUS_USAGE;
    }
    if (options.help)
        options_print_help(verbs, options.verb);
    else if (options.version)
        puts("vmctl " PACKAGE_VERSION);
    else if (options.host)
        status = run_remotely(&options);
    else
        status = options.verb->run(&options);

    if (output_finish(&error) < 0 && status == EXIT_STATUS_OK) {
        output_error(&error);
        status = EXIT_STATUS_FAILED;
    }
    error_clear(&error);
    options_deinit(&options);
    return status;
}
