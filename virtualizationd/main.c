/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/log.h"
#include "config.h"
#include "virtualizationd/daemon.h"
#include "virtualizationd/kill-point.h"

#define DEFAULT_RUNTIME_DIR "/run/virtualizationd"
#define DEFAULT_CACHE_DIR   "/var/cache/virtualizationd"
#define DEFAULT_STATE_DIR   "/var/lib/virtualizationd"

/* Where a user's own daemon has its directories. */
typedef struct UserDirectories {
    char runtime[PATH_MAX], cache[PATH_MAX], config[PATH_MAX], state[PATH_MAX];
} UserDirectories;

static void print_help(void)
{
    puts("Usage: virtualizationd [OPTION]...\n"
         "\n"
         "Runs virtual machines for programs that ask for them over D-Bus.\n"
         "\n"
         "      --user             a user's own: session bus, directories of the user's\n"
         "      --bus=BUS          system (default), session, or a bus address\n"
         "      --runtime-dir=DIR  for sockets (default: " DEFAULT_RUNTIME_DIR ")\n"
         "      --cache-dir=DIR    for the files that VMs run from (default: " DEFAULT_CACHE_DIR
         ")\n"
         "      --state-dir=DIR    for what outlives a run of the machine\n"
         "                         (default: " DEFAULT_STATE_DIR "); root's launchers\n"
         "                         keep the host secret in DIR-launcher\n"
         "      --launcher-socket=FILE\n"
         "                         where a service manager starts launchers, of its own settings\n"
         "      --os-dir=DIR       guests' systems, instead of those that are installed\n"
         "      --config=FILE      and FILE.d/*.conf instead of the files that\n"
         "                         virtualizationd.conf(5) names\n"
         "  -h, --help             show this help\n"
         "      --version          show the version");
}

/* "DIRECTORY/virtualizationd", where the directory is what the environment says, or else below the
 * home directory. Empty when neither is there. */
static void find_user_dir(const char *variable, const char *below_home, char path[static PATH_MAX])
{
    const char *directory = getenv(variable), *home = getenv("HOME");

    path[0] = '\0';
    if (directory && directory[0] == '/')
        (void)snprintf(path, PATH_MAX, "%s/virtualizationd", directory);
    else if (below_home && home && home[0] == '/')
        (void)snprintf(path, PATH_MAX, "%s/%s/virtualizationd", home, below_home);
}

