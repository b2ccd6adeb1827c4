/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/image-job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "vmctl/bus-value.h"
#include "vmctl/json-member.h"
#include "vmctl/output.h"

#define NEW_FILE_MODE 0600

int image_file_open(const char *path, bool exclusive, ImageFile *ret_file, Error *error)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK; /* a FIFO is not waited for */
    int fd = open(path, flags | O_CREAT | O_EXCL, NEW_FILE_MODE);
    bool is_new = fd >= 0;

    if (fd < 0 && errno == EEXIST && !exclusive)
        fd = open(path, flags);
    if (fd < 0 && errno == EEXIST)
        return error_set_errno(error, ERROR_VM_EXISTS, errno,
                               "cannot make '%s', remove it or take another name", path);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make '%s'", path);
    *ret_file = (ImageFile){ .path = path, .fd = fd, .is_new = is_new };
    return 0;
}

void image_file_discard(ImageFile *file)
{
    file->fd = fd_close(file->fd);
    if (file->is_new)
        (void)unlink(file->path); /* there is an error to tell already */
    file->is_new = false;
}

int image_job_run(ImageFile *file, Client *client, DBusMessage *call, Error *error)
{
    int r = client_call_patiently(client, call, "", error);

    if (r < 0)
        image_file_discard(file);
    file->fd = fd_close(file->fd);
    return r;
}

int image_file_describe(const char *path, struct json_object **ret_object, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;
    struct stat status;

    if (stat(path, &status) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot look at '%s'", path);
    object = json_object_new_object();
    if (!object || json_member_add_string(object, "path", path) < 0 ||
        json_member_add_number(object, "size", (uint64_t)status.st_size) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    *ret_object = TAKE_PTR(object);
    return 0;
}

int image_job_print(const Options *options, const char *path, const char *type, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *object = NULL;

    if (options->json == JSON_FORMAT_OFF)
        return 0;
    int r = image_file_describe(path, &object, error);
    if (r >= 0 && type && json_member_add_string(object, "type", type) < 0)
        r = error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (r < 0)
        return r;
    output_json(object, options->json);
    return 0;
}
