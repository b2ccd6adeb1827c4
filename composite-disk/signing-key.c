/* SPDX-License-Identifier: Apache-2.0 */
#include "composite-disk/signing-key.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "composite-disk/byte-source.h"

#define RSA_BITS_MIN       2048
#define RSA_BITS_MAX       8192
#define KEY_FILE_MAX       (64U << 10) /* also of a certificate */
#define KEY_FILE_MODE      0600
#define CERTIFICATE_SERIAL 63 /* bits: positive, and short enough for any reader */
#define CERTIFICATE_DAYS   (30 * 365)

#define CURVE_NAME_MAX 64
#define CURVE_DEFAULT  "P-256"

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free);
DEFINE_CLEANUP(X509, X509_free);
DEFINE_CLEANUP(BIO, BIO_free);
DEFINE_CLEANUP(BIGNUM, BN_free);

/* What OpenSSL says of its last failure; its queue is left empty, for it outlives the call. */
static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return reason ? reason : "OpenSSL does not say why";
}

/* --- keys --- */

static int check_rsa(const EVP_PKEY *key, ErrorKind kind, Error *error)
{
    int bits = EVP_PKEY_get_bits(key);

    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return error_set(error, kind, "RSA key of %d bits; taken are %d to %d", bits, RSA_BITS_MIN,
                         RSA_BITS_MAX);
    return 0;
}

static int check_curve(const EVP_PKEY *key, ErrorKind kind, Error *error)
{
    static const char *const curves[] = { "prime256v1", "secp384r1", "secp521r1" };
    char name[CURVE_NAME_MAX];

    if (EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1) {
        ERR_clear_error();
        return error_set(error, kind, "EC key on a curve without a name");
    }
    for (size_t i = 0; i < ELEMENTS_OF(curves); i++) {
        if (strcmp(name, curves[i]) == 0)
            return 0;
    }
    return error_set(error, kind, "EC key on the curve %s; taken are P-256, P-384 and P-521", name);
}

/* The type of a key that signatures may be made with. */
static int check_key(const EVP_PKEY *key, ErrorKind kind, SignatureKeyType *ret_type, Error *error)
{
    const char *name;
    int r;

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        r = check_rsa(key, kind, error);
        *ret_type = SIGNATURE_KEY_RSA;
        return r;
    case EVP_PKEY_EC:
        r = check_curve(key, kind, error);
        *ret_type = SIGNATURE_KEY_EC;
        return r;
    default:
        name = EVP_PKEY_get0_type_name(key);
        return error_set(error, kind, "key of type %s; taken are RSA and EC",
                         name ? name : "unknown");
    }
}

static const char *key_type_name(SignatureKeyType type)
{
    static const char *const names[] = {
        [SIGNATURE_KEY_RSA] = "RSA",
        [SIGNATURE_KEY_EC] = "EC",
        [SIGNATURE_KEY_DSA] = "DSA",
    };

    return names[type];
}

static int check_fits(const EVP_PKEY *key,
                      const SignatureAlgorithm *algorithm,
                      ErrorKind kind,
                      Error *error)
{
    SignatureKeyType type;

    if (algorithm->key_type == SIGNATURE_KEY_DSA)
        return error_set(error, kind, "signature algorithm %s: DSA is not taken", algorithm->name);
    int r = check_key(key, kind, &type, error);
    if (r < 0)
        return r;
    if (type != algorithm->key_type)
        return error_set(error, kind, "signature algorithm %s with a key of type %s",
                         algorithm->name, key_type_name(type));
    return 0;
}

static int decode_public_key(const uint8_t *der, size_t size, EVP_PKEY **ret_key, Error *error)
{
    const uint8_t *end = der;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key =
        size > 0 && size <= LONG_MAX ? d2i_PUBKEY(NULL, &end, (long)size) : NULL;

    if (!key || end != der + size) {
        ERR_clear_error();
        return error_set(error, ERROR_IMAGE_INVALID,
                         key ? "%zu bytes of public key, and others behind it"
                             : "%zu bytes are not a public key that is known",
                         key ? (size_t)(end - der) : size);
    }
    *ret_key = TAKE_PTR(key);
    return 0;
}

/* --- files --- */

