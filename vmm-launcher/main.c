/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/fd-message.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/text.h"
#include "config.h"
#include "vmm-launcher/launch.h"
#include "vmm-launcher/layer.h"
#include "vmm-launcher/listener.h"

/* Above STUB_EXEC_FD. */
#define NOFILE_WANTED 4096

#define DEFAULT_CACHE_DIR  "/var/cache/virtualizationd"
#define DEFAULT_POLICY_DIR "/etc/virtualizationd/seccomp"
#define DEFAULT_STATE_DIR  "/var/lib/virtualizationd-launcher"

typedef struct Options {
    uint64_t connection_fd; /* 0: none */
    uint64_t await_fd;      /* 0: none */
    uint64_t user;
    uint64_t ready_fd; /* 0: none */
    bool prepare;
    const char *directory;
    LaunchOptions launch;
    LayerOptions layers;
} Options;

static void print_help(void)
{
    puts(
        "Usage: vmm-launcher [OPTION]... --connection-fd=N\n"
        "       vmm-launcher [OPTION]... --await-fd=N\n"
        "       vmm-launcher [OPTION]... --listen=DIRECTORY --user=UID [--ready-fd=N]\n"
        "       vmm-launcher [OPTION]... --prepare\n"
        "\n"
        "Starts virtual machines for virtualizationd, which runs it; not for use by hand.\n"
        "\n"
        "      --connection-fd=N   serve one launch on this connected socket\n"
        "      --await-fd=N        the same on a socket that comes in by N\n"
        "      --listen=DIRECTORY  serve each connection to DIRECTORY/socket by a launcher\n"
        "      --user=UID          who may connect\n"
        "      --ready-fd=N        write a line to N once connections are taken\n"
        "      --prepare           make the template root and end\n"
        "      --cache-dir=DIR     for the template root that VMs run from\n"
        "                          (default: " DEFAULT_CACHE_DIR ")\n"
        "      --state-dir=DIR     for the host secret, which is made there when it is missing\n"
        "                          (default: " DEFAULT_STATE_DIR ")\n"
        "      --host-secret=FILE  the host secret, 32 to 4096 bytes for the launcher's user alone;\n"
        "                          a service manager's credential 'host-secret' comes before it\n"
        "      --policy-dir=DIR    the administrator's own seccomp policies\n"
        "                          (default: " DEFAULT_POLICY_DIR ")\n"
        "      --vmm-prefix=DIR    take the VMM from the packages unpacked in DIR\n"
        "      --cgroup=NAME       make this cgroup for the VM: there is no service manager\n"
        "      --own-cgroup        divide the cgroup that the service manager has made for this\n"
        "                          launcher\n"
        "  -h, --help              show this help\n"
        "      --version           show the version");
}

enum {
    CONNECTION_FD = 256,
    AWAIT_FD,
    LISTEN,
    USER,
    READY_FD,
    PREPARE,
    CACHE_DIR,
    STATE_DIR,
    HOST_SECRET,
    POLICY_DIR,
    VMM_PREFIX,
    CGROUP,
    OWN_CGROUP,
    VERSION_OPTION
};

