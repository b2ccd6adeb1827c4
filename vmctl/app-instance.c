/* SPDX-License-Identifier: Apache-2.0 */
/* First all files are opened, the new ones without a name; then the service makes the idsigs, which
 * takes long, and the rest; then the new ones get their names, in one go. Whoever interrupts it
 * leaves nothing, or files that the next run goes on with. */
#include "vmctl/app-instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "composite-disk/idsig.h"
#include "composite-disk/partition-image.h"
#include "dbus/interfaces.h"
#include "vmctl/bus-value.h"

#define ID_SUFFIX ".id" /* of the file beside an image that has a name */

/* In the work directory; AVF's names, as far as it has some. */
#define NAME_IMAGE   "instance.img"
#define NAME_ID      "instance_id"
#define NAME_STORAGE "storage.img"
#define NAME_IDSIG   "apk.idsig"
#define EXTRA_IDSIG  "extra-apk-%zu.idsig"

static int out_of_memory(Error *error)
{
    return error_set(error, ERROR_NO_MEMORY, "out of memory");
}

/* Hands on what the service says of a file, which it knows no name of. */
static int refuse(const char *what, const char *path, Error *cause, Error *error)
{
    int r = error_set(error, cause->kind, "%s '%s': %s", what, path, error_get_message(cause));

    error_clear(cause);
    return r;
}

/* --- opening --- */

static int open_file(AppInstanceFile *file, Error *error)
{
    int fd = open(file->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 && errno != ENOENT)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open '%s' for writing",
                               file->path);
    if (fd >= 0) {
        file->fd = fd;
        return 0;
    }
    int r = output_file_open(file->path, false, &file->output, error);
    if (r < 0)
        return r;
    file->is_new = true;
    file->fd = fcntl(file->output.fd, F_DUPFD_CLOEXEC, 0);
    return file->fd < 0
               ? error_set_errno(error, ERROR_FAILED, errno, "cannot open '%s'", file->path)
               : 0;
}

/* The file @path, which is taken and NULL when there was no memory for it. */
static int open_path(AppInstanceFile *file, char *path, Error *error)
{
    file->path = path;
    return path ? open_file(file, error) : out_of_memory(error);
}

static char *dup_path_in(const AppInstance *instance, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", instance->directory.path, name) < 0 ? NULL : path;
}

static int open_image(AppInstance *instance, const AppInstanceRequest *request, Error *error)
{
    return open_path(&instance->image,
                     request->image ? strdup(request->image) : dup_path_in(instance, NAME_IMAGE),
                     error);
}

static int open_id_file(AppInstance *instance, const AppInstanceRequest *request, Error *error)
{
    char *path;

    if (request->id_file)
        path = strdup(request->id_file);
    else if (!request->image)
        path = dup_path_in(instance, NAME_ID);
    else if (asprintf(&path, "%s" ID_SUFFIX, request->image) < 0)
        path = NULL;
    return open_path(&instance->id_file, path, error);
}

static int open_storage(AppInstance *instance, const AppInstanceRequest *request, Error *error)
{
    if (request->storage)
        return open_path(&instance->storage, strdup(request->storage), error);
    if (request->image)
        return 0;

    _cleanup_free_ char *path = dup_path_in(instance, NAME_STORAGE);
    if (!path)
        return out_of_memory(error);
    if (request->storage_size == 0 && access(path, F_OK) < 0)
        return 0;
    return open_path(&instance->storage, TAKE_PTR(path), error);
}

static char *dup_idsig_path(const AppInstance *instance,
                            const AppInstanceRequest *request,
                            size_t i)
{
    char name[64];

    if (i == 0)
        return request->idsig ? strdup(request->idsig) : dup_path_in(instance, NAME_IDSIG);
    if (request->extra_idsigs->n_values > 0)
        return strdup(request->extra_idsigs->values[i - 1]);
    (void)snprintf(name, sizeof(name), EXTRA_IDSIG, i - 1);
    return dup_path_in(instance, name);
}