/* A user may have had no cache or state before. Whoever uses the directory says what is wrong. */
static void make_above(const char *path)
{
    char above[PATH_MAX];

    (void)snprintf(above, sizeof(above), "%s", path);
    for (char *slash = strchr(above + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(above, 0700);
        *slash = '/';
    }
}

/* Source: XDG Base Directory Specification 0.8, also for the mode of directories that are made. */
static int set_user_defaults(DaemonOptions *options, UserDirectories *directories)
{
    find_user_dir("XDG_RUNTIME_DIR", NULL, directories->runtime);
    find_user_dir("XDG_CACHE_HOME", ".cache", directories->cache);
    find_user_dir("XDG_CONFIG_HOME", ".config", directories->config);
    if (!options->runtime_dir)
        options->runtime_dir = directories->runtime;
    if (!options->cache_dir)
        options->cache_dir = directories->cache;
    find_user_dir("XDG_STATE_HOME", ".local/state", directories->state);
    if (!options->state_dir)
        options->state_dir = directories->state;
    if (directories->config[0] != '\0')
        options->settings.directories[0] = directories->config;
    if (!options->bus)
        options->bus = "session";
    if (options->runtime_dir[0] != '\0' && options->cache_dir[0] != '\0' &&
        options->state_dir[0] != '\0') {
        if (options->cache_dir == directories->cache)
            make_above(options->cache_dir);
        if (options->state_dir == directories->state)
            make_above(options->state_dir);
        return 0;
    }
    fprintf(stderr, "virtualizationd: --user needs $XDG_RUNTIME_DIR and $HOME, or --runtime-dir, "
                    "--cache-dir and --state-dir\n");
    return -EINVAL;
}

static void set_system_defaults(DaemonOptions *options)
{
    static const char *const directories[SETTINGS_DIRECTORIES_MAX] = { "/etc/virtualizationd",
                                                                       "/run/virtualizationd",
                                                                       "/usr/lib/virtualizationd" };

    memcpy(options->settings.directories, directories, sizeof(directories));
    if (!options->runtime_dir)
        options->runtime_dir = DEFAULT_RUNTIME_DIR;
    if (!options->cache_dir)
        options->cache_dir = DEFAULT_CACHE_DIR;
    if (!options->state_dir)
        options->state_dir = DEFAULT_STATE_DIR;
    if (!options->bus)
        options->bus = "system";
}

static int check_path(const char *option, const char *path)
{
    if (path[0] == '/')
        return 0;
    fprintf(stderr, "virtualizationd: --%s takes an absolute path, not '%s'\n", option, path);
    return -EINVAL;
}

/* 1: go on; 0: done; negative: wrong usage. */
static int parse_options(int argc, char **argv, DaemonOptions *options)
{
    enum {
        BUS = 256,
        USER,
        RUNTIME_DIR,
        CACHE_DIR,
        STATE_DIR,
        LAUNCHER_SOCKET_OPTION,
        OS_DIR,
        CONFIG,
        VERSION_OPTION
    };
    static const struct option table[] = {
        { "user", no_argument, NULL, USER },
        { "bus", required_argument, NULL, BUS },
        { "runtime-dir", required_argument, NULL, RUNTIME_DIR },
        { "cache-dir", required_argument, NULL, CACHE_DIR },
        { "state-dir", required_argument, NULL, STATE_DIR },
        { "launcher-socket", required_argument, NULL, LAUNCHER_SOCKET_OPTION },
        { "os-dir", required_argument, NULL, OS_DIR },
        { "config", required_argument, NULL, CONFIG },
        KILL_POINT_OPTIONS{ "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, VERSION_OPTION },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
        switch (option) {
        case USER:
            options->user = true;
            break;
        case BUS:
            options->bus = optarg;
            break;
        case RUNTIME_DIR:
            options->runtime_dir = optarg;
            break;
        case CACHE_DIR:
            options->cache_dir = optarg;
            break;
        case STATE_DIR:
            options->state_dir = optarg;
            break;
        case LAUNCHER_SOCKET_OPTION:
            options->launcher_socket = optarg;
            break;
        case OS_DIR:
            options->os_dirs[0] = optarg;
            break;
        case CONFIG:
            options->settings.file = optarg;
            break;
        case 'h':
            print_help();
            return 0;
        case VERSION_OPTION:
            puts("virtualizationd " PACKAGE_VERSION);
            return 0;
        default:
            if (!kill_point_take_option(option, optarg))
                return -EINVAL;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "virtualizationd: unexpected argument '%s'; see --help\n", argv[optind]);
        return -EINVAL;
    }
    return 1;
}

int main(int argc, char **argv)
{
    DaemonOptions options = { 0 };
    UserDirectories directories;

    fd_occupy_standard();
    log_set_max_level_from_environment();
    int r = parse_options(argc, argv, &options);
    if (r <= 0)
        return r < 0 ? 2 : EXIT_SUCCESS;
    if (!options.user)
        set_system_defaults(&options);
    else if (set_user_defaults(&options, &directories) < 0)
        return 2;
    if (check_path("runtime-dir", options.runtime_dir) < 0 ||
        check_path("cache-dir", options.cache_dir) < 0 ||
        check_path("state-dir", options.state_dir) < 0 ||
        (options.launcher_socket && check_path("launcher-socket", options.launcher_socket) < 0))
        return 2;
    if (!options.os_dirs[0]) {
        options.os_dirs[0] = "/etc/virtualizationd/os";
        options.os_dirs[1] = OS_DIR_INSTALLED;
    }

    umask(0022);
    /* The one child, the listener, is nobody's to wait for: it outlives this process or not. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGCHLD, SIG_IGN) == SIG_ERR)
        return EXIT_FAILURE;
    return daemon_run(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
