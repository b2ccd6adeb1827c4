/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of an app VM: a program or library out of a verified archive. first-stage has mounted
 * what there is to mount and loaded the modules that are always needed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "guest/app-identity.h"
#include "guest/archive-mount.h"
#include "guest/boot-handover.h"
#include "guest/crash-reporting.h"
#include "guest/encrypted-storage.h"
#include "guest/modules.h"
#include "guest/partition-table.h"
#include "guest/payload-cgroup.h"
#include "guest/payload-config.h"
#include "guest/payload-message.h"
#include "guest/payload-source.h"

#define APK_DIRECTORY       PAYLOAD_APK_DIRECTORY
#define EXTRA_APK_DIRECTORY "/mnt/extra-apk"
#define LIBRARY_DIRECTORY   APK_DIRECTORY "/lib/x86_64"
#define PROGRAM_DIRECTORY   APK_DIRECTORY "/bin"
#define LAUNCHER_PATH       "/usr/lib/microguest/payload-launcher"

#define STORAGE_LABEL   "encryptedstore"
#define STORAGE_MODULES "/etc/modules.storage"
#define AES_MODULES     "/etc/modules.aesni-intel"

/* A busy host may need that long; a program that hangs is the host's to end. */
#define ARCHIVE_TIMEOUT_MSEC 60000

struct PayloadState {
    BootHandover handover;
    PartitionTable *partitions;
    AppIdentity *identity;
    PayloadConfig *config; /* NULL: the metadata names the program */
    PayloadService *service;
    bool has_storage;
    char program[PATH_MAX]; /* what is run: a program, or the library for the launcher */
    const char *arguments[3];
};

static PayloadState *app_free(PayloadState *state)
{
    if (!state)
        return NULL;
    payload_service_free(state->service);
    payload_config_free(state->config);
    app_identity_free(state->identity);
    partition_table_free(state->partitions);
    explicit_bzero(&state->handover, sizeof(state->handover));
    free(state);
    return NULL;
}
DEFINE_CLEANUP(PayloadState, app_free);

static int app_set_up(Error *error)
{
    (void)error;
    return 0;
}

/* --- archives --- */

