/* SPDX-License-Identifier: Apache-2.0 */
/* Only in the launcher of the escape tests. */
#include "vmm-launcher/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAKS_FIRST 200

/* The one exception from "no variables at file scope": state of the tests, not of the program. */
static LayerOptions configured;
static pid_t launcher;
static unsigned long n_passed, n_passed_by_stub;

bool layer_take_option(int option, const char *value, LayerOptions *options)
{
    switch (option) {
    case LAYER_OPTION_WITHOUT:
        options->without = value;
        return true;
    case LAYER_OPTION_KILL_AT:
        options->kill_at = strtoul(value, NULL, 10);
        return true;
    case LAYER_OPTION_KILL_STUB_AT:
        options->kill_stub_at = strtoul(value, NULL, 10);
        return true;
    case LAYER_OPTION_LEAK:
        if (options->n_leaks < LAYER_LEAKS_MAX)
            options->leaks[options->n_leaks++] = value;
        return true;
    default:
        return false;
    }
}

void layer_configure(const LayerOptions *options)
{
    configured = *options;
    launcher = getpid();
    /* Descriptors as a mistake would leave them: not closed by exec, above those of a program. */
    for (size_t i = 0; i < configured.n_leaks; i++) {
        int fd = open(configured.leaks[i], O_RDONLY | O_CLOEXEC);

        (void)fcntl(fd, F_DUPFD, LEAKS_FIRST);
        (void)close(fd);
    }
}

bool layer_is_on(Layer layer)
{
    return !configured.without || !strchr(configured.without, (int)layer);
}

/* Becomes @uid and keeps all capabilities. */
static int change_uid_only(uid_t uid)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
        (getgroups(0, NULL) != 0 && setgroups(0, NULL) < 0) || setresgid(uid, uid, uid) < 0 ||
        setresuid(uid, uid, uid) < 0 || syscall(SYS_capget, &header, data) < 0)
        return -errno;
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].effective = data[i].permitted;
        data[i].inheritable = data[i].permitted;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return -errno;
    /* Through exec, too. */
    for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    return 0;
}

int layer_drop_privileges(uid_t uid)
{
    bool change_uid = layer_is_on(LAYER_UID), drop = layer_is_on(LAYER_CAPABILITIES);

    if (drop)
        return change_uid ? drop_privileges(uid, uid) : drop_capabilities();
    return change_uid ? change_uid_only(uid) : 0;
}

void layer_kill_point(void)
{
    bool is_launcher = getpid() == launcher;
    unsigned long kill_at = is_launcher ? configured.kill_at : configured.kill_stub_at;

    /* The stub begins with a copy of the launcher's number. */
    unsigned long passed = is_launcher ? ++n_passed : ++n_passed_by_stub;
    if (kill_at == 0 || passed != kill_at)
        return;
    /* Process 1 of a namespace is not killed from inside, and a program's policy stops kill(2). */
    if (is_launcher)
        (void)kill(getpid(), SIGKILL);
    _exit(EXIT_FAILURE);
}
