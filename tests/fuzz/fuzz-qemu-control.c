/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM that a guest has taken over may say on its control connection. */
#include <assert.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "tests/fuzz/fuzz.h"
#include "vmm-launcher/vmm.h"

typedef struct Heard {
    unsigned n_running, n_failed;
} Heard;

static int on_ready(void *userdata)
{
    assert(((Heard *)userdata)->n_running == 0);
    return 0;
}

static void on_running(void *userdata)
{
    ((Heard *)userdata)->n_running++;
}

static void on_suspended_or_resumed(void *userdata)
{
    assert(((Heard *)userdata)->n_failed == 0);
}

static void on_failed(void *userdata, const char *sentence)
{
    assert(sentence);
    ((Heard *)userdata)->n_failed++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const VmmControlHandlers handlers = {
        .ready = on_ready,
        .running = on_running,
        .suspended = on_suspended_or_resumed,
        .resumed = on_suspended_or_resumed,
        .failed = on_failed,
    };
    Heard heard = { 0 };
    VmmControl *control = NULL;
    sd_event *event = NULL;
    int pair[2];

    int r = sd_event_default(&event);
    assert(r >= 0);
    r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    assert(r == 0);
    r = vmm_backend_qemu.control_new(event, pair[0], size % 2, &handlers, &heard, &control);
    assert(r == 0);
    /* Two more answers are waited for than those after the greeting. */
    vmm_backend_qemu.suspend(control);
    vmm_backend_qemu.resume(control);

    /* What the socket does not take at once is left out. */
    (void)!send(pair[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    VmmEnd end = vmm_backend_qemu.drain(control);
    (void)fd_close(pair[1]);
    VmmEnd later = vmm_backend_qemu.drain(control);
    assert(end == later && end <= VMM_END_HOST_SIGNAL);
    assert(heard.n_failed == 1 && heard.n_running <= 1); /* closed, if nothing else */

    vmm_backend_qemu.control_free(control);
    sd_event_unref(event);
    return 0;
}
