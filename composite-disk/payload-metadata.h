/* SPDX-License-Identifier: Apache-2.0 */
/* The partition payload-metadata: a length and a protobuf message that say which partitions of a
 * payload disk hold what, and what is to be run. Format code without I/O. Source: AOSP,
 * packages/modules/Virtualization, microdroid/payload/metadata.proto and metadata/src/lib.rs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"

#define PAYLOAD_METADATA_VERSION 1
#define PAYLOAD_METADATA_MAX     (64U << 10) /* bytes, without the length before them */
#define PAYLOAD_APEXES_MAX       64
#define PAYLOAD_EXTRA_APKS_MAX   62  /* two partitions each */
#define PAYLOAD_PARTITIONS_MAX   128 /* GPT's: of metadata, APEXes, APK and extra APKs together */
#define PAYLOAD_NAME_MAX         255
#define PAYLOAD_PATH_MAX         4095
#define PAYLOAD_APK_DIRECTORY    "/mnt/apk" /* where the APK is in the guest; AVF's */
#define PAYLOAD_PUBLIC_KEY_MAX   2056       /* AVB's, of RSA with 8192 bits */
#define PAYLOAD_DIGEST_MAX       64

typedef struct PayloadBytes {
    uint8_t *data; /* owned */
    size_t size;
} PayloadBytes;

typedef struct PayloadApex {
    char *name, *partition; /* owned */
    PayloadBytes public_key, root_digest;
    uint64_t last_update_seconds;
    bool is_factory;
    int64_t manifest_version;
    char *manifest_name; /* owned; NULL: not told */
} PayloadApex;

typedef struct PayloadMetadata {
    PayloadApex *apexes;
    size_t n_apexes;
    char *apk_name, *apk_partition, *idsig_partition; /* owned */
    /* One of the two; owned. */
    char *config_path;     /* in the guest, of a file in the APK that says the rest */
    char *binary;          /* name of the program in the APK */
    uint32_t n_extra_apks; /* of a @binary; the config has its own */
} PayloadMetadata;

/* For a program in the APK (@binary), or for what the file @config_path of the APK names; the other
 * is NULL. The APK's partition has its usual name. -ENOMEM. */
int payload_metadata_new(const char *config_path,
                         const char *binary,
                         uint32_t n_extra_apks,
                         PayloadMetadata **ret_metadata);
PayloadMetadata *payload_metadata_free(PayloadMetadata *metadata);
DEFINE_CLEANUP(PayloadMetadata, payload_metadata_free);

/* Adds an APEX that is in the partition "microdroid-apex-N", in the order of the calls; the rest of
 * it may be set in *@ret_apex, lent until the next call. -ENOMEM. */
int payload_metadata_add_apex(PayloadMetadata *metadata, const char *name, PayloadApex **ret_apex);

/* The bytes of the partition, which the caller frees. ERROR_INVALID_ARGUMENT names what nobody
 * would read: a name that is empty, too long or no text, too many of something. */
int payload_metadata_encode(const PayloadMetadata *metadata,
                            uint8_t **ret_bytes,
                            size_t *ret_size,
                            Error *error);

/* @bytes are those of the partition, with zeros behind the message. ERROR_IMAGE_INVALID says which
 * rule is broken, those of above and: another version, an unknown field, bytes too many. */
int payload_metadata_decode(const void *bytes,
                            size_t size,
                            PayloadMetadata **ret_metadata,
                            Error *error);