int signing_key_read_file(const char *path, uint8_t **ret_data, size_t *ret_size, Error *error)
{
    ByteSource source;

    int r = byte_source_open(path, &source, error);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = source.fd;
    r = source.size == 0 ? -EFBIG : byte_source_read_all(&source, KEY_FILE_MAX, ret_data);
    if (r == -EFBIG)
        return error_set(error, ERROR_INVALID_FILE,
                         "'%s' has %ju bytes; a file of keys has 1 to %u", path,
                         (uintmax_t)source.size, KEY_FILE_MAX);
    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot read '%s'", path);
    *ret_size = (size_t)source.size;
    return 0;
}

/* OpenSSL would ask the terminal. */
static int on_passphrase_asked(char *buffer, int size, int writing, void *asked)
{
    (void)buffer;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static int load_private_key(const char *path, EVP_PKEY **ret_key, Error *error)
{
    uint8_t *data;
    bool asked = false;
    EVP_PKEY *key = NULL;
    size_t size;

    int r = signing_key_read_file(path, &data, &size, error);
    if (r < 0)
        return r;
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    if (bio)
        key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase_asked, &asked);
    (void)BIO_free(bio);
    OPENSSL_cleanse(data, size);
    free(data);
    ERR_clear_error();
    if (asked) {
        EVP_PKEY_free(key);
        return error_set(error, ERROR_INVALID_FILE,
                         "the key in '%s' has a passphrase; take it off with 'openssl pkey'", path);
    }
    if (!key)
        return error_set(error, ERROR_INVALID_FILE, "no private key in PEM in '%s'", path);
    *ret_key = key;
    return 0;
}

/* Returns 0 when there is none. */
static int find_certificate(const char *path, X509 **ret_certificate, Error *error)
{
    _cleanup_free_ uint8_t *data = NULL;
    size_t size;

    int r = signing_key_read_file(path, &data, &size, error);
    if (r < 0)
        return r;
    _cleanup_(BIO_freep) BIO *bio = BIO_new_mem_buf(data, (int)size);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    OPENSSL_cleanse(data, size); /* a key may stand beside it */
    bool is_none = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (!certificate && !is_none)
        return error_set(error, ERROR_INVALID_FILE, "a damaged certificate in '%s'", path);
    if (!certificate)
        return 0;
    *ret_certificate = certificate;
    return 1;
}

/* The same, but for a certificate of another key, which is an error. */
static int take_certificate(SigningKey *key, const char *path, Error *error)
{
    X509 *certificate;

    int r = find_certificate(path, &certificate, error);
    if (r <= 0)
        return r;
    int equal = EVP_PKEY_eq(X509_get0_pubkey(certificate), key->key);
    ERR_clear_error();
    if (equal != 1) {
        X509_free(certificate);
        return error_set(error, ERROR_INVALID_FILE, "the certificate in '%s' is of another key",
                         path);
    }
    X509_free(key->certificate);
    key->certificate = certificate;
    return 1;
}

int signing_key_load(const char *key_path,
                     const char *certificate_path,
                     SigningKey **ret_key,
                     Error *error)
{
    _cleanup_(signing_key_freep) SigningKey *key = calloc(1, sizeof(*key));
    SignatureKeyType type;

    if (!key)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = load_private_key(key_path, &key->key, error);
    if (r >= 0)
        r = check_key(key->key, ERROR_INVALID_FILE, &type, error);
    if (r >= 0 && certificate_path)
        r = take_certificate(key, certificate_path, error);
    if (r < 0)
        return r;
    if (certificate_path && !key->certificate)
        return error_set(error, ERROR_INVALID_FILE, "no certificate in PEM in '%s'",
                         certificate_path);
    *ret_key = TAKE_PTR(key);
    return 0;
}

int signing_key_complete(
    SigningKey *key, const char *path, const char *common_name, bool *ret_made, Error *error)
{
    int r = take_certificate(key, path, error);
    bool made = r == 0;

    if (made)
        r = signing_key_add_certificate(key, common_name, error);
    if (r < 0)
        return r;
    *ret_made = made;
    return 0;
}