static const struct option option_table[] = {
    { "connection-fd", required_argument, NULL, CONNECTION_FD },
    { "await-fd", required_argument, NULL, AWAIT_FD },
    { "listen", required_argument, NULL, LISTEN },
    { "user", required_argument, NULL, USER },
    { "ready-fd", required_argument, NULL, READY_FD },
    { "prepare", no_argument, NULL, PREPARE },
    { "cache-dir", required_argument, NULL, CACHE_DIR },
    { "state-dir", required_argument, NULL, STATE_DIR },
    { "host-secret", required_argument, NULL, HOST_SECRET },
    { "policy-dir", required_argument, NULL, POLICY_DIR },
    { "vmm-prefix", required_argument, NULL, VMM_PREFIX },
    { "cgroup", required_argument, NULL, CGROUP },
    { "own-cgroup", no_argument, NULL, OWN_CGROUP },
    LAYER_OPTIONS{ "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, VERSION_OPTION },
    { NULL, 0, NULL, 0 },
};

/* What becomes of an option that says something: a number up to @max, a text, or, without a value,
 * a bool of Options. */
static const struct {
    int value; /* as in option_table */
    enum {
        NUMBER,
        TEXT,
        FLAG
    } kind;
    size_t offset;
    uint64_t max;
} targets[] = {
    { CONNECTION_FD, NUMBER, offsetof(Options, connection_fd), INT32_MAX },
    { AWAIT_FD, NUMBER, offsetof(Options, await_fd), INT32_MAX },
    { LISTEN, TEXT, offsetof(Options, directory), 0 },
    { USER, NUMBER, offsetof(Options, user), UINT32_MAX - 1 },
    { READY_FD, NUMBER, offsetof(Options, ready_fd), INT32_MAX },
    { PREPARE, FLAG, offsetof(Options, prepare), 0 },
    { CACHE_DIR, TEXT, offsetof(Options, launch.template.cache_dir), 0 },
    { STATE_DIR, TEXT, offsetof(Options, launch.host_secret.state_dir), 0 },
    { HOST_SECRET, TEXT, offsetof(Options, launch.host_secret.file), 0 },
    { POLICY_DIR, TEXT, offsetof(Options, launch.template.policy_dir), 0 },
    { VMM_PREFIX, TEXT, offsetof(Options, launch.template.vmm_prefix), 0 },
    { CGROUP, TEXT, offsetof(Options, launch.cgroup_name), 0 },
    { OWN_CGROUP, FLAG, offsetof(Options, launch.own_cgroup), 0 },
};

static int parse_number(int option, const char *text, uint64_t max, uint64_t *ret_value)
{
    const struct option *named = option_table;
    int r = text_parse_u64(text, max, ret_value);

    while (named->val != option)
        named++;
    if (r < 0)
        fprintf(stderr, "vmm-launcher: --%s takes a number up to %ju, not '%s'\n", named->name,
                (uintmax_t)max, text);
    return r;
}

/* -ENOENT: it is none of the targets. */
static int take_option(int option, Options *options)
{
    for (size_t i = 0; i < ELEMENTS_OF(targets); i++) {
        void *place = (char *)options + targets[i].offset;

        if (targets[i].value != option)
            continue;
        if (targets[i].kind == NUMBER)
            return parse_number(option, optarg, targets[i].max, place);
        if (targets[i].kind == TEXT)
            *(const char **)place = optarg;
        else
            *(bool *)place = true;
        return 0;
    }
    return -ENOENT;
}

/* 1: go on; 0: done; negative: wrong usage. */
static int parse_options(int argc, char **argv, Options *options)
{
    int option, r = 0;

    while (r >= 0 && (option = getopt_long(argc, argv, "h", option_table, NULL)) >= 0) {
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == VERSION_OPTION) {
            puts("vmm-launcher " PACKAGE_VERSION);
            return 0;
        }
        r = take_option(option, options);
        if (r == -ENOENT)
            r = layer_take_option(option, optarg, &options->layers) ? 0 : -EINVAL;
    }
    if (r < 0)
        return r;
    int n_modes = (options->connection_fd != 0) + (options->await_fd != 0) +
                  (options->directory != NULL) + options->prepare;
    if (optind < argc || n_modes != 1) {
        fputs(
            "vmm-launcher: one of --connection-fd, --await-fd, --listen and --prepare is needed; see "
            "--help\n",
            stderr);
        return -EINVAL;
    }
    return 1;
}

/* A VM with many disks needs more descriptors than the usual soft limit, and so does a listener
 * with many VMs. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= NOFILE_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < NOFILE_WANTED ? limit.rlim_max : NOFILE_WANTED;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_debug("cannot raise the descriptor limit");
}

/* Waits for the connection to serve. 0 when none will come. */
static int await_connection(int fd, int *ret_connection)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    size_t size, n_fds;
    char byte;

    while (poll(&poll_fd, 1, -1) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    int r = fd_message_receive(fd, &byte, 1, &size, ret_connection, 1, &n_fds);
    if (r < 0)
        return r;
    (void)fd_close(fd);
    return n_fds == 1;
}

/* What the listener does at its start, for a service manager that has none. */
static int prepare(const TemplateOptions *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_close_ int directory = -EBADF;

    umask(0022);
    int r = template_root_open(options, &directory, &error);
    if (r < 0)
        log_error("%s", error_get_message(&error));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int connection;

    Options options = { .launch.template = { .cache_dir = DEFAULT_CACHE_DIR,
                                             .policy_dir = DEFAULT_POLICY_DIR,
                                             .vmm_prefix = "" },
                        .launch.host_secret = { .credentials_dir = getenv("CREDENTIALS_DIRECTORY"),
                                                .state_dir = DEFAULT_STATE_DIR } };

    fd_occupy_standard();
    log_set_max_level_from_environment();
    int r = parse_options(argc, argv, &options);
    if (r <= 0)
        return r < 0 ? 2 : EXIT_SUCCESS;

    umask(0077);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return EXIT_FAILURE;
    raise_descriptor_limit();
    layer_configure(&options.layers);
    if (options.prepare)
        return prepare(&options.launch.template);
    if (options.await_fd != 0) {
        r = await_connection((int)options.await_fd, &connection);
        if (r <= 0)
            return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        return launch_serve(connection, &options.launch);
    }
    if (options.connection_fd != 0)
        return launch_serve((int)options.connection_fd, &options.launch);

    const ListenerOptions listener = {
        .directory = options.directory,
        .user = (uid_t)options.user,
        .ready_fd = options.ready_fd != 0 ? (int)options.ready_fd : -EBADF,
        .template = options.launch.template,
        .launcher_arguments = argv + 1,
    };
    umask(0022);
    return listener_run(&listener) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