/* Below tmpfs, as the root is read-only and there can be any number. */
static int make_extra_directories(size_t n_extra_apks, Error *error)
{
    char path[sizeof(EXTRA_APK_DIRECTORY) + 24];

    if (n_extra_apks == 0)
        return 0;
    if (mount("extra-apk", EXTRA_APK_DIRECTORY, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0755") < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot mount " EXTRA_APK_DIRECTORY);
    for (size_t i = 0; i < n_extra_apks; i++) {
        (void)snprintf(path, sizeof(path), EXTRA_APK_DIRECTORY "/%zu", i);
        if (mkdir(path, 0755) < 0)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot make %s", path);
    }
    return 0;
}

static int mount_archives(const AppIdentity *identity, Error *error)
{
    size_t n_apks = identity->data->n_apks;
    Deadline deadline = deadline_in_msec(ARCHIVE_TIMEOUT_MSEC);
    _cleanup_free_ ArchiveMount *mounts = calloc(n_apks, sizeof(*mounts));
    size_t n_started = 0;

    if (!mounts)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = make_extra_directories(n_apks - 1, error);
    for (; r >= 0 && n_started < n_apks; n_started += r >= 0) {
        char directory[sizeof(EXTRA_APK_DIRECTORY) + 24] = APK_DIRECTORY;

        if (n_started > 0)
            (void)snprintf(directory, sizeof(directory), EXTRA_APK_DIRECTORY "/%zu", n_started - 1);
        r = archive_mount_start(identity->apks[n_started].path, directory, PAYLOAD_UID,
                                &mounts[n_started], error);
    }
    for (size_t i = 0; i < n_started; i++) {
        int waited = archive_mount_wait(&mounts[i], deadline, r >= 0 ? error : NULL);
        r = r < 0 ? r : waited;
    }
    return r;
}

/* --- what is run --- */

/* The metadata has the path that the file has once the archive is mounted. */
static int read_config(const char *path, PayloadConfig **ret_config, Error *error)
{
    static const char prefix[] = APK_DIRECTORY "/";

    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the configuration '%s' is not in the archive, below " APK_DIRECTORY,
                         path);
    _cleanup_close_ int root_fd = open(APK_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open " APK_DIRECTORY);
    return payload_config_load(root_fd, path + sizeof(prefix) - 1, ret_config, error);
}

/* That the payload disk has what the configuration asks for. */
static int check_config(const PayloadState *state, Error *error)
{
    const PayloadConfig *config = state->config;
    size_t n_extra_apks = state->identity->data->n_apks - 1;

    if (config->n_extra_apks != n_extra_apks)
        return error_set(error, ERROR_INVALID_CONFIG,
                         "the configuration asks for %zu extra APKs, and %zu are there",
                         config->n_extra_apks, n_extra_apks);
    for (size_t i = 0; i < config->n_apexes; i++) {
        if (!app_identity_has_module(state->identity, config->apexes[i]))
            return error_set(error, ERROR_INVALID_CONFIG,
                             "the configuration asks for the module '%s', which is not there",
                             config->apexes[i]);
    }
    if (!config->command)
        return error_set(error, ERROR_INVALID_CONFIG, "the configuration has no task");
    return 0;
}

static int run_library(PayloadState *state, const char *name, Error *error)
{
    if ((size_t)snprintf(state->program, sizeof(state->program), LIBRARY_DIRECTORY "/%s", name) >=
        sizeof(state->program))
        return error_set(error, ERROR_INVALID_CONFIG, "the name of the payload is too long");
    state->arguments[0] = LAUNCHER_PATH;
    state->arguments[1] = state->program;
    return 0;
}

static int run_program(PayloadState *state, const char *directory, const char *name, Error *error)
{
    if ((size_t)snprintf(state->program, sizeof(state->program), "%s/%s", directory, name) >=
        sizeof(state->program))
        return error_set(error, ERROR_INVALID_CONFIG, "the name of the payload is too long");
    state->arguments[0] = state->program;
    return 0;
}

static int find_binary(PayloadState *state, const char *name, Error *error)
{
    int r = run_library(state, name, error);

    if (r < 0 || access(state->program, F_OK) == 0)
        return r;
    state->arguments[1] = NULL;
    r = run_program(state, PROGRAM_DIRECTORY, name, error);
    if (r < 0 || access(state->program, F_OK) == 0)
        return r;
    return error_set(error, ERROR_INVALID_CONFIG,
                     "the archive has neither lib/x86_64/%s nor bin/%s", name, name);
}

/* A program of the archive or of the system, by its absolute path. */
static int run_path(PayloadState *state, const char *path, Error *error)
{
    int r = run_program(state, "", path + 1, error);

    if (r >= 0 && access(path, X_OK) < 0)
        return error_set_errno(error, ERROR_INVALID_CONFIG, errno, "cannot execute '%s'", path);
    return r;
}

static int choose_program(PayloadState *state, Error *error)
{
    const PayloadMetadata *metadata = state->identity->metadata;

    if (metadata->binary)
        return find_binary(state, metadata->binary, error);
    int r = read_config(metadata->config_path, &state->config, error);
    if (r >= 0)
        r = check_config(state, error);
    if (r < 0)
        return r;
    if (state->config->task_type == PAYLOAD_TASK_LAUNCHER)
        return run_library(state, state->config->command, error);
    return run_path(state, state->config->command, error);
}

/* --- encrypted storage --- */

static int set_up_storage(PayloadState *state, Error *error)
{
    const char *device = partition_table_find(state->partitions, STORAGE_LABEL);
    uint8_t key[ENCRYPTED_STORAGE_KEY_SIZE];

    if (!device)
        return 0;
    (void)modules_load(AES_MODULES, NULL); /* a CPU without has the kernel's own AES */
    int r = modules_load(STORAGE_MODULES, error);
    if (r < 0)
        return r;
    if (app_identity_derive_storage_key(state->identity, key, sizeof(key)) < 0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    bool formatted;
    r = encrypted_storage_mount(device, key, &formatted, error);
    explicit_bzero(key, sizeof(key));
    state->has_storage = r >= 0;
    return r;
}

/* --- the payload's questions --- */

static int on_derive_secret(void *userdata,
                            const uint8_t *identifier,
                            size_t identifier_size,
                            uint8_t *ret_secret,
                            size_t secret_size)
{
    const PayloadState *state = userdata;

    return app_identity_derive_secret(state->identity, (CryptoBytes){ identifier, identifier_size },
                                      ret_secret, secret_size);
}

static bool on_is_new_instance(void *userdata)
{
    const PayloadState *state = userdata;

    return state->identity->is_new;
}

static const char *on_get_storage_path(void *userdata)
{
    const PayloadState *state = userdata;

    return state->has_storage ? ENCRYPTED_STORAGE_MOUNT_POINT : NULL;
}

static int on_read_rollback_secret(void *userdata, uint8_t ret_secret[PAYLOAD_ROLLBACK_SECRET_SIZE])
{
    const PayloadState *state = userdata;

    return app_identity_read_rollback_secret(state->identity, ret_secret,
                                             PAYLOAD_ROLLBACK_SECRET_SIZE);
}

static int on_write_rollback_secret(void *userdata,
                                    const uint8_t secret[PAYLOAD_ROLLBACK_SECRET_SIZE])
{
    PayloadState *state = userdata;

    return app_identity_write_rollback_secret(state->identity, secret,
                                              PAYLOAD_ROLLBACK_SECRET_SIZE);
}

static const PayloadServiceCalls service_calls = {
    .derive_secret = on_derive_secret,
    .is_new_instance = on_is_new_instance,
    .get_storage_path = on_get_storage_path,
    .read_rollback_secret = on_read_rollback_secret,
    .write_rollback_secret = on_write_rollback_secret,
};

static int open_service(PayloadState *state, Error *error)
{
    int r = payload_service_open(PAYLOAD_SERVICE_PATH, PAYLOAD_UID, &service_calls, state,
                                 &state->service);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot open the payload's service") : 0;
}

/* --- in order --- */

static bool app_is_debuggable(const PayloadState *state)
{
    return state->handover.mode == DICE_MODE_DEBUG;
}

/* As in AVF: what a crash report shows of a payload is for those who may look into it anyway,
 * unless the payload itself says otherwise. */
static bool exports_crash_reports(const PayloadState *state)
{
    if (state->config && state->config->export_tombstones != PAYLOAD_CHOICE_DEFAULT)
        return state->config->export_tombstones == PAYLOAD_CHOICE_YES;
    return app_is_debuggable(state);
}

static int establish(PayloadState *state, GuestErrorCode *ret_code, Error *error)
{
    *ret_code = GUEST_ERROR_UNKNOWN;
    int r = boot_handover_receive(&state->handover, error);
    if (r >= 0)
        r = partition_table_read(&state->partitions, error);
    if (r < 0)
        return r;
    return app_identity_establish(state->partitions, &state->handover, &state->identity, ret_code,
                                  error);
}

static int make_runnable(PayloadState *state,
                         BootTimes *times,
                         GuestErrorCode *ret_code,
                         Error *error)
{
    *ret_code = GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED;
    int r = mount_archives(state->identity, error);
    boot_times_mark(times, BOOT_STEP_ARCHIVES);
    if (r < 0)
        return r;
    *ret_code = GUEST_ERROR_PAYLOAD_INVALID_CONFIG;
    r = choose_program(state, error);
    if (r < 0)
        return r;
    *ret_code = GUEST_ERROR_UNKNOWN;
    r = set_up_storage(state, error);
    if (state->has_storage)
        boot_times_mark(times, BOOT_STEP_STORAGE);
    if (r >= 0)
        r = open_service(state, error);
    if (r >= 0)
        r = payload_cgroup_set_up(error);
    if (r >= 0 && exports_crash_reports(state))
        r = crash_reporting_enable(error);
    return r;
}

static int app_prepare(PayloadState **ret_state,
                       PayloadOptions *ret_options,
                       BootTimes *times,
                       GuestErrorCode *ret_code,
                       Error *error)
{
    _cleanup_(app_freep) PayloadState *state = calloc(1, sizeof(*state));

    *ret_code = GUEST_ERROR_UNKNOWN;
    if (!state)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = establish(state, ret_code, error);
    boot_times_mark(times, BOOT_STEP_IDENTITY);
    if (r >= 0)
        r = make_runnable(state, times, ret_code, error);
    if (r < 0)
        return r;

    boot_times_merge(times, &state->handover.times);
    *ret_options = (PayloadOptions){
        .path = state->arguments[0],
        .arguments = state->arguments,
        .directory = APK_DIRECTORY,
        .library_path = LIBRARY_DIRECTORY,
        .cgroup = PAYLOAD_CGROUP,
    };
    *ret_state = TAKE_PTR(state);
    return 0;
}

static PayloadService *app_get_service(PayloadState *state)
{
    return state ? state->service : NULL;
}

/* A payload that was killed by what it could not read: the host is told why, not how. */
static void correct_end(const PayloadState *state, GuestCall *end)
{
    if (!app_identity_is_corrupted(state->identity))
        return;
    *end = (GuestCall){ .type = GUEST_CALL_ERROR,
                        .error_code = GUEST_ERROR_PAYLOAD_VERIFICATION_FAILED,
                        .signal = end->signal };
    (void)snprintf(end->message, sizeof(end->message),
                   "the payload has read a block that is not what was verified");
}

static void app_finish(PayloadState *state, GuestCall *end)
{
    Error error = ERROR_INIT;

    correct_end(state, end);
    /* The report of the end is the host's leave to take the machine's power away. */
    if (state->has_storage && encrypted_storage_unmount(&error) < 0 &&
        end->type != GUEST_CALL_ERROR) {
        *end = (GuestCall){ .type = GUEST_CALL_ERROR, .error_code = GUEST_ERROR_UNKNOWN };
        (void)snprintf(end->message, sizeof(end->message), "%s", error_get_message(&error));
    }
    error_clear(&error);
}

const PayloadSource app_payload_source = {
    .set_up = app_set_up,
    .prepare = app_prepare,
    .is_debuggable = app_is_debuggable,
    .get_service = app_get_service,
    .finish = app_finish,
    .free = app_free,
};
