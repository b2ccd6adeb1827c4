/* SPDX-License-Identifier: Apache-2.0 */
/* What makes an instance of an app beside its archives: its image, its id, its encrypted storage,
 * an idsig for each archive. Files that are there are opened, the others are made by the service;
 * what was made goes again unless there comes a VM of it. AVF's vm run-app is the model. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "composite-disk/output-file.h"
#include "vmctl/client.h"
#include "vmctl/config-files.h"
#include "vmctl/options.h"
#include "vmctl/vm-create.h"
#include "vmctl/work-directory.h"

#define APP_INSTANCE_ID_SIZE      64                   /* bytes of the file: AVF's */
#define APP_INSTANCE_SIZE_DEFAULT (UINT64_C(10) << 20) /* of image and storage, AVF's */

typedef struct AppInstanceRequest {
    /* Of the files that are left out. NULL: NAME in the user's directory for state. */
    const char *work_dir, *name;
    const char *idsig, *image;      /* both or neither, which is: in the work directory */
    const OptionList *extra_idsigs; /* one for each extra APK; none: in the work directory */
    const char *id_file;            /* NULL: beside the image */
    const char *storage;            /* NULL: none, or that of the work directory */
    uint64_t storage_size;          /* of a new one; 0: not given */
    const NamedFds *apks;           /* the app, and the extra ones; keys are paths */
} AppInstanceRequest;

typedef struct AppInstanceFile {
    char *path; /* NULL: there is no such file */
    int fd;     /* for the VM; owned */
    bool is_new;
    OutputFile output; /* of a new one; for the VM it is a duplicate */
    bool is_made;      /* it has got its name */
} AppInstanceFile;

typedef struct AppInstance {
    Client *client;          /* lent */
    WorkDirectory directory; /* of the files that were not named */
    AppInstanceFile image, id_file, storage;
    AppInstanceFile *idsigs; /* as many as APKs, in their order */
    size_t n_idsigs;
    uint8_t id[APP_INSTANCE_ID_SIZE];
    bool has_new_id; /* which the service gave */
    bool is_kept;
} AppInstance;

/* Asks @client's service for what is missing, which takes as long as the archives are large. The
 * caller frees the result, and with it what was made. */
int app_instance_open(Client *client,
                      const AppInstanceRequest *request,
                      AppInstance **ret_instance,
                      Error *error);

/* Hands the files over to @config, which names them. */
void app_instance_give_files(AppInstance *instance, ConfigFiles *config);

/* Once there is a VM: all files stay. */
void app_instance_keep(AppInstance *instance);

/* Where the instance is, for people: a directory, or the image. */
const char *app_instance_get_place(const AppInstance *instance);

AppInstance *app_instance_free(AppInstance *instance);
DEFINE_CLEANUP(AppInstance, app_instance_free);
