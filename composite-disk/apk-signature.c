/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-signature.h"

#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "composite-disk/signing-key.h"

/* --- parts --- */

int apk_parts_read(const ByteSource *apk, ApkParts *ret_parts, Error *error)
{
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };
    const ZipSections *sections = &parts.sections;

    int r = zip_find_sections(apk, &parts.sections, error);
    if (r < 0)
        return r;
    r = apk_signing_block_read(apk, sections, &parts.block, error);
    if (r < 0)
        return r;
    if (r == 0)
        parts.block.offset = sections->directory_offset;
    parts.end = malloc((size_t)sections->end_size);
    if (!parts.end)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if ((r = byte_source_read(apk, sections->end_offset, parts.end, (size_t)sections->end_size)) <
            0 ||
        (r = byte_source_slice(apk, 0, parts.block.offset, &parts.content.entries)) < 0 ||
        (r = byte_source_slice(apk, sections->directory_offset, sections->directory_size,
                               &parts.content.directory)) < 0)
        return error_set_errno(error, ERROR_IMAGE_INVALID, r, "cannot read the APK");
    /* So that the digest does not depend on the size of the block that it will be in. */
    ByteWriter writer = byte_writer(parts.end + ZIP_END_OFFSET_FIELD, sizeof(uint32_t));
    byte_writer_put_le32(&writer, (uint32_t)parts.block.offset);
    parts.content.end = byte_source_from_memory(parts.end, (size_t)sections->end_size);
    *ret_parts = parts;
    parts = (ApkParts){ 0 };
    return 0;
}

void apk_parts_deinit(ApkParts *parts)
{
    apk_signing_block_deinit(&parts->block);
    free(parts->end);
    parts->end = NULL;
}

/* --- what it claims --- */

/* A signer, what it signs, and which of its signatures counts. */
typedef struct Claim {
    ApkScheme scheme;
    bool has_v3;
    ApkSigner signer;
    ApkSignedData data;
    size_t index; /* of the signature */
    const SignatureAlgorithm *algorithm;
} Claim;

static int find_value(const ApkSigningBlock *block,
                      bool allow_v2,
                      ApkScheme *ret_scheme,
                      ByteReader *ret_value,
                      Error *error)
{
    if (!block->bytes)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK is not signed: there is no 'APK Sig Block 42' before its central "
                         "directory; 'composite-disk apk sign' signs it");
    *ret_scheme = APK_SCHEME_V3;
    int r = apk_signing_block_find(block, APK_BLOCK_V3, ret_value, error);
    if (r != 0)
        return r < 0 ? r : 0;
    *ret_scheme = APK_SCHEME_V2;
    r = apk_signing_block_find(block, APK_BLOCK_V2, ret_value, error);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK is signed with neither scheme v3 nor v2");
    if (!allow_v2)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK is signed with scheme v2 only; VMs need v3");
    return 0;
}

static int choose_signer(
    const ApkSigningBlock *block, uint32_t sdk, bool allow_v2, Claim *ret_claim, Error *error)
{
    ByteReader value;

    int r = find_value(block, allow_v2, &ret_claim->scheme, &value, error);
    if (r >= 0)
        r = apk_signer_find(ret_claim->scheme, value, sdk ? sdk : APK_SDK_NEWEST,
                            &ret_claim->signer, error);
    if (r >= 0)
        r = apk_signer_find_strongest(&ret_claim->signer, &ret_claim->index, error);
    if (r < 0)
        return r;
    ret_claim->algorithm =
        signature_algorithm_find(ret_claim->signer.signatures.items[ret_claim->index].id);
    return 0;
}

static int decode_data(Claim *claim, Error *error)
{
    return apk_signed_data_decode(claim->scheme, claim->signer.signed_data, &claim->data, error);
}

/* --- and what of it is true --- */

static int check_signature(const Claim *claim, Error *error)
{
    const ApkSigner *signer = &claim->signer;
    const ByteReader *signature = &signer->signatures.items[claim->index].bytes;

    return signature_verify(signer->public_key.data, signer->public_key.size, claim->algorithm,
                            signer->signed_data.data, signer->signed_data.size, signature->data,
                            signature->size, error);
}

static int check_sdks(const Claim *claim, Error *error)
{
    if (claim->data.min_sdk == claim->signer.min_sdk &&
        claim->data.max_sdk == claim->signer.max_sdk)
        return 0;
    return error_set(
        error, ERROR_IMAGE_INVALID, "the signer is for SDK %u to %u, but has signed %u to %u",
        claim->signer.min_sdk, claim->signer.max_sdk, claim->data.min_sdk, claim->data.max_sdk);
}

/* Or the strongest signature could have been taken out. */
static int check_lists(const Claim *claim, Error *error)
{
    const ApkAlgorithmList *signatures = &claim->signer.signatures, *digests = &claim->data.digests;
    bool equal = signatures->n == digests->n;

    for (size_t i = 0; equal && i < signatures->n; i++)
        equal = signatures->items[i].id == digests->items[i].id;
    if (!equal)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the signer's %zu signatures and the %zu digests that it has signed are "
                         "not of the same algorithms",
                         signatures->n, digests->n);
    return 0;
}

