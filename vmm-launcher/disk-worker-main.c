/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/text.h"
#include "config.h"
#include "vmm-launcher/box.h"
#include "vmm-launcher/disk-worker.h"

/* Longer than reading the largest file that somebody waits for the hashes of. */
#define JOB_TIMEOUT_SEC 3600

typedef struct Options {
    uint64_t connection_fd, request_fd; /* 0: none */
    TemplateOptions template;
} Options;

static void print_help(void)
{
    puts(
        "Usage: disk-worker --connection-fd=N --request-fd=N --cache-dir=DIR --policy-dir=DIR\n"
        "                   --vmm-prefix=DIR\n"
        "\n"
        "Does a job on image files for virtualizationd; vmm-launcher runs it; not for use by hand.\n"
        "The options are vmm-launcher's; the request is received from --request-fd.");
}

/* 1: go on; 0: done; negative: wrong usage. */
static int parse_options(int argc, char **argv, Options *options)
{
    static const struct option table[] = {
        { "connection-fd", required_argument, NULL, 'c' },
        { "request-fd", required_argument, NULL, 'r' },
        { "cache-dir", required_argument, NULL, 'd' },
        { "policy-dir", required_argument, NULL, 'p' },
        { "vmm-prefix", required_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    int option, r = 0;

    while (r >= 0 && (option = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
        switch (option) {
        case 'c':
            r = text_parse_u64(optarg, INT32_MAX, &options->connection_fd);
            break;
        case 'r':
            r = text_parse_u64(optarg, INT32_MAX, &options->request_fd);
            break;
        case 'd':
            options->template.cache_dir = optarg;
            break;
        case 'p':
            options->template.policy_dir = optarg;
            break;
        case 'v':
            options->template.vmm_prefix = optarg;
            break;
        case 'h':
            print_help();
            return 0;
        case 'V':
            puts("disk-worker " PACKAGE_VERSION);
            return 0;
        default:
            return -EINVAL;
        }
    }
    const TemplateOptions *template = &options->template;
    if (r < 0 || optind < argc || options->connection_fd == 0 || options->request_fd == 0 ||
        !template->cache_dir || !template->policy_dir || !template->vmm_prefix) {
        fputs("disk-worker: vmm-launcher runs this; see --help\n", stderr);
        return -EINVAL;
    }
    return 1;
}

static int serve(const Options *options, Error *error)
{
    _cleanup_(launch_request_deinit) LaunchRequest request = { 0 };
    bool unprivileged = geteuid() != 0;
    int r = 0;

    if (fd_set_cloexec((int)options->connection_fd, true) < 0 ||
        fd_set_cloexec((int)options->request_fd, true) < 0)
        return error_set(error, ERROR_FAILED, "there is no connection");
    (void)alarm(JOB_TIMEOUT_SEC);
    if (unprivileged)
        r = box_gain_privilege();
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot make a user namespace");
    r = launch_request_receive((int)options->request_fd, &request, error);
    if (r >= 0 && request.kind != REQUEST_DISK_JOB)
        r = error_set(error, ERROR_INVALID_ARGUMENT, "not a disk job");
    return r < 0 ? r
                 : disk_worker_run(&options->template, unprivileged, &request,
                                   (int)options->connection_fd, error);
}

int main(int argc, char **argv)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    Options options = { 0 };

    fd_occupy_standard();
    log_set_max_level_from_environment();
    int r = parse_options(argc, argv, &options);
    if (r <= 0)
        return r < 0 ? 2 : EXIT_SUCCESS;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return EXIT_FAILURE;
    r = serve(&options, &error);
    launch_request_answer((int)options.connection_fd, &error);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
