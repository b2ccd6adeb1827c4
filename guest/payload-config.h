/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration inside a payload's APK, vm_config.json: what is to be run, and what it needs
 * beside its APK. AVF's schema, but refused is what AVF passes over: unknown keys, keys that are
 * there twice. Source: AOSP, packages/modules/Virtualization, guest/microdroid payload config
 * (microdroid/payload/config/src/lib.rs). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json-fields.h"
#include "composite-disk/payload-metadata.h"

#define PAYLOAD_CONFIG_SIZE_MAX JSON_FIELDS_SIZE_MAX
#define PAYLOAD_COMMAND_MAX     PAYLOAD_PATH_MAX
#define PAYLOAD_OS_NAME_MAX     64

typedef enum PayloadTaskType {
    PAYLOAD_TASK_EXECUTABLE, /* the command is the path of a program */
    PAYLOAD_TASK_LAUNCHER,   /* "microdroid_launcher": the name of a library in the APK's lib/ABI */
    PAYLOAD_TASK_TYPE_MAX,
} PayloadTaskType;

typedef enum PayloadChoice {
    PAYLOAD_CHOICE_DEFAULT, /* it does not say */
    PAYLOAD_CHOICE_NO,
    PAYLOAD_CHOICE_YES,
} PayloadChoice;

typedef struct PayloadConfig {
    char *os_name; /* NULL: none; AVF itself has no more use for it */
    PayloadTaskType task_type;
    char *command; /* NULL: there is no task */
    /* In the order of the file. The paths are those of whoever made the disk. */
    char **apexes;
    size_t n_apexes;
    char **extra_apks;
    size_t n_extra_apks;
    PayloadChoice export_tombstones; /* the default is yes where the guest may be debugged */
    bool prefer_staged, hugepages;
} PayloadConfig;

/* @text has a NUL at @size. ERROR_INVALID_CONFIG names the place as a JSON pointer (RFC 6901), so
 * does ERROR_NOT_SUPPORTED for what AVF serves and this guest does not. */
int payload_config_parse(const char *text, size_t size, PayloadConfig **ret_config, Error *error);

/* Reads the file at @path, which has no way out of the directory @root_fd: an APK that is mounted.
 */
int payload_config_load(int root_fd, const char *path, PayloadConfig **ret_config, Error *error);

PayloadConfig *payload_config_free(PayloadConfig *config);
DEFINE_CLEANUP(PayloadConfig, payload_config_free);
