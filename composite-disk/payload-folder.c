/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/payload-folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "common/text.h"
#include "composite-disk/apk-signing.h"
#include "composite-disk/zip-writer.h"

#define PAGE_SIZE       4096
#define SMALL_ALIGNMENT 4 /* zipalign's, of what is not worth a page */
#define LIBRARY_FOLDER  "lib/"
#define LIBRARY_SUFFIX  ".so"
#define MODE_DIRECTORY  0755
#define MODE_FILE       0644
#define MODE_EXECUTABLE 0755
#define PACKAGE_PREFIX  "payload."
#define VERSION_DEFAULT 1
#define VERSION_MAX     INT64_MAX /* Android's longVersionCode */

/* --- the manifest --- */

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* The name of the folder, cleaned of what no package can have: "my-app" gives "payload.my_app". A
 * part that would not begin with a letter gets one. */
static void make_package(const char *path, char package[static APK_PACKAGE_MAX + 1])
{
    const char *name = strrchr(path, '/') + 1; /* realpath() gives a slash at least */
    size_t size = strlen(PACKAGE_PREFIX);

    memcpy(package, PACKAGE_PREFIX, size);
    if (!is_alphanumeric(*name) || (*name >= '0' && *name <= '9'))
        package[size++] = 'x';
    for (; *name && size < APK_PACKAGE_MAX; name++)
        package[size++] = is_alphanumeric(*name) ? *name : '_';
    package[size] = '\0';
}

static int choose_manifest(const PayloadRequest *request, PayloadFolder *payload, Error *error)
{
    ApkManifest *manifest = &payload->manifest;

    manifest->version = VERSION_DEFAULT;
    if (request->version_code &&
        text_parse_u64(request->version_code, VERSION_MAX, &manifest->version) < 0)
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'--version-code' takes a number up to %ju, not '%s'",
                         (uintmax_t)VERSION_MAX, request->version_code);
    if (!request->package) {
        make_package(payload->path, manifest->package);
        return 0;
    }
    int r = apk_package_check(request->package, error);
    if (r >= 0)
        memcpy(manifest->package, request->package, strlen(request->package) + 1);
    return r;
}

static const FolderEntry *find_manifest(const Folder *folder)
{
    for (size_t i = 0; i < folder->n_entries; i++) {
        if (strcmp(folder->entries[i].name, APK_MANIFEST_NAME) == 0)
            return &folder->entries[i];
    }
    return NULL;
}

/* Text stays what it is, which a guest takes for no manifest. */
static int read_manifest(PayloadFolder *payload, const FolderEntry *entry, Error *error)
{
    _cleanup_free_ uint8_t *data = NULL;
    ByteSource source;

    int r = folder_open_file(&payload->folder, entry, &source, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = source.fd;
    r = byte_source_read_all(&source, APK_MANIFEST_MAX, &data);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot read '%s'", entry->name);
    return apk_manifest_is_text(data, (size_t)source.size)
               ? 0
               : apk_manifest_decode(data, (size_t)source.size, &payload->manifest, error);
}

/* --- the folder --- */

int payload_folder_read(const PayloadRequest *request, PayloadFolder *ret_payload, Error *error)
{
    _cleanup_(payload_folder_deinit) PayloadFolder payload = PAYLOAD_FOLDER_INIT;

    payload.path = realpath(request->folder, NULL);
    if (!payload.path)
        return error_set_errno(error, ERROR_INVALID_FILE, errno, "cannot open the directory '%s'",
                               request->folder);
    int r = folder_read(request->folder, &payload.folder, error);
    if (r < 0)
        return r;
    const FolderEntry *manifest = find_manifest(&payload.folder);
    payload.has_manifest = manifest != NULL;
    if (manifest && (request->package || request->version_code))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' goes only with a folder that has no " APK_MANIFEST_NAME
                         " of its own",
                         request->package ? "--package" : "--version-code");
    r = manifest ? read_manifest(&payload, manifest, error)
                 : choose_manifest(request, &payload, error);
    if (r < 0)
        return r;
    *ret_payload = payload;
    payload = (PayloadFolder)PAYLOAD_FOLDER_INIT;
    return 0;
}

void payload_folder_deinit(PayloadFolder *payload)
{
    folder_deinit(&payload->folder);
    free(payload->path);
    payload->path = NULL;
}

