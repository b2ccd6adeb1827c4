/* SPDX-License-Identifier: Apache-2.0 */
/* The part "payload" of a configuration: an app, as AVF's VirtualMachineAppConfig has it
 * (packages/modules/Virtualization, virtualizationservice/aidl). The operating system that runs it
 * is the host's; os-image.h reads it, and vm-app.h makes the VM's disks of both. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "protocol/launch-spec.h"

typedef struct json_object json_object;

#define VM_CONFIG_FILE_KEY_MAX   4095 /* bytes, as of a path */
#define VM_CONFIG_EXTRA_APKS_MAX 50
#define VM_CONFIG_OS_DEFAULT     "microguest"

/* What the keys of the host's own files in an app's VM begin with; none that a client gives does.
 */
#define VM_APP_HOST_PREFIX "host:"

typedef enum VmDebugLevel {
    DEBUG_LEVEL_NONE, /* as a payload in use is run */
    DEBUG_LEVEL_FULL,
    DEBUG_LEVEL_MAX,
} VmDebugLevel;

typedef struct VmAppExtraApk {
    char *apk, *idsig;
} VmAppExtraApk;

typedef struct VmAppApex {
    char *name;
    char *image;
} VmAppApex;

typedef struct VmAppConfig {
    /* Keys of files, as all others below but for names. */
    char *apk, *idsig, *instance_image;
    char *encrypted_storage;    /* NULL: none */
    char *config_path, *binary; /* in the APK; one of them, the other is NULL */
    VmAppExtraApk *extra_apks;
    size_t n_extra_apks;
    VmAppApex *apexes;
    size_t n_apexes;
    char *os;
    VmDebugLevel debug_level;
    bool has_instance_id; /* always, but while it is read */
    uint8_t instance_id[LAUNCH_SPEC_INSTANCE_ID_SIZE];
} VmAppConfig;

/* Reads @object, which is at @pointer. What was read before an error is handed over, too. */
int vm_app_config_read(json_object *object,
                       const char *pointer,
                       VmAppConfig **ret_app,
                       Error *error);
VmAppConfig *vm_app_config_free(VmAppConfig *app);
DEFINE_CLEANUP(VmAppConfig, vm_app_config_free);
