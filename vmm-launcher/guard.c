/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/guard.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "vmm-launcher/layer.h"
#include "vmm-launcher/syscall-name.h"

/* Linux 6.6; include/uapi/linux/seccomp.h. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#    define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define SYNC_WAKE_UP 1UL

#define CALL_NUMBERS_MAX 1024
#define STATUS_SIZE      4096

typedef struct Listener {
    Guard *guard;
    StubProgram program;
    sd_event_source *io;
    bool told[2][CALL_NUMBERS_MAX]; /* in the log: each call once before the seal and once after */
} Listener;

struct Guard {
    const GuardProgram *programs;
    LaunchSeccompAction action;
    bool sealed;
    const GuardHandlers *handlers;
    void *userdata;
    Listener listeners[STUB_PROGRAM_MAX];
};

static void tell_once(Listener *listener, int number, const char *what)
{
    const char *name = syscall_name(number);
    bool sealed = listener->guard->sealed;

    if (number < 0 || number >= CALL_NUMBERS_MAX || listener->told[sealed][number])
        return;
    listener->told[sealed][number] = true;
    log_notice("seccomp: %s %s: %s (%d), %s the seal", stub_program_to_string(listener->program),
               what, name ? name : "an unknown call", number, sealed ? "after" : "before");
}

/* Whether the call may go on; an errno to refuse it with; or 1 for a violation. */
static int judge(Listener *listener, const struct seccomp_notif *call)
{
    Guard *guard = listener->guard;
    const SeccompPolicy *policy = guard->programs[listener->program].policy;

    if (!guard->sealed && seccomp_policy_is_startup_call(policy, &call->data))
        return 0;
    switch (guard->action) {
    case SECCOMP_LOG:
        tell_once(listener, call->data.nr, "makes a call that its policy lacks");
        return 0;
    case SECCOMP_ERRNO:
        tell_once(listener, call->data.nr, "is refused");
        return -EPERM;
    case SECCOMP_KILL:
    case SECCOMP_ACTION_MAX:
        break;
    }
    return 1;
}

static int on_notification(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Listener *listener = userdata;
    Guard *guard = listener->guard;
    /* The kernel's structures may be larger than those we were compiled with. */
    union {
        struct seccomp_notif call;
        char room[512];
    } received;
    union {
        struct seccomp_notif_resp answer;
        char room[512];
    } sent;

    memset(&received, 0, sizeof(received));
    memset(&sent, 0, sizeof(sent));
    if (!(revents & POLLIN)) {
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* nobody is left in there */
        return 0;
    }
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &received) < 0)
        return 0; /* the caller was killed meanwhile */

    int verdict = judge(listener, &received.call);
    if (verdict == 1) {
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        guard->handlers->denied(guard->userdata, listener->program, received.call.data.nr);
        return 0;
    }
    sent.answer.id = received.call.id;
    sent.answer.error = verdict;
    sent.answer.flags = verdict == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    (void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &sent); /* or it was killed meanwhile */
    return 0;
}

Guard *guard_free(Guard *guard)
{
    if (!guard)
        return NULL;

    for (size_t i = 0; i < STUB_PROGRAM_MAX; i++)
        sd_event_source_disable_unref(guard->listeners[i].io);
    free(guard);
    return NULL;
}

int guard_new(sd_event *event,
              const GuardProgram programs[static STUB_PROGRAM_MAX],
              LaunchSeccompAction action,
              const GuardHandlers *handlers,
              void *userdata,
              Guard **ret_guard)
{
    Guard *guard = calloc(1, sizeof(*guard));
    if (!guard)
        return -ENOMEM;

    guard->programs = programs;
    guard->action = action;
    guard->handlers = handlers;
    guard->userdata = userdata;
    for (uint32_t program = 0; program < STUB_PROGRAM_MAX; program++) {
        Listener *listener = &guard->listeners[program];
        int fd = programs[program].listener;

        listener->guard = guard;
        listener->program = program;
        if (fd < 0)
            continue;
        /* The caller and we take turns: wake each other up on one processor, where the kernel
         * knows how. */
        (void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);
        int r = sd_event_add_io(event, &listener->io, fd, POLLIN, on_notification, listener);
        if (r < 0) {
            guard_free(guard);
            return r;
        }
        (void)sd_event_source_set_description(listener->io, "seccomp-listener");
    }
    *ret_guard = guard;
    return 0;
}

/* --- the seal --- */

/* Whether the status file has the line that begins with @key and goes on with @value. */
static bool has_line(const char *status, const char *key, const char *value)
{
    const char *found = strstr(status, key);

    return found && strncmp(found + strlen(key), value, strlen(value)) == 0;
}

static int check_program(
    const GuardProgram *program, const char *name, uid_t uid, bool own_uid, Error *error)
{
    char status[STATUS_SIZE], ids[64];
    const struct {
        const char *key, *value;
        Layer layer;
    } lines[] = {
        { "\nUid:\t", ids, LAYER_UID },
        { "\nCapInh:\t", "0000000000000000\n", LAYER_CAPABILITIES },
        { "\nCapPrm:\t", "0000000000000000\n", LAYER_CAPABILITIES },
        { "\nCapEff:\t", "0000000000000000\n", LAYER_CAPABILITIES },
        { "\nCapBnd:\t", "0000000000000000\n", LAYER_CAPABILITIES },
        { "\nCapAmb:\t", "0000000000000000\n", LAYER_CAPABILITIES },
        { "\nNoNewPrivs:\t", "1\n", LAYER_CAPABILITIES },
        { "\nSeccomp:\t", "2\n", LAYER_SECCOMP },
    };

    ssize_t size = pread(program->status, status, sizeof(status) - 1, 0);
    if (size < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot look at %s", name);
    status[size] = '\0';
    (void)snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
    for (size_t i = 0; i < ELEMENTS_OF(lines); i++) {
        if (layer_is_on(lines[i].layer) && !has_line(status, lines[i].key, lines[i].value))
            return error_set(error, ERROR_START_FAILED,
                             "%s is not in the state that the sandbox puts it in: %.*s", name,
                             (int)strlen(lines[i].key) - 3, lines[i].key + 1);
    }
    if (own_uid && layer_is_on(LAYER_UID) &&
        (!has_line(status, "\nGid:\t", ids) || !has_line(status, "\nGroups:\t", " \n")))
        return error_set(error, ERROR_START_FAILED, "%s has groups that it must not have", name);
    return 0;
}

int guard_seal(Guard *guard, uid_t uid, bool own_uid, const SeccompPolicy *sealed, Error *error)
{
    for (uint32_t program = 0; program < STUB_PROGRAM_MAX; program++) {
        int r = check_program(&guard->programs[program], stub_program_to_string(program), uid,
                              own_uid, error);
        if (r < 0)
            return r;
    }
    guard->sealed = true;
    if (guard->action != SECCOMP_KILL || !layer_is_on(LAYER_SECCOMP))
        return 0;

    int r = seccomp_policy_apply(sealed, NULL);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot seal the sandbox");
    return 0;
}