size_t payload_folder_count(const PayloadFolder *payload)
{
    return payload->folder.n_entries + !payload->has_manifest;
}

/* The place of @path without symbolic links: a new file's is its directory. NULL where there is
 * none, which whoever opens the file will tell. */
static char *dup_place(const char *path)
{
    char *place = realpath(path, NULL);
    const char *slash = strrchr(path, '/');

    if (place)
        return place;
    _cleanup_free_ char *directory =
        slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    return directory ? realpath(directory, NULL) : NULL;
}

int payload_folder_check_outside(const PayloadFolder *payload, const char *path, Error *error)
{
    _cleanup_free_ char *place = dup_place(path);
    size_t size = strlen(payload->path);

    if (strcmp(payload->path, "/") == 0)
        size = 0;
    if (place && strncmp(place, payload->path, size) == 0 &&
        (place[size] == '/' || place[size] == '\0'))
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "'%s' is in the folder, and would get into its archive", path);
    return 0;
}

/* --- the archive --- */

/* Whether a guest maps it, however small: a library, as zipalign(1) knows them, too. */
static bool is_library(const char *name)
{
    size_t size = strlen(name), suffix_size = strlen(LIBRARY_SUFFIX);

    return strncmp(name, LIBRARY_FOLDER, strlen(LIBRARY_FOLDER)) == 0 ||
           (size > suffix_size && strcmp(name + size - suffix_size, LIBRARY_SUFFIX) == 0);
}

/* Modes are these few, not those of the folder, which are also the umask's of whoever made it.
 * Nothing is deflated: a guest reads and maps stored files where they are. */
static int add_entry(ZipWriter *writer,
                     const Folder *folder,
                     const FolderEntry *entry,
                     Error *error)
{
    const ZipNewEntry added = {
        .name = entry->name,
        .mode = entry->is_directory    ? MODE_DIRECTORY
                : entry->is_executable ? MODE_EXECUTABLE
                                       : MODE_FILE,
        .method = ZIP_STORED,
        .alignment = entry->size >= PAGE_SIZE || (entry->size > 0 && is_library(entry->name))
                         ? PAGE_SIZE
                         : SMALL_ALIGNMENT,
    };
    _cleanup_close_ int fd = -EBADF;
    ByteSource content = byte_source_from_memory("", 0);

    if (!entry->is_directory) {
        int r = folder_open_file(folder, entry, &content, error);
        if (r < 0)
            return r;
        fd = content.fd;
    }
    return zip_writer_add(writer, &added, &content, error);
}

static int add_manifest(ZipWriter *writer, const ByteWriter *manifest, Error *error)
{
    const ZipNewEntry added = { .name = APK_MANIFEST_NAME,
                                .mode = MODE_FILE,
                                .method = ZIP_STORED,
                                .alignment = SMALL_ALIGNMENT };
    const ByteSource content = byte_source_from_memory(manifest->data, manifest->size);

    return zip_writer_add(writer, &added, &content, error);
}

static int write_zip(const PayloadFolder *payload, int fd, const Progress *progress, Error *error)
{
    const Folder *folder = &payload->folder;
    _cleanup_(zip_writer_freep) ZipWriter *writer = NULL;
    uint8_t bytes[APK_MANIFEST_ROOM];
    ByteWriter manifest = byte_writer(bytes, sizeof(bytes));

    int r = payload->has_manifest ? 0 : apk_manifest_encode(&payload->manifest, &manifest);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot make " APK_MANIFEST_NAME);
    r = zip_writer_new(fd, folder->size + manifest.size, progress, &writer, error);
    if (r >= 0 && !payload->has_manifest)
        r = add_manifest(writer, &manifest, error);
    for (size_t i = 0; r >= 0 && i < folder->n_entries; i++)
        r = add_entry(writer, folder, &folder->entries[i], error);
    return r < 0 ? r : zip_writer_finish(writer, error);
}

int payload_folder_write(const PayloadFolder *payload,
                         const SigningKey *key,
                         int zip_fd,
                         int apk_fd,
                         const Progress *progress,
                         ApkSignature **ret_signature,
                         Error *error)
{
    ByteSource zip;

    int r = write_zip(payload, zip_fd, progress, error);
    if (r >= 0)
        r = byte_source_from_fd(zip_fd, "zip", &zip, error);
    return r < 0 ? r : apk_sign(&zip, key, apk_fd, progress, ret_signature, error);
}
