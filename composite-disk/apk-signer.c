/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/apk-signer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/cleanup.h"

#define ATTRIBUTE_STRIPPING_GUARD UINT32_C(0xbeeff00d)
#define LENGTH_SIZE               4
#define SHOWN_MAX                 128 /* characters of a list of numbers */

/* Every part is a length of 32 bits and as many bytes. */
static int get_part(ByteReader *reader, ByteReader *ret_part)
{
    ByteReader rest = *reader;
    const uint8_t *view;
    uint32_t size;
    int r;

    if ((r = byte_reader_get_le32(&rest, &size)) < 0 ||
        (r = byte_reader_get_view(&rest, size, &view)) < 0)
        return r;
    *ret_part = byte_reader(view, size);
    *reader = rest;
    return 0;
}

static int bad(const char *what, Error *error)
{
    return error_set(error, ERROR_IMAGE_INVALID,
                     "%s in the APK signing block ends outside what it is in", what);
}

/* --- reading --- */

/* @what: one of them, for messages. */
static int get_list(ByteReader *reader, const char *what, ApkAlgorithmList *ret_list, Error *error)
{
    ByteReader list, item;

    if (get_part(reader, &list) < 0)
        return bad(what, error);
    for (ret_list->n = 0; list.size > 0; ret_list->n++) {
        if (ret_list->n == APK_ALGORITHMS_MAX)
            return error_set(error, ERROR_IMAGE_INVALID,
                             "more than %d of a %s in the APK signing block", APK_ALGORITHMS_MAX,
                             what);
        if (get_part(&list, &item) < 0 ||
            byte_reader_get_le32(&item, &ret_list->items[ret_list->n].id) < 0 ||
            get_part(&item, &ret_list->items[ret_list->n].bytes) < 0 || item.size > 0)
            return bad(what, error);
    }
    return 0;
}

static int decode_signer(ApkScheme scheme, ByteReader bytes, ApkSigner *ret_signer, Error *error)
{
    ret_signer->min_sdk = ret_signer->max_sdk = 0;
    if (get_part(&bytes, &ret_signer->signed_data) < 0)
        return bad("a signer's data", error);
    if (scheme == APK_SCHEME_V3 && (byte_reader_get_le32(&bytes, &ret_signer->min_sdk) < 0 ||
                                    byte_reader_get_le32(&bytes, &ret_signer->max_sdk) < 0))
        return bad("a signer's range of SDKs", error);
    int r = get_list(&bytes, "signature", &ret_signer->signatures, error);
    if (r < 0)
        return r;
    if (get_part(&bytes, &ret_signer->public_key) < 0)
        return bad("a public key", error);
    if (bytes.size > 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%zu bytes behind a signer's public key in the APK signing block",
                         bytes.size);
    return 0;
}

