/* SPDX-License-Identifier: Apache-2.0 */
/* "payload create": a folder as an APK that a guest takes, with all that belongs to it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/fd.h"
#include "composite-disk/apk-idsig.h"
#include "composite-disk/apk-signing.h"
#include "composite-disk/folder.h"
#include "composite-disk/output-file.h"
#include "composite-disk/tool/key-option.h"
#include "composite-disk/tool/verbs.h"
#include "composite-disk/zip-writer.h"

#define PAGE_SIZE       4096
#define SMALL_ALIGNMENT 4 /* zipalign's, of what is not worth a page */
#define MODE_DIRECTORY  0755
#define MODE_FILE       0644
#define MODE_EXECUTABLE 0755

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
        .alignment = entry->size < PAGE_SIZE ? SMALL_ALIGNMENT : PAGE_SIZE,
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

static int write_zip(const ToolCall *call, const Folder *folder, int fd, Error *error)
{
    _cleanup_(zip_writer_freep) ZipWriter *writer = NULL;

    int r = zip_writer_new(fd, folder->size, call->progress, &writer, error);
    for (size_t i = 0; r >= 0 && i < folder->n_entries; i++)
        r = add_entry(writer, folder, &folder->entries[i], error);
    return r < 0 ? r : zip_writer_finish(writer, error);
}

typedef struct Outputs {
    OutputFile zip; /* dropped in the end */
    OutputFile apk, idsig;
} Outputs;

static void outputs_deinit(Outputs *outputs)
{
    output_file_deinit(&outputs->zip);
    output_file_deinit(&outputs->apk);
    output_file_deinit(&outputs->idsig);
}

static int open_outputs(
    const char *path, const char *idsig_path, bool force, Outputs *outputs, Error *error)
{
    int r = output_file_open(path, force, &outputs->apk, error);

    if (r >= 0)
        r = output_file_open(idsig_path, force, &outputs->idsig, error);
    return r < 0 ? r : output_file_open(path, true, &outputs->zip, error);
}

static int write_outputs(const ToolCall *call,
                         const Folder *folder,
                         const SigningKey *key,
                         Outputs *outputs,
                         ApkSignature **ret_signature,
                         Error *error)
{
    const IdsigOptions options = { .key = key, .progress = call->progress };
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    ByteSource zip, apk;

    int r = write_zip(call, folder, outputs->zip.fd, error);
    if (r >= 0)
        r = byte_source_from_fd(outputs->zip.fd, "zip", &zip, error);
    if (r >= 0)
        r = apk_sign(&zip, key, outputs->apk.fd, call->progress, &signature, error);
    if (r >= 0)
        r = byte_source_from_fd(outputs->apk.fd, "APK", &apk, error);
    if (r < 0)
        return r;
    const IdsigApk described = apk_idsig_describe(&apk, signature);
    r = idsig_file_write(&described, &options, outputs->idsig.fd, error);
    if (r < 0)
        return r;
    tool_add_number(call->result, "size", apk.size);
    *ret_signature = TAKE_PTR(signature);
    return 0;
}

static int run_create(ToolCall *call, Error *error)
{
    const char *path = tool_get_option(call, "output");
    bool force = tool_get_option(call, "force") != NULL;
    _cleanup_(outputs_deinit)
        Outputs outputs = { OUTPUT_FILE_INIT, OUTPUT_FILE_INIT, OUTPUT_FILE_INIT };
    _cleanup_(apk_signature_freep) ApkSignature *signature = NULL;
    _cleanup_(signing_key_freep) SigningKey *key = NULL;
    _cleanup_(folder_deinit) Folder folder = FOLDER_INIT;
    _cleanup_free_ char *idsig_path = NULL;

    if (!path)
        return error_set(error, ERROR_INVALID_ARGUMENT, "'--output=FILE' is missing");
    if (asprintf(&idsig_path, "%s.idsig", path) < 0) {
        idsig_path = NULL;
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }
    int r = key_option_load(call, &key, error);
    if (r >= 0)
        r = folder_read(call->arguments[0], &folder, error);
    if (r >= 0)
        r = open_outputs(path, idsig_path, force, &outputs, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "apk", path);
    tool_add_string(call->result, "idsig", idsig_path);
    tool_add_number(call->result, "entries", folder.n_entries);
    r = write_outputs(call, &folder, key, &outputs, &signature, error);
    /* An old APK that is to be replaced stays if its new idsig, which can be made again, goes. */
    if (r >= 0)
        r = output_file_commit_all((OutputFile *const[]){ &outputs.idsig, &outputs.apk }, 2, error);
    if (r < 0)
        return r;
    tool_add_string(call->result, "algorithm", signature->algorithm->name);
    tool_add_hex(call->result, "apk-digest", signature->digest.bytes, signature->digest.size);
    return 0;
}

const ToolVerb payload_verbs[] = {
    { .name = "payload create",
      .arguments = "FOLDER",
      .summary = "make a signed APK and its signed idsig from a folder",
      .n_min = 1,
      .n_max = 1,
      .options = { { "key", 'k', "FILE", "the private key, in PEM: RSA or EC" },
                   { "cert", 'c', "FILE",
                     "its certificate, in PEM (default: a new one each time)" },
                   { "output", 'o', "APK", "write there, and APK.idsig beside it" },
                   { "force", 'f', NULL, "replace outputs that are there" } },
      .run = run_create },
    { .name = NULL },
};
