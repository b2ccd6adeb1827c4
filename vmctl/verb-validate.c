/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cleanup.h"
#include "vmctl/client.h"
#include "vmctl/config-files.h"
#include "vmctl/exit-status.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"
#include "vmctl/vm-validate.h"

static int validate(const Options *options, Error *error)
{
    _cleanup_(config_files_freep) ConfigFiles *config = NULL;
    _cleanup_(client_freep) Client *client = NULL;

    int r = config_files_load(options->arguments[0], options->name, &config, error);
    if (r >= 0)
        r = client_new(options, &client, error);
    return r < 0 ? r : vm_validate(options, client, config, error);
}

int verb_validate(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (validate(options, &error) < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
