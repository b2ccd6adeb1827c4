/* SPDX-License-Identifier: Apache-2.0 */
/* What apk-verify says of an APK or APEX, on the pipe to guest-manager: who has made it, or why it
 * is not taken. Codec without I/O. The writer has seen foreign bytes, so what it says is checked as
 * if it were foreign, too.
 *
 * All numbers are little-endian, a text is its size (16 bits) and its bytes. Verdicts follow each
 * other in the order of what was asked, each:
 *
 *   kind (8)
 *   apk       hash of the certificate (64 bytes), version (64), package (text)
 *   apex      hash of the public key (64 bytes), hash of the manifest (32 bytes), version (64),
 * name (text), offset and size of the image (64), its blocks of data (64), first block of the tree
 * (64), root (32 bytes), salt (text) refusal   reason (text) */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

#define IDENTITY_HASH_SIZE 64  /* SHA-512 */
#define IDENTITY_NAME_MAX  255 /* PAYLOAD_NAME_MAX */
#define APEX_HASH_SIZE     32  /* SHA-256 */
#define APEX_SALT_MAX      256 /* dm-verity's */
#define VERDICT_REASON_MAX 511
#define VERDICT_SIZE_MAX   1024 /* of each kind */

typedef enum VerdictKind {
    VERDICT_REFUSAL = 0,
    VERDICT_APK = 1,
    VERDICT_APEX = 2,
} VerdictKind;

/* Nobody else can make an APK with the same one. */
typedef struct ApkIdentity {
    uint8_t certificate_hash[IDENTITY_HASH_SIZE]; /* of the signer's certificate in DER */
    char package[IDENTITY_NAME_MAX + 1];          /* empty where the APK names none */
    uint64_t version;
} ApkIdentity;

typedef struct ApexIdentity {
    uint8_t public_key_hash[IDENTITY_HASH_SIZE]; /* of apex_pubkey */
    /* The manifest that name and version are from has to be the one in the image, too: only that is
     * signed. */
    uint8_t manifest_hash[APEX_HASH_SIZE];
    char name[IDENTITY_NAME_MAX + 1];
    uint64_t version;
    uint64_t image_offset, image_size;  /* in the APEX; multiples of 4096 */
    uint64_t n_data_blocks, tree_block; /* of 4096 bytes, in the image */
    uint8_t root[APEX_HASH_SIZE];
    uint8_t salt[APEX_SALT_MAX];
    size_t salt_size;
} ApexIdentity;

typedef struct Verdict {
    VerdictKind kind;
    union {
        ApkIdentity apk;
        ApexIdentity apex;
        char reason[VERDICT_REASON_MAX + 1]; /* a sentence for a person */
    };
} Verdict;

/* Whether it can be the name of an APK's package or of an APEX: that may become a part of a path
 * and of a line of the log. */
bool identity_is_name(const char *text);

/* A reason is escaped, and cut where it is too long. Whether all of it fits is asked the writer. */
void verdict_encode(const Verdict *verdict, ByteWriter *writer);

/* -EBADMSG for bytes that no verdict has: an unknown kind, a size beyond its maximum, a reason that
 * is not printable, a name that is none (an APK's may be empty), an image whose data and tree are
 * not inside, in this order. */
int verdict_decode(ByteReader *reader, Verdict *ret_verdict);
