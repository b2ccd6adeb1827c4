/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/cleanup.h"
#include "dbus/interfaces.h"
#include "vmctl/client.h"
#include "vmctl/exit-status.h"
#include "vmctl/image-job.h"
#include "vmctl/output.h"
#include "vmctl/quantity.h"
#include "vmctl/verbs.h"

static int create(const Options *options, Error *error)
{
    const char *path = options->arguments[0], *type = options->type ? options->type : "raw";
    _cleanup_(client_freep) Client *client = NULL;
    dbus_uint64_t size = 0;
    uint64_t bytes;
    ImageFile file;

    if (strcmp(type, "instance") == 0) /* AVF's word */
        type = "android-vm-instance";
    int r = quantity_parse_size(options->arguments[1], "a partition's size", 1, INT64_MAX, &bytes,
                                error);
    if (r >= 0)
        r = client_new(options, &client, error);
    if (r >= 0)
        r = image_file_open(path, true, &file, error);
    if (r < 0)
        return r;
    size = bytes;
    DBusMessage *call = client_new_call(
        client, BUS_PATH, BUS_MANAGER_INTERFACE, "InitializeWritablePartition", DBUS_TYPE_UNIX_FD,
        &file.fd, DBUS_TYPE_UINT64, &size, DBUS_TYPE_STRING, &type, DBUS_TYPE_INVALID);
    r = image_job_run(&file, client, call, error);
    return r < 0 ? r : image_job_print(options, path, type, error);
}

int verb_create_partition(const Options *options)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (create(options, &error) < 0)
        output_error(&error);
    return (int)exit_status_from_error(error.kind);
}