static int open_idsigs(AppInstance *instance, const AppInstanceRequest *request, Error *error)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < instance->n_idsigs; i++)
        r = open_path(&instance->idsigs[i], dup_idsig_path(instance, request, i), error);
    return r;
}

/* --- files that are there already --- */

static int read_beginning(const AppInstanceFile *file, void *bytes, size_t size, Error *error)
{
    ssize_t n = pread(file->fd, bytes, size, 0);

    if (n < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot read '%s'", file->path);
    memset((uint8_t *)bytes + n, 0, size - (size_t)n);
    return 0;
}

static int refuse_content(const AppInstanceFile *file, const char *what, Error *error)
{
    return error_set(error, ERROR_IMAGE_INVALID,
                     "'%s' is no %s: name another file, or remove it to have one made", file->path,
                     what);
}

/* The service would make an idsig of any file. One that is empty, or begins with zeros, is what an
 * interrupted job leaves. */
static int check_idsig(const AppInstanceFile *idsig, Error *error)
{
    uint8_t bytes[4];
    uint32_t version = 0;
    ByteReader reader = byte_reader(bytes, sizeof(bytes));

    int r = read_beginning(idsig, bytes, sizeof(bytes), error);
    if (r < 0)
        return r;
    (void)byte_reader_get_le32(&reader, &version); /* there are as many bytes */
    return version == 0 || version == IDSIG_VERSION ? 0 : refuse_content(idsig, "idsig", error);
}

/* A guest would write into any file. */
static int check_image(const AppInstanceFile *image, Error *error)
{
    uint8_t expected[PARTITION_IMAGE_HEADER_MAX], bytes[PARTITION_IMAGE_HEADER_MAX];
    size_t size = partition_image_make_header(PARTITION_ANDROID_VM_INSTANCE, expected);

    if (image->is_new)
        return 0;
    int r = read_beginning(image, bytes, size, error);
    if (r < 0)
        return r;
    return memcmp(bytes, expected, size) == 0 ? 0 : refuse_content(image, "instance image", error);
}

/* That a storage which is there has the size that was asked for. */
static int check_storage(const AppInstanceFile *storage, uint64_t size, Error *error)
{
    struct stat status;
    uint64_t rounded;

    if (!storage->path || storage->is_new || size == 0)
        return 0;
    if (fstat(storage->fd, &status) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot look at '%s'", storage->path);
    if (partition_image_round_size(size, &rounded) < 0 || (uint64_t)status.st_size != rounded)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "the storage '%s' has %jd bytes, and keeps them: leave '--storage-size' "
                         "out, or name another file",
                         storage->path, (intmax_t)status.st_size);
    return 0;
}

static int check_files(const AppInstance *instance, const AppInstanceRequest *request, Error *error)
{
    int r = check_image(&instance->image, error);

    if (r >= 0)
        r = check_storage(&instance->storage, request->storage_size, error);
    for (size_t i = 0; r >= 0 && i < instance->n_idsigs; i++)
        r = check_idsig(&instance->idsigs[i], error);
    return r;
}

/* --- what the service does --- */

static int make_idsigs(AppInstance *instance, const NamedFds *apks, Error *error)
{
    Error cause = ERROR_INIT;

    for (size_t i = 0; i < instance->n_idsigs; i++) {
        const NamedFd *apk = &apks->items[i];
        DBusMessage *call =
            client_new_call(instance->client, BUS_PATH, BUS_MANAGER_INTERFACE,
                            "CreateOrUpdateIdsig", DBUS_TYPE_UNIX_FD, &apk->fd, DBUS_TYPE_UNIX_FD,
                            &instance->idsigs[i].fd, DBUS_TYPE_INVALID);

        if (client_call_patiently(instance->client, call, "", &cause) < 0)
            return refuse("cannot make the idsig of", apk->key, &cause, error);
    }
    return 0;
}

static int make_partition(AppInstance *instance,
                          const AppInstanceFile *file,
                          uint64_t size,
                          PartitionType type,
                          Error *error)
{
    const char *type_name = partition_type_to_string(type);
    Error cause = ERROR_INIT;

    if (!file->is_new)
        return 0;
    DBusMessage *call =
        client_new_call(instance->client, BUS_PATH, BUS_MANAGER_INTERFACE,
                        "InitializeWritablePartition", DBUS_TYPE_UNIX_FD, &file->fd,
                        DBUS_TYPE_UINT64, &size, DBUS_TYPE_STRING, &type_name, DBUS_TYPE_INVALID);
    if (client_call_patiently(instance->client, call, "", &cause) < 0)
        return refuse("cannot make", file->path, &cause, error);
    return 0;
}

static int allocate_id(AppInstance *instance, Error *error)
{
    _cleanup_(json_object_putp) struct json_object *id = NULL;
    Error cause = ERROR_INIT;

    DBusMessage *call = client_new_call(instance->client, BUS_PATH, BUS_MANAGER_INTERFACE,
                                        "AllocateInstanceId", DBUS_TYPE_INVALID);
    if (client_call(instance->client, call, "ay", &id, &cause) < 0)
        return refuse("cannot make", instance->id_file.path, &cause, error);
    if (json_object_array_length(id) != sizeof(instance->id))
        return error_set(error, ERROR_FAILED, "the service gave an instance id of %zu bytes",
                         json_object_array_length(id));
    for (size_t i = 0; i < sizeof(instance->id); i++)
        instance->id[i] = (uint8_t)json_object_get_int(json_object_array_get_idx(id, i));
    instance->has_new_id = true;
    int r = fd_pwrite_all(instance->id_file.fd, instance->id, sizeof(instance->id), 0);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot write '%s'",
                                   instance->id_file.path)
                 : 0;
}

