/* SPDX-License-Identifier: Apache-2.0 */
/* Has apk-verify look into APKs and APEXes: a process of its own, of a user that nothing belongs
 * to, without capabilities, with nothing open but what it is to verify. What it says is decoded
 * here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "composite-disk/payload-metadata.h"
#include "guest/verdict.h"

#define VERIFIER_UID          6002 /* and gid */
#define VERIFIER_REQUESTS_MAX (1 + PAYLOAD_EXTRA_APKS_MAX + PAYLOAD_APEXES_MAX)

typedef struct VerifierRequest {
    VerdictKind kind; /* VERDICT_APK or VERDICT_APEX */
    int fd;           /* lent, for reading: the verity device of an APK, the partition of an APEX */
    /* Only of an APK, lent: see apk-verity.h. */
    const uint8_t *idsig_header;
    size_t idsig_header_size;
} VerifierRequest;

typedef struct VerifierOptions {
    const char *program; /* the path of apk-verify */
    uint32_t id;         /* uid and gid: VERIFIER_UID but in a test */
} VerifierOptions;

/* Runs it to its end and fills as many @ret_verdicts as there are requests. A refusal is no error;
 * ERROR_FAILED is that nobody is there to judge. */
int apk_verifier_run(const VerifierOptions *options,
                     const VerifierRequest *requests,
                     size_t n_requests,
                     Verdict *ret_verdicts,
                     Error *error);