int signing_key_generate(SigningKey **ret_key, Error *error)
{
    _cleanup_(signing_key_freep) SigningKey *key = calloc(1, sizeof(*key));

    if (!key)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    key->key = EVP_EC_gen(CURVE_DEFAULT);
    if (!key->key)
        return error_set(error, ERROR_FAILED, "cannot make a key: %s", openssl_reason());
    *ret_key = TAKE_PTR(key);
    return 0;
}

int signing_key_write(const SigningKey *key, int fd, Error *error)
{
    _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
    char *text;

    if (!bio || PEM_write_bio_PrivateKey(bio, key->key, NULL, NULL, 0, NULL, NULL) != 1 ||
        (key->certificate && PEM_write_bio_X509(bio, key->certificate) != 1))
        return error_set(error, ERROR_FAILED, "cannot encode the key: %s", openssl_reason());
    long size = BIO_get_mem_data(bio, &text);
    int r = fchmod(fd, KEY_FILE_MODE) < 0 ? -errno : fd_write_all(fd, text, (size_t)size);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot write the key") : 0;
}

SigningKey *signing_key_free(SigningKey *key)
{
    if (!key)
        return NULL;
    EVP_PKEY_free(key->key);
    X509_free(key->certificate);
    free(key);
    return NULL;
}

/* --- certificates --- */

static bool set_serial(X509 *certificate)
{
    _cleanup_(BN_freep) BIGNUM *serial = BN_new();

    return serial &&
           BN_rand(serial, CERTIFICATE_SERIAL, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate));
}

static bool set_name(X509 *certificate, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(certificate);

    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)common_name, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1;
}

int signing_key_add_certificate(SigningKey *key, const char *common_name, Error *error)
{
    _cleanup_(X509_freep) X509 *certificate = X509_new();

    if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 ||
        !set_serial(certificate) || !set_name(certificate, common_name) ||
        !X509_gmtime_adj(X509_getm_notBefore(certificate), 0) ||
        !X509_time_adj_ex(X509_getm_notAfter(certificate), CERTIFICATE_DAYS, 0, NULL) ||
        X509_set_pubkey(certificate, key->key) != 1 ||
        X509_sign(certificate, key->key, EVP_sha256()) == 0)
        return error_set(error, ERROR_FAILED, "cannot make a certificate for '%s': %s", common_name,
                         openssl_reason());
    X509_free(key->certificate);
    key->certificate = TAKE_PTR(certificate);
    return 0;
}

int signing_key_set_certificate(SigningKey *key, const uint8_t *der, size_t size, Error *error)
{
    const uint8_t *end = der;
    _cleanup_(X509_freep) X509 *certificate =
        size > 0 && size <= LONG_MAX ? d2i_X509(NULL, &end, (long)size) : NULL;

    int fits = certificate && end == der + size ? X509_check_private_key(certificate, key->key) : 0;
    ERR_clear_error();
    if (fits != 1)
        return error_set(error, ERROR_INVALID_ARGUMENT, "the certificate is of another key");
    X509_free(key->certificate);
    key->certificate = TAKE_PTR(certificate);
    return 0;
}

int certificate_check_key(const uint8_t *certificate,
                          size_t certificate_size,
                          const uint8_t *public_key,
                          size_t public_key_size,
                          Error *error)
{
    const uint8_t *end = certificate;
    _cleanup_(X509_freep) X509 *decoded = certificate_size > 0 && certificate_size <= LONG_MAX
                                              ? d2i_X509(NULL, &end, (long)certificate_size)
                                              : NULL;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;

    if (!decoded || end != certificate + certificate_size) {
        ERR_clear_error();
        return error_set(error, ERROR_IMAGE_INVALID, "%zu bytes that are not one certificate",
                         certificate_size);
    }
    int r = decode_public_key(public_key, public_key_size, &key, error);
    if (r < 0)
        return r;
    const EVP_PKEY *certified = X509_get0_pubkey(decoded);
    int equal = certified ? EVP_PKEY_eq(certified, key) : 0;
    ERR_clear_error();
    if (equal != 1)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the certificate is of another public key than the signer's");
    return 0;
}