static int check_stripping(const Claim *claim, Error *error)
{
    if (claim->scheme == APK_SCHEME_V2 && claim->data.stripping_guard == APK_SCHEME_V3)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK's signature of scheme v3 was taken out");
    return 0;
}

static int check_certificate(const Claim *claim, Error *error)
{
    const ByteReader *certificate = &claim->data.certificate;

    if (certificate->size == 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the signer has no certificate");
    return certificate_check_key(certificate->data, certificate->size,
                                 claim->signer.public_key.data, claim->signer.public_key.size,
                                 error);
}

static int check_content(const Claim *claim,
                         const ApkContent *content,
                         const ApkVerifyOptions *options,
                         ApkDigest *ret_digest,
                         Error *error)
{
    const ByteReader *claimed = &claim->data.digests.items[claim->index].bytes;
    char expected[2 * APK_DIGEST_MAX + 1], computed[2 * APK_DIGEST_MAX + 1];

    int r = apk_digest_compute(content, claim->algorithm->content_digest, options->n_threads,
                               options->progress, ret_digest, error);
    if (r < 0)
        return r;
    if (claimed->size != ret_digest->size)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the digest that was signed has %zu bytes, one of its kind %zu",
                         claimed->size, ret_digest->size);
    if (memcmp(claimed->data, ret_digest->bytes, claimed->size) == 0)
        return 0;
    text_hex(claimed->data, claimed->size, expected);
    text_hex(ret_digest->bytes, ret_digest->size, computed);
    return error_set(error, ERROR_IMAGE_INVALID,
                     "the APK has been changed: the digest %s was signed, it is %s", expected,
                     computed);
}

static int copy_part(ByteReader part, uint8_t **ret_copy, size_t *ret_size)
{
    *ret_copy = malloc(part.size + 1);
    if (!*ret_copy)
        return -1;
    memcpy(*ret_copy, part.data, part.size);
    *ret_size = part.size;
    return 0;
}

static int keep_signer(const Claim *claim, ApkSignature *signature, Error *error)
{
    signature->scheme = claim->scheme;
    signature->algorithm = claim->algorithm;
    if (copy_part(claim->data.certificate, &signature->certificate, &signature->certificate_size) <
            0 ||
        copy_part(claim->signer.public_key, &signature->public_key, &signature->public_key_size) <
            0)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    return 0;
}

/* The contents are hashed last: it takes time, and for what is no good anyway nobody should wait.
 */
static int verify_parts(const ApkParts *parts,
                        const ApkVerifyOptions *options,
                        ApkSignature *signature,
                        Error *error)
{
    Claim claim = { 0 };

    int r = choose_signer(&parts->block, options->sdk, options->allow_v2, &claim, error);
    if (r >= 0)
        r = check_signature(&claim, error);
    if (r >= 0)
        r = decode_data(&claim, error);
    if (r >= 0)
        r = check_sdks(&claim, error);
    if (r >= 0)
        r = check_lists(&claim, error);
    if (r >= 0)
        r = check_stripping(&claim, error);
    if (r >= 0)
        r = check_certificate(&claim, error);
    if (r >= 0)
        r = keep_signer(&claim, signature, error);
    return r < 0 ? r : check_content(&claim, &parts->content, options, &signature->digest, error);
}

int apk_signature_verify(const ByteSource *apk,
                         const ApkVerifyOptions *options,
                         ApkSignature **ret_signature,
                         Error *error)
{
    _cleanup_(apk_signature_freep) ApkSignature *signature = calloc(1, sizeof(*signature));
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };

    if (!signature)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = apk_parts_read(apk, &parts, error);
    if (r >= 0)
        r = verify_parts(&parts, options, signature, error);
    if (r < 0)
        return r;
    *ret_signature = TAKE_PTR(signature);
    return 0;
}

ApkSignature *apk_signature_free(ApkSignature *signature)
{
    if (!signature)
        return NULL;
    free(signature->certificate);
    free(signature->public_key);
    free(signature);
    return NULL;
}

int apk_signature_read_digest(const ByteSource *apk,
                              uint32_t sdk,
                              ApkDigest *ret_digest,
                              const SignatureAlgorithm **ret_algorithm,
                              Error *error)
{
    _cleanup_(apk_parts_deinit) ApkParts parts = { 0 };
    Claim claim = { 0 };

    int r = apk_parts_read(apk, &parts, error);
    if (r >= 0)
        r = choose_signer(&parts.block, sdk, true, &claim, error);
    if (r >= 0)
        r = decode_data(&claim, error);
    if (r >= 0)
        r = check_lists(&claim, error);
    if (r < 0)
        return r;
    const ByteReader *digest = &claim.data.digests.items[claim.index].bytes;
    if (digest->size == 0 || digest->size > APK_DIGEST_MAX)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the APK's digest has %zu bytes; taken are 1 to %d", digest->size,
                         APK_DIGEST_MAX);
    memcpy(ret_digest->bytes, digest->data, digest->size);
    ret_digest->size = digest->size;
    *ret_algorithm = claim.algorithm;
    return 0;
}