static int check_count(unsigned n, unsigned n_fitting, uint32_t sdk, Error *error)
{
    if (n == 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the APK signature has no signer");
    if (n_fitting == 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "none of the %u signers of the APK is for SDK %u", n, sdk);
    if (n_fitting > 1)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%u signers of the APK count at once; one is taken", n_fitting);
    return 0;
}

int apk_signer_find(
    ApkScheme scheme, ByteReader value, uint32_t sdk, ApkSigner *ret_signer, Error *error)
{
    unsigned n = 0, n_fitting = 0;
    ByteReader signers, item;
    ApkSigner signer;

    if (get_part(&value, &signers) < 0)
        return bad("the list of signers", error);
    if (value.size > 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%zu bytes behind the signers in the APK signing block", value.size);
    for (; signers.size > 0; n++) {
        if (n == APK_SIGNERS_MAX)
            return error_set(error, ERROR_IMAGE_INVALID, "the APK has more than %d signers",
                             APK_SIGNERS_MAX);
        if (get_part(&signers, &item) < 0)
            return bad("a signer", error);
        int r = decode_signer(scheme, item, &signer, error);
        if (r < 0)
            return r;
        if (scheme == APK_SCHEME_V3 && (sdk < signer.min_sdk || sdk > signer.max_sdk))
            continue;
        *ret_signer = signer;
        n_fitting++;
    }
    return check_count(n, n_fitting, sdk, error);
}

static int get_attributes(ByteReader *reader, uint32_t *ret_stripping_guard, Error *error)
{
    ByteReader attributes, attribute;
    uint32_t id;

    *ret_stripping_guard = 0;
    if (get_part(reader, &attributes) < 0)
        return bad("the list of attributes", error);
    while (attributes.size > 0) {
        if (get_part(&attributes, &attribute) < 0 || byte_reader_get_le32(&attribute, &id) < 0)
            return bad("an attribute", error);
        if (id == ATTRIBUTE_STRIPPING_GUARD &&
            byte_reader_get_le32(&attribute, ret_stripping_guard) < 0)
            return bad("an attribute", error);
    }
    return 0;
}

static int get_certificates(ByteReader *reader, ByteReader *ret_first, Error *error)
{
    ByteReader certificates, certificate;
    bool first = true;

    *ret_first = byte_reader(NULL, 0);
    if (get_part(reader, &certificates) < 0)
        return bad("the list of certificates", error);
    for (; certificates.size > 0; first = false) {
        if (get_part(&certificates, &certificate) < 0)
            return bad("a certificate", error);
        if (first)
            *ret_first = certificate;
    }
    return 0;
}

int apk_signed_data_decode(ApkScheme scheme,
                           ByteReader bytes,
                           ApkSignedData *ret_data,
                           Error *error)
{
    int r = get_list(&bytes, "digest", &ret_data->digests, error);
    if (r >= 0)
        r = get_certificates(&bytes, &ret_data->certificate, error);
    if (r < 0)
        return r;
    ret_data->min_sdk = ret_data->max_sdk = 0;
    if (scheme == APK_SCHEME_V3 && (byte_reader_get_le32(&bytes, &ret_data->min_sdk) < 0 ||
                                    byte_reader_get_le32(&bytes, &ret_data->max_sdk) < 0))
        return bad("the range of SDKs that is signed", error);
    r = get_attributes(&bytes, &ret_data->stripping_guard, error);
    if (r < 0)
        return r;
    /* Signers of scheme v2 add a part without bytes, and are many. */
    if (scheme == APK_SCHEME_V3 && bytes.size > 0)
        return error_set(error, ERROR_IMAGE_INVALID, "%zu bytes behind the data that is signed",
                         bytes.size);
    return 0;
}

static int refuse_algorithms(const ApkSigner *signer, Error *error)
{
    char shown[SHOWN_MAX] = "none";
    size_t at = 0;

    for (size_t i = 0; i < signer->signatures.n && at < sizeof(shown); i++) {
        const SignatureAlgorithm *algorithm =
            signature_algorithm_find(signer->signatures.items[i].id);
        int n = snprintf(shown + at, sizeof(shown) - at, "%s0x%04x%s%s", i > 0 ? ", " : "",
                         signer->signatures.items[i].id, algorithm ? " " : "",
                         algorithm ? algorithm->name : "");
        at += n > 0 ? (size_t)n : 0;
    }
    return error_set(error, ERROR_IMAGE_INVALID,
                     "the APK has no signature of an algorithm that is taken (DSA is not), but "
                     "these: %s",
                     shown);
}

int apk_signer_find_strongest(const ApkSigner *signer, size_t *ret_index, Error *error)
{
    const SignatureAlgorithm *best = NULL;

    for (size_t i = 0; i < signer->signatures.n; i++) {
        const SignatureAlgorithm *algorithm =
            signature_algorithm_find(signer->signatures.items[i].id);

        if (!algorithm || algorithm->key_type == SIGNATURE_KEY_DSA)
            continue;
        if (best && best->content_digest >= algorithm->content_digest)
            continue;
        best = algorithm;
        *ret_index = i;
    }
    return best ? 0 : refuse_algorithms(signer, error);
}

/* --- writing --- */

static void put_size(ByteWriter *writer, size_t size)
{
    byte_writer_put_le32(writer, (uint32_t)size);
}

static void put_part(ByteWriter *writer, ByteReader part)
{
    put_size(writer, part.size);
    byte_writer_put_bytes(writer, part.data, part.size);
}

/* A list with one item, which is a number and a part. */
static void put_list(ByteWriter *writer, const SignatureAlgorithm *algorithm, ByteReader part)
{
    size_t item_size = sizeof(uint32_t) + LENGTH_SIZE + part.size;

    put_size(writer, LENGTH_SIZE + item_size);
    put_size(writer, item_size);
    byte_writer_put_le32(writer, algorithm->id);
    put_part(writer, part);
}

static void put_range(ByteWriter *writer)
{
    byte_writer_put_le32(writer, APK_SDK_MIN);
    byte_writer_put_le32(writer, APK_SDK_NEWEST);
}

int apk_signed_data_encode(const SignatureAlgorithm *algorithm,
                           ByteReader digest,
                           ByteReader certificate,
                           ByteWriter *writer)
{
    put_list(writer, algorithm, digest);
    put_size(writer, LENGTH_SIZE + certificate.size);
    put_part(writer, certificate);
    put_range(writer);
    put_size(writer, 0); /* no attributes */
    return byte_writer_finish(writer);
}

int apk_signer_encode(const SignatureAlgorithm *algorithm,
                      ByteReader signed_data,
                      ByteReader signature,
                      ByteReader public_key,
                      ByteWriter *writer)
{
    size_t list_size = 2 * LENGTH_SIZE + sizeof(uint32_t) + signature.size;
    size_t signer_size = LENGTH_SIZE + signed_data.size + 2 * sizeof(uint32_t) + LENGTH_SIZE +
                         list_size + LENGTH_SIZE + public_key.size;

    put_size(writer, LENGTH_SIZE + signer_size);
    put_size(writer, signer_size);
    put_part(writer, signed_data);
    put_range(writer);
    put_list(writer, algorithm, signature);
    put_part(writer, public_key);
    return byte_writer_finish(writer);
}
