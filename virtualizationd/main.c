/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/log.h"
#include "config.h"
#include "virtualizationd/daemon.h"

#define DEFAULT_RUNTIME_DIR "/run/virtualizationd"
#define DEFAULT_CACHE_DIR   "/var/cache/virtualizationd"

static void print_help(void)
{
    puts("Usage: virtualizationd [OPTION]...\n"
         "\n"
         "Runs virtual machines for programs that ask for them over D-Bus.\n"
         "\n"
         "      --bus=BUS          system (default), session, or a bus address\n"
         "      --runtime-dir=DIR  for sockets (default: " DEFAULT_RUNTIME_DIR ")\n"
         "      --cache-dir=DIR    for the files that VMs run from (default: " DEFAULT_CACHE_DIR
         ")\n"
         "      --config=FILE      instead of /etc/virtualizationd/virtualizationd.conf\n"
         "  -h, --help             show this help\n"
         "      --version          show the version");
}

/* 1: go on; 0: done; negative: wrong usage. */
static int parse_options(int argc, char **argv, DaemonOptions *options)
{
    enum {
        BUS = 256,
        RUNTIME_DIR,
        CACHE_DIR,
        CONFIG,
        VERSION_OPTION
    };
    static const struct option table[] = {
        { "bus", required_argument, NULL, BUS },
        { "runtime-dir", required_argument, NULL, RUNTIME_DIR },
        { "cache-dir", required_argument, NULL, CACHE_DIR },
        { "config", required_argument, NULL, CONFIG },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, VERSION_OPTION },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
        switch (option) {
        case BUS:
            options->bus = optarg;
            break;
        case RUNTIME_DIR:
            options->runtime_dir = optarg;
            break;
        case CACHE_DIR:
            options->cache_dir = optarg;
            break;
        case CONFIG:
            options->config = optarg;
            break;
        case 'h':
            print_help();
            return 0;
        case VERSION_OPTION:
            puts("virtualizationd " PACKAGE_VERSION);
            return 0;
        default:
            return -EINVAL;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "virtualizationd: unexpected argument '%s'; see --help\n", argv[optind]);
        return -EINVAL;
    }
    if (options->runtime_dir[0] != '/' || options->cache_dir[0] != '/') {
        fprintf(stderr, "virtualizationd: --%s-dir takes an absolute path, not '%s'\n",
                options->runtime_dir[0] != '/' ? "runtime" : "cache",
                options->runtime_dir[0] != '/' ? options->runtime_dir : options->cache_dir);
        return -EINVAL;
    }
    return 1;
}

int main(int argc, char **argv)
{
    DaemonOptions options = { .bus = "system",
                              .runtime_dir = DEFAULT_RUNTIME_DIR,
                              .cache_dir = DEFAULT_CACHE_DIR };

    fd_occupy_standard();
    log_set_max_level_from_environment();
    int r = parse_options(argc, argv, &options);
    if (r <= 0)
        return r < 0 ? 2 : EXIT_SUCCESS;

    umask(0022);
    /* The one child, the listener, is nobody's to wait for: it outlives this process or not. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGCHLD, SIG_IGN) == SIG_ERR)
        return EXIT_FAILURE;
    return daemon_run(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
