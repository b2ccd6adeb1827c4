/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/end-vms.h"

#include "common/cleanup.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"

static int end_vm(Client *client, const char *name_or_id, const char *method, Error *error)
{
    _cleanup_free_ char *path = NULL;

    int r = client_find_vm(client, name_or_id, &path, error);
    if (r < 0)
        return r;
    return client_call_vm(client, path, method, "", NULL, error);
}

int end_vms(const Options *options, const char *method)
{
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    ErrorKind first = ERROR_NONE;

    if (client_new(options->bus, &client, &error) < 0) {
        output_error(&error);
        return (int)exit_status_from_error(error.kind);
    }
    for (size_t i = 0; i < options->n_arguments; i++) {
        if (end_vm(client, options->arguments[i], method, &error) >= 0)
            continue;
        output_error(&error);
        first = first == ERROR_NONE ? error.kind : first;
        error_clear(&error);
    }
    return (int)exit_status_from_error(first);
}
