/* SPDX-License-Identifier: Apache-2.0 */
/* Makes, brings up to date and verifies idsig files. The APK's own signature is read by others:
 * what is needed of it comes in an IdsigApk. Source of the rules of the update: AOSP,
 * packages/modules/Virtualization, virtualizationmanager/src/aidl.rs, createOrUpdateIdsigFile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/byte-source.h"
#include "composite-disk/idsig.h"
#include "composite-disk/progress.h"
#include "composite-disk/signing-key.h"

/* An APK, and what its signature says; bytes are lent. */
typedef struct IdsigApk {
    ByteSource source;
    ByteReader digest;      /* of its contents */
    uint32_t algorithm;     /* of its signature */
    ByteReader certificate; /* of its signer; only to verify */
} IdsigApk;

typedef struct IdsigOptions {
    const SigningKey *key; /* with a certificate; NULL: the idsig is not signed */
    unsigned n_threads;    /* as MerkleOptions has it */
    const Progress *progress;
} IdsigOptions;

/* Makes the idsig in @fd, a regular file open for reading and writing, in place of what is there.
 * When there is no room for it, ERROR_FAILED comes before the file is touched; after any other
 * error it is empty. While it is written, and if that is cut short, its version is 0. */
int idsig_file_write(const IdsigApk *apk, const IdsigOptions *options, int fd, Error *error);

/* Reads and decodes what is before the tree, and checks that the file ends with it. @ret_idsig
 * lends from @header. */
int idsig_file_read(const ByteSource *source,
                    uint8_t header[static IDSIG_HEADER_MAX],
                    Idsig *ret_idsig,
                    Error *error);

/* True when @idsig is for an APK of the same digest, and has a tree of the right size. */
bool idsig_is_current(const Idsig *idsig, const IdsigApk *apk);

/* idsig_file_write() unless it is current already, which sets @ret_written to false.
 * ERROR_INVALID_- FILE, before anything is touched, for an APK or an @idsig_fd that is no regular
 * file, or the same file twice, an empty APK, an @idsig_fd that is not open for reading and writing
 * or appends. */
int idsig_file_update(const IdsigApk *apk,
                      const IdsigOptions *options,
                      int idsig_fd,
                      bool *ret_written,
                      Error *error);

/* Checks what is before the tree: that it is for this APK, and its signature, when it has one, with
 * that of the APK's signer. ERROR_IMAGE_INVALID says what is wrong. */
int idsig_check_apk(const Idsig *idsig, const IdsigApk *apk, Error *error);

/* What is right in a verified idsig. */
typedef struct IdsigFacts {
    uint8_t root[MERKLE_HASH_SIZE];
    uint64_t tree_size;
    bool is_signed;
    uint32_t algorithm;
} IdsigFacts;

/* Checks all of it: the same, each byte of the tree and its root. */
int idsig_file_verify(const IdsigApk *apk,
                      const IdsigOptions *options,
                      const ByteSource *idsig,
                      IdsigFacts *ret_facts,
                      Error *error);