int signing_key_encode(const SigningKey *key,
                       uint8_t **ret_certificate,
                       size_t *ret_certificate_size,
                       uint8_t **ret_public_key,
                       size_t *ret_public_key_size)
{
    assert(key->certificate);
    int certificate_size = i2d_X509(key->certificate, NULL);
    int public_key_size = i2d_PUBKEY(key->key, NULL);
    _cleanup_free_ uint8_t *certificate = NULL, *public_key = NULL;

    if (certificate_size > 0 && public_key_size > 0) {
        certificate = malloc((size_t)certificate_size);
        public_key = malloc((size_t)public_key_size);
    }
    if (!certificate || !public_key) {
        ERR_clear_error();
        return -ENOMEM;
    }
    /* Each moves the pointer that it is given behind what it has written. */
    uint8_t *certificate_end = certificate, *public_key_end = public_key;
    if (i2d_X509(key->certificate, &certificate_end) != certificate_size ||
        i2d_PUBKEY(key->key, &public_key_end) != public_key_size) {
        ERR_clear_error();
        return -ENOMEM;
    }
    *ret_certificate = TAKE_PTR(certificate);
    *ret_certificate_size = (size_t)certificate_size;
    *ret_public_key = TAKE_PTR(public_key);
    *ret_public_key_size = (size_t)public_key_size;
    return 0;
}

/* --- signatures --- */

const SignatureAlgorithm *signing_key_get_algorithm(const SigningKey *key)
{
    int bits = EVP_PKEY_get_bits(key->key);

    if (EVP_PKEY_get_base_id(key->key) == EVP_PKEY_RSA)
        return signature_algorithm_find(bits <= 3072 ? SIGNATURE_RSA_PKCS1_SHA256
                                                     : SIGNATURE_RSA_PKCS1_SHA512);
    return signature_algorithm_find(bits <= 256 ? SIGNATURE_ECDSA_SHA256 : SIGNATURE_ECDSA_SHA512);
}

static const char *hash_name(const SignatureAlgorithm *algorithm)
{
    return algorithm->hash_bits == 512 ? "SHA512" : "SHA256";
}

/* PSS as Android has it: MGF1 with the same hash, a salt as long as it. */
static bool set_padding(EVP_PKEY_CTX *context, const SignatureAlgorithm *algorithm)
{
    if (!algorithm->pss)
        return true;
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) > 0;
}

int signing_key_sign(const SigningKey *key,
                     const SignatureAlgorithm *algorithm,
                     const void *data,
                     size_t size,
                     uint8_t *ret_signature,
                     size_t *ret_size,
                     Error *error)
{
    uint8_t signature[SIGNATURE_SIZE_MAX];
    size_t signature_size = sizeof(signature);
    EVP_PKEY_CTX *padding;

    int r = check_fits(key->key, algorithm, ERROR_INVALID_ARGUMENT, error);
    if (r < 0)
        return r;
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context ||
        EVP_DigestSignInit_ex(context, &padding, hash_name(algorithm), NULL, NULL, key->key,
                              NULL) != 1 ||
        !set_padding(padding, algorithm) ||
        EVP_DigestSign(context, signature, &signature_size, data, size) != 1)
        return error_set(error, ERROR_FAILED, "cannot sign with %s: %s", algorithm->name,
                         openssl_reason());
    memcpy(ret_signature, signature, signature_size);
    *ret_size = signature_size;
    return 0;
}

int signature_verify(const uint8_t *public_key,
                     size_t public_key_size,
                     const SignatureAlgorithm *algorithm,
                     const void *data,
                     size_t size,
                     const uint8_t *signature,
                     size_t signature_size,
                     Error *error)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *padding;

    int r = decode_public_key(public_key, public_key_size, &key, error);
    if (r >= 0)
        r = check_fits(key, algorithm, ERROR_IMAGE_INVALID, error);
    if (r < 0)
        return r;
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context ||
        EVP_DigestVerifyInit_ex(context, &padding, hash_name(algorithm), NULL, NULL, key, NULL) !=
            1 ||
        !set_padding(padding, algorithm))
        return error_set(error, ERROR_FAILED, "cannot verify with %s: %s", algorithm->name,
                         openssl_reason());
    int verified = EVP_DigestVerify(context, signature, signature_size, data, size);
    ERR_clear_error();
    if (verified != 1)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the %s signature is not one of this data with this key", algorithm->name);
    return 0;
}
