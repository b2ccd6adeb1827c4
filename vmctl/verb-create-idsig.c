/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "dbus/interfaces.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/image-job.h"
#include "vmctl/output.h"
#include "vmctl/verbs.h"

static int create(const Options *options, Error *error)
{
    const char *apk_path = options->arguments[0], *path = options->arguments[1];
    _cleanup_(client_freep) Client *client = NULL;
    ImageFile file;

    int r = client_new(options, &client, error);
    if (r < 0)
        return r;
    _cleanup_close_ int apk_fd = open(apk_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (apk_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open '%s'", apk_path);
    r = image_file_open(path, false, &file, error);
    if (r < 0)
        return r;
    DBusMessage *call =
        client_new_call(client, BUS_PATH, BUS_MANAGER_INTERFACE, "CreateOrUpdateIdsig",
                        DBUS_TYPE_UNIX_FD, &apk_fd, DBUS_TYPE_UNIX_FD, &file.fd, DBUS_TYPE_INVALID);
    r = image_job_run(&file, client, call, error);
    return r < 0 ? r : image_job_print(options, path, NULL, error);
}

int verb_create_idsig(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (create(options, &error) < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
