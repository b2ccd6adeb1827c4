/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>

#include "common/fd.h"
#include "config.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"

static const Verb verbs[] = {
    { .name = "list", .options = VERB_OPTION_ALL | VERB_OPTION_JSON, .run = verb_list },
    { .name = "run",
      .n_min = 1,
      .n_max = 1,
      .argument = "a configuration file",
      .options = VERB_OPTION_DETACH | VERB_OPTION_NAME | VERB_OPTION_CONSOLE,
      .run = verb_run },
    { .name = "stop",
      .n_min = 1,
      .n_max = SIZE_MAX,
      .argument = "the name or id of a VM",
      .run = verb_stop },
    { .name = "kill",
      .n_min = 1,
      .n_max = SIZE_MAX,
      .argument = "the name or id of a VM",
      .run = verb_kill },
    { .name = "events", .options = VERB_OPTION_JSON, .run = verb_events },
    { .name = "info", .options = VERB_OPTION_JSON, .run = verb_info },
    { .name = "create-payload",
      .n_min = 1,
      .n_max = 1,
      .argument = "a folder",
      .options = VERB_OPTION_OUTPUT | VERB_OPTION_FORCE | VERB_OPTION_KEY | VERB_OPTION_CERT |
                 VERB_OPTION_PACKAGE | VERB_OPTION_VERSION_CODE,
      .run = verb_create_payload },
    { .name = NULL },
};

static void print_help(void)
{
    puts("Usage: vmctl [OPTIONS] VERB [NAME...]\n"
         "\n"
         "Runs and controls virtual machines of virtualizationd.\n"
         "\n"
         "Verbs:\n"
         "  list              list the VMs; what vmctl does without a verb\n"
         "  run CONFIG.json   make and start a VM, copy its payload's output, exit as it exits\n"
         "  stop VM...        ask VMs to end\n"
         "  kill VM...        end VMs at once\n"
         "  events            print what happens to VMs, until interrupted\n"
         "  info              show what this host can do\n"
         "  create-payload FOLDER -o APK\n"
         "                    make a signed archive of a folder, for a guest to run\n"
         "\n"
         "Options:\n"
         "      --bus=BUS         \"system\" (default), \"session\" or a bus address\n"
         "      --json=FORMAT     list, events, info: JSON, \"pretty\" or \"short\"\n"
         "  -a, --all             list: dead VMs too\n"
         "  -d, --detach          run: print the VM's id and leave it running\n"
         "      --name=NAME       run: name of the VM, whatever the configuration says\n"
         "      --console         run: copy the guest's console to standard error\n"
         "  -o, --output=APK      create-payload: the archive\n"
         "  -f, --force           create-payload: replace an archive that is there\n"
         "  -k, --key=PEM         create-payload: the key to sign with (default: APK's name with\n"
         "                        .pem, which is made, with a certificate, if it is not there)\n"
         "  -c, --cert=PEM        create-payload: the key's certificate, from another file\n"
         "      --package=NAME    create-payload: whose it is (default: \"payload.\" and FOLDER)\n"
         "      --version-code=N  create-payload: its version (default: 1)\n"
         "  -h, --help            show this help\n"
         "      --version         show the version");
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
        print_help();
    else if (options.version)
        puts("vmctl " PACKAGE_VERSION);
    else
        status = options.verb->run(&options);

    if (output_finish(&error) < 0 && status == EXIT_STATUS_OK) {
        output_error(&error);
        status = EXIT_STATUS_FAILED;
    }
    error_clear(&error);
    return status;
}
