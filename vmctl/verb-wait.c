/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/cleanup.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-action.h"
#include "vmctl/vm-wait.h"

#define TIMEOUT_USEC_MAX (365 * 24 * 3600 * USEC_PER_SEC)

typedef struct Waiting {
    VmWaitFor what;
    uint64_t timeout_usec;
} Waiting;

static VmWaitFor what_for(const char *word)
{
    static const struct {
        const char *word;
        VmWaitFor what;
    } words[] = { { "started", VM_WAIT_STARTED },
                  { "ready", VM_WAIT_READY },
                  { "finished", VM_WAIT_FINISHED } };

    for (size_t i = 0; word && i < ELEMENTS_OF(words); i++) {
        if (strcmp(words[i].word, word) == 0)
            return words[i].what;
    }
    return VM_WAIT_DEAD;
}

static int conclude(Client *client, VmSelection *selection, void *userdata, Error *error)
{
    const Waiting *waiting = userdata;
    _cleanup_(vm_wait_freep) VmWait *wait = NULL;

    int r = vm_wait_new(client, selection, waiting->what, &wait, error);
    return r < 0 ? r : vm_wait_run(wait, waiting->timeout_usec, error);
}

int verb_wait(const Options *options)
{
    Waiting waiting = { .what = what_for(options->until), .timeout_usec = UINT64_MAX };
    const VmAction action = { .userdata = &waiting, .conclude = conclude };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (options->timeout &&
        quantity_parse_time(options->timeout, "the time of '--timeout'", TIMEOUT_USEC_MAX,
                            &waiting.timeout_usec, &error) < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }
    return vm_action_run(options, &action);
}