static DBusMessage *new_id_call(const AppInstance *instance, const char *method)
{
    const uint8_t *id = instance->id;

    return client_new_call(instance->client, BUS_PATH, BUS_MANAGER_INTERFACE, method,
                           DBUS_TYPE_ARRAY, DBUS_TYPE_BYTE, &id, (int)sizeof(instance->id),
                           DBUS_TYPE_INVALID);
}

/* An id of the user's is claimed, for the service may not know it, as after a move to this host; as
 * AVF asks for nothing but the id. Not what is another user's, though root could have it. */
static int read_id(AppInstance *instance, Error *error)
{
    const AppInstanceFile *file = &instance->id_file;
    struct stat status;
    Error cause = ERROR_INIT;

    if (fstat(file->fd, &status) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot look at '%s'", file->path);
    if (status.st_size != sizeof(instance->id))
        return refuse_content(file, "file of an instance id", error);
    int r = read_beginning(file, instance->id, sizeof(instance->id), error);
    if (r < 0 || status.st_uid != geteuid())
        return r;
    if (client_call(instance->client, new_id_call(instance, "ClaimInstance"), "", NULL, &cause) < 0)
        return refuse("the instance of", file->path, &cause, error);
    return 0;
}

static int make_content(AppInstance *instance, const AppInstanceRequest *request, Error *error)
{
    uint64_t storage_size =
        request->storage_size > 0 ? request->storage_size : APP_INSTANCE_SIZE_DEFAULT;

    int r = make_idsigs(instance, request->apks, error);
    if (r >= 0)
        r = make_partition(instance, &instance->image, APP_INSTANCE_SIZE_DEFAULT,
                           PARTITION_ANDROID_VM_INSTANCE, error);
    if (r >= 0)
        r = make_partition(instance, &instance->storage, storage_size, PARTITION_ENCRYPTEDSTORE,
                           error);
    if (r < 0)
        return r;
    return instance->id_file.is_new ? allocate_id(instance, error) : read_id(instance, error);
}

/* --- the whole --- */

typedef int (*FileVisitor)(AppInstanceFile *file, Error *error);

static int visit_files(AppInstance *instance, FileVisitor visit, Error *error)
{
    AppInstanceFile *const files[] = { &instance->image, &instance->storage, &instance->id_file };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(files); i++)
        r = visit(files[i], error);
    for (size_t i = 0; r >= 0 && i < instance->n_idsigs; i++)
        r = visit(&instance->idsigs[i], error);
    return r;
}

