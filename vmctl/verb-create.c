/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "vmctl/client.h"
#include "vmctl/config-files.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-action.h"
#include "vmctl/vm-create.h"
#include "vmctl/vm-validate.h"

static int create(const Options *options, Error *error)
{
    _cleanup_(config_files_freep) ConfigFiles *config = NULL;
    _cleanup_(client_freep) Client *client = NULL;
    _cleanup_free_ NamedFd *files = NULL;
    _cleanup_free_ char *path = NULL;

    int r = config_files_load(options->arguments[0], options->name, &config, error);
    if (r >= 0)
        r = client_new(options, &client, error);
    if (r < 0)
        return r;
    if (options->dry_run)
        return vm_validate(options, client, config, error);
    files = vm_create_list_files(config, error);
    if (!files)
        return -ENOMEM;
    r = vm_create(client, config->text, "detached", files, config->n_files, &path, error);
    return r < 0 ? r : vm_action_print_vm(options, client, path, error);
}

int verb_create(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (create(options, &error) < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
