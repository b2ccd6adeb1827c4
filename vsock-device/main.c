/* SPDX-License-Identifier: Apache-2.0 */
/* vsock-device: virtio-vsock in user space, one process a VM. Both peers are inherited descriptors:
 * it opens no path and dials nothing. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/text.h"
#include "vsock-device/device.h"

#define VHOST_FD  3
#define BROKER_FD 4

#ifdef __SANITIZE_ADDRESS__
/* The leak check wants a /proc, which there is none of where this runs; nor can the sanitizer read
 * its options from the environment without. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

typedef struct Options {
    uint32_t guest_cid;
} Options;

static void print_help(void)
{
    puts("Usage: vsock-device --guest-cid=N\n"
         "\n"
         "Serves virtio-vsock to the vhost-user front-end at descriptor 3; connections are\n"
         "brokered by the peer at descriptor 4.\n"
         "\n"
         "  --guest-cid=N  context id of the guest, at least 3\n"
         "  --help         print this and exit\n"
         "  --version      print the version and exit");
}

/* 1 to go on, 0 when all is done, -EINVAL. */
static int parse_options(int argc, char **argv, Options *ret_options)
{
    enum {
        OPTION_GUEST_CID = 256,
        OPTION_HELP,
        OPTION_VERSION
    };
    static const struct option known[] = {
        { "guest-cid", required_argument, NULL, OPTION_GUEST_CID },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { NULL, 0, NULL, 0 },
    };
    uint64_t guest_cid = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        switch (option) {
        case OPTION_GUEST_CID:
            if (text_parse_u64(optarg, DEVICE_GUEST_CID_MAX, &guest_cid) < 0 ||
                guest_cid < DEVICE_GUEST_CID_MIN) {
                log_error("--guest-cid=%s: no context id of a guest", optarg);
                return -EINVAL;
            }
            break;
        case OPTION_HELP:
            print_help();
            return 0;
        case OPTION_VERSION:
            puts("vsock-device " PACKAGE_VERSION);
            return 0;
        default:
            return -EINVAL; /* getopt_long() has said why */
        }
    }
    if (guest_cid == 0 || optind < argc) {
        log_error("usage: vsock-device --guest-cid=N");
        return -EINVAL;
    }

    ret_options->guest_cid = (uint32_t)guest_cid;
    return 1;
}

static int prepare_fd(int fd, int type, const char *what)
{
    int found;
    socklen_t size = sizeof(found);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &found, &size) < 0 || found != type) {
        log_error("descriptor %d is not the socket of the %s", fd, what);
        return -EBADF;
    }

    int r = fd_set_cloexec(fd, true);
    if (r >= 0)
        r = fd_set_nonblocking(fd, true);
    if (r < 0)
        log_error("cannot prepare descriptor %d: %s", fd, strerror(-r));
    return r;
}

static int prepare_process(void)
{
    /* Writes to sockets carry MSG_NOSIGNAL; what a front-end passes for an event descriptor may be
     * anything. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || prctl(PR_SET_DUMPABLE, 0) < 0 ||
        prctl(PR_SET_NAME, "vsock-device") < 0) {
        log_error("cannot prepare the process: %s", strerror(errno));
        return -errno;
    }

    int r = prepare_fd(VHOST_FD, SOCK_STREAM, "vhost-user front-end");
    if (r < 0)
        return r;
    return prepare_fd(BROKER_FD, SOCK_SEQPACKET, "broker");
}

static int serve(const Options *options)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    _cleanup_(device_freep) Device *device = NULL;
    Error error = ERROR_INIT;

    /* Here, too, falls the first malloc(), for which glibc asks the kernel for random bytes: before
     * any filter that a supervisor puts on later. */
    int r = sd_event_new(&event);
    if (r < 0) {
        log_error("cannot set up the event loop: %s", strerror(-r));
        return r;
    }
    r = device_new(event, options->guest_cid, VHOST_FD, BROKER_FD, &device, &error);
    if (r < 0) {
        log_error("%s", error_get_message(&error));
        error_clear(&error);
        return r;
    }

    r = sd_event_loop(event);
    if (r < 0)
        log_error("%s", device_get_error(device));
    return r;
}

int main(int argc, char **argv)
{
    Options options = { 0 };

    log_set_max_level_from_environment();
    int r = parse_options(argc, argv, &options);
    if (r <= 0)
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

    if (prepare_process() < 0)
        return EXIT_FAILURE;
    return serve(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