static int give_name(AppInstanceFile *file, Error *error)
{
    int r = file->is_new ? output_file_commit(&file->output, error) : 0;

    file->is_made = file->is_new && r >= 0;
    return r;
}

static int withdraw(AppInstanceFile *file, Error *error)
{
    (void)error;
    if (file->is_made)
        output_file_withdraw(&file->output);
    return 0;
}

static int drop_output(AppInstanceFile *file, Error *error)
{
    (void)error;
    output_file_deinit(&file->output);
    return 0;
}

static int release(AppInstanceFile *file, Error *error)
{
    file->fd = fd_close(file->fd);
    free(file->path);
    return drop_output(file, error);
}

static int make(AppInstance *instance, const AppInstanceRequest *request, Error *error)
{
    int r = request->image ? 0
                           : work_directory_make(&instance->directory, request->work_dir,
                                                 request->name, error);
    if (r >= 0)
        r = open_image(instance, request, error);
    if (r >= 0)
        r = open_id_file(instance, request, error);
    if (r >= 0)
        r = open_storage(instance, request, error);
    if (r >= 0)
        r = open_idsigs(instance, request, error);
    if (r >= 0)
        r = check_files(instance, request, error);
    if (r >= 0)
        r = make_content(instance, request, error);
    return r < 0 ? r : visit_files(instance, give_name, error);
}

int app_instance_open(Client *client,
                      const AppInstanceRequest *request,
                      AppInstance **ret_instance,
                      Error *error)
{
    static const AppInstanceFile none = { .fd = -EBADF, .output = OUTPUT_FILE_INIT };
    _cleanup_(app_instance_freep) AppInstance *instance = calloc(1, sizeof(*instance));
    if (!instance)
        return out_of_memory(error);

    instance->client = client;
    instance->image = instance->id_file = instance->storage = none;
    instance->idsigs = calloc(request->apks->n_items, sizeof(*instance->idsigs));
    if (!instance->idsigs)
        return out_of_memory(error);
    for (; instance->n_idsigs < request->apks->n_items; instance->n_idsigs++)
        instance->idsigs[instance->n_idsigs] = none;
    int r = make(instance, request, error);
    if (r < 0)
        return r;
    *ret_instance = TAKE_PTR(instance);
    return 0;
}

static void give_file(AppInstanceFile *file, ConfigFiles *config)
{
    if (file->path)
        config_files_take_fd(config, file->path, take_fd(&file->fd));
}

void app_instance_give_files(AppInstance *instance, ConfigFiles *config)
{
    give_file(&instance->image, config);
    give_file(&instance->storage, config);
    for (size_t i = 0; i < instance->n_idsigs; i++)
        give_file(&instance->idsigs[i], config);
}

void app_instance_keep(AppInstance *instance)
{
    instance->is_kept = true;
    (void)visit_files(instance, drop_output, NULL);
    work_directory_keep(&instance->directory);
}

const char *app_instance_get_place(const AppInstance *instance)
{
    return instance->directory.path ? instance->directory.path : instance->image.path;
}

AppInstance *app_instance_free(AppInstance *instance)
{
    if (!instance)
        return NULL;

    if (!instance->is_kept) {
        (void)visit_files(instance, withdraw, NULL);
        if (instance->has_new_id) /* what has failed before is told already */
            (void)client_call(instance->client, new_id_call(instance, "RemoveInstance"), "", NULL,
                              NULL);
    }
    (void)visit_files(instance, release, NULL);
    work_directory_deinit(&instance->directory);
    free(instance->idsigs);
    free(instance);
    return NULL;
}
