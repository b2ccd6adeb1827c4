/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/instance-data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest/cbor.h"
#include "guest/crypto.h"

#define APKS_MAX (1 + PAYLOAD_EXTRA_APKS_MAX)

/* Keys of AVF's configuration descriptor (Open DICE's range and Android's). */
#define CONFIGURATION_NAME_KEY       (-70002)
#define CONFIGURATION_RUN_KEY        (-71000)
#define CONFIGURATION_COMPONENTS_KEY (-71002)
#define CONFIGURATION_NAME           "microguest payload"

InstanceData *instance_data_new(size_t n_apks, size_t n_apexes)
{
    InstanceData *data = calloc(1, sizeof(*data));
    if (!data)
        return NULL;

    data->apks = calloc(n_apks + 1, sizeof(*data->apks));
    data->apexes = calloc(n_apexes + 1, sizeof(*data->apexes));
    data->n_apks = n_apks;
    data->n_apexes = n_apexes;
    return data->apks && data->apexes ? data : instance_data_free(data);
}

InstanceData *instance_data_free(InstanceData *data)
{
    if (!data)
        return NULL;
    free(data->apks);
    free(data->apexes);
    explicit_bzero(data->salt, sizeof(data->salt));
    free(data);
    return NULL;
}

/* --- to and from bytes --- */

static void put_apk(ByteWriter *writer, const InstanceApk *apk)
{
    cbor_put_map(writer, 5);
    cbor_put_text(writer, "root_hash");
    cbor_put_bytes(writer, apk->root_hash, sizeof(apk->root_hash));
    cbor_put_text(writer, "idsig_hash");
    cbor_put_bytes(writer, apk->idsig_hash, sizeof(apk->idsig_hash));
    cbor_put_text(writer, "cert_hash");
    cbor_put_bytes(writer, apk->cert_hash, sizeof(apk->cert_hash));
    cbor_put_text(writer, "package");
    cbor_put_text(writer, apk->package);
    cbor_put_text(writer, "version");
    cbor_put_uint(writer, apk->version);
}

static void put_apex(ByteWriter *writer, const InstanceApex *apex)
{
    cbor_put_map(writer, 4);
    cbor_put_text(writer, "name");
    cbor_put_text(writer, apex->name);
    cbor_put_text(writer, "public_key");
    cbor_put_bytes(writer, apex->public_key, sizeof(apex->public_key));
    cbor_put_text(writer, "root_digest");
    cbor_put_bytes(writer, apex->root_digest, sizeof(apex->root_digest));
    cbor_put_text(writer, "version");
    cbor_put_uint(writer, apex->version);
}

int instance_data_encode(const InstanceData *data, uint8_t bytes[static INSTANCE_DATA_SIZE])
{
    ByteWriter writer = byte_writer(bytes, INSTANCE_DATA_SIZE);

    cbor_put_map(&writer, 4);
    cbor_put_text(&writer, "salt");
    cbor_put_bytes(&writer, data->salt, sizeof(data->salt));
    cbor_put_text(&writer, "run");
    cbor_put_text(&writer, data->run);
    cbor_put_text(&writer, "apks");
    cbor_put_array(&writer, data->n_apks);
    for (size_t i = 0; i < data->n_apks; i++)
        put_apk(&writer, &data->apks[i]);
    cbor_put_text(&writer, "apexes");
    cbor_put_array(&writer, data->n_apexes);
    for (size_t i = 0; i < data->n_apexes; i++)
        put_apex(&writer, &data->apexes[i]);
    int r = byte_writer_finish(&writer);
    if (r >= 0)
        byte_writer_put_zeros(&writer, writer.capacity - writer.size);
    return r;
}

static int get_apk(ByteReader *reader, InstanceApk *apk)
{
    int r = cbor_get_map(reader, 5);

    if (r >= 0)
        r = cbor_get_key(reader, "root_hash");
    if (r >= 0)
        r = cbor_get_bytes(reader, apk->root_hash, sizeof(apk->root_hash));
    if (r >= 0)
        r = cbor_get_key(reader, "idsig_hash");
    if (r >= 0)
        r = cbor_get_bytes(reader, apk->idsig_hash, sizeof(apk->idsig_hash));
    if (r >= 0)
        r = cbor_get_key(reader, "cert_hash");
    if (r >= 0)
        r = cbor_get_bytes(reader, apk->cert_hash, sizeof(apk->cert_hash));
    if (r >= 0)
        r = cbor_get_key(reader, "package");
    if (r >= 0)
        r = cbor_get_text(reader, apk->package, sizeof(apk->package));
    if (r >= 0)
        r = cbor_get_key(reader, "version");
    return r < 0 ? r : cbor_get_uint(reader, &apk->version);
}

static int get_apex(ByteReader *reader, InstanceApex *apex)
{
    int r = cbor_get_map(reader, 4);

    if (r >= 0)
        r = cbor_get_key(reader, "name");
    if (r >= 0)
        r = cbor_get_text(reader, apex->name, sizeof(apex->name));
    if (r >= 0)
        r = cbor_get_key(reader, "public_key");
    if (r >= 0)
        r = cbor_get_bytes(reader, apex->public_key, sizeof(apex->public_key));
    if (r >= 0)
        r = cbor_get_key(reader, "root_digest");
    if (r >= 0)
        r = cbor_get_bytes(reader, apex->root_digest, sizeof(apex->root_digest));
    if (r >= 0)
        r = cbor_get_key(reader, "version");
    return r < 0 ? r : cbor_get_uint(reader, &apex->version);
}

static int get_data(ByteReader *reader, InstanceData *data)
{
    int r = cbor_get_map(reader, 4);

    if (r >= 0)
        r = cbor_get_key(reader, "salt");
    if (r >= 0)
        r = cbor_get_bytes(reader, data->salt, sizeof(data->salt));
    if (r >= 0)
        r = cbor_get_key(reader, "run");
    if (r >= 0)
        r = cbor_get_text(reader, data->run, sizeof(data->run));
    if (r >= 0)
        r = cbor_get_key(reader, "apks");
    if (r >= 0)
        r = cbor_get_array(reader, APKS_MAX, &data->n_apks);
    for (size_t i = 0; r >= 0 && i < data->n_apks; i++)
        r = get_apk(reader, &data->apks[i]);
    if (r >= 0)
        r = cbor_get_key(reader, "apexes");
    if (r >= 0)
        r = cbor_get_array(reader, PAYLOAD_APEXES_MAX, &data->n_apexes);
    for (size_t i = 0; r >= 0 && i < data->n_apexes; i++)
        r = get_apex(reader, &data->apexes[i]);
    return r;
}

int instance_data_decode(const uint8_t bytes[static INSTANCE_DATA_SIZE], InstanceData **ret_data)
{
    _cleanup_(instance_data_freep) InstanceData *data =
        instance_data_new(APKS_MAX, PAYLOAD_APEXES_MAX);
    ByteReader reader = byte_reader(bytes, INSTANCE_DATA_SIZE);
    uint8_t zero = 0;

    if (!data)
        return -ENOMEM;
    int r = get_data(&reader, data);
    if (r < 0)
        return r;
    while (reader.size > 0) {
        (void)byte_reader_get_u8(&reader, &zero); /* it is there */
        if (zero != 0)
            return -EBADMSG;
    }
    *ret_data = TAKE_PTR(data);
    return 0;
}

/* --- an update --- */

bool instance_apk_is_same(const InstanceApk *recorded, const InstanceApk *found)
{
    return memcmp(recorded->root_hash, found->root_hash, sizeof(found->root_hash)) == 0 &&
           memcmp(recorded->idsig_hash, found->idsig_hash, sizeof(found->idsig_hash)) == 0;
}

bool instance_apex_is_same(const InstanceApex *recorded, const InstanceApex *found)
{
    return strcmp(recorded->name, found->name) == 0 && recorded->version == found->version &&
           memcmp(recorded->public_key, found->public_key, sizeof(found->public_key)) == 0 &&
           memcmp(recorded->root_digest, found->root_digest, sizeof(found->root_digest)) == 0;
}

static int check_apk(const InstanceApk *recorded, const InstanceApk *found, size_t i, Error *error)
{
    if (memcmp(recorded->cert_hash, found->cert_hash, sizeof(found->cert_hash)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "APK %zu is signed by another key than the instance's first one", i);
    if (strcmp(recorded->package, found->package) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "APK %zu is of the package '%s'; the instance was made for '%s'", i,
                         found->package, recorded->package);
    if (found->version < recorded->version)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "APK %zu has version %" PRIu64 ", and %" PRIu64
                         " has run in the instance before",
                         i, found->version, recorded->version);
    return 0;
}

static int check_apex(const InstanceApex *recorded, const InstanceApex *found, Error *error)
{
    if (strcmp(recorded->name, found->name) != 0 ||
        memcmp(recorded->public_key, found->public_key, sizeof(found->public_key)) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the module '%s' is another than the instance's '%s'", found->name,
                         recorded->name);
    if (found->version < recorded->version)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the module '%s' has version %" PRIu64 ", and %" PRIu64
                         " has been in the instance before",
                         found->name, found->version, recorded->version);
    return 0;
}

int instance_data_check_update(const InstanceData *recorded,
                               const InstanceData *found,
                               Error *error)
{
    int r = 0;

    if (strcmp(recorded->run, found->run) != 0)
        return error_set(error, ERROR_IMAGE_INVALID, "the instance was made to run '%s', not '%s'",
                         recorded->run, found->run);
    if (recorded->n_apks != found->n_apks || recorded->n_apexes != found->n_apexes)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "%zu APKs and %zu modules; the instance was made with %zu and %zu",
                         found->n_apks, found->n_apexes, recorded->n_apks, recorded->n_apexes);
    for (size_t i = 0; r >= 0 && i < found->n_apks; i++)
        r = check_apk(&recorded->apks[i], &found->apks[i], i, error);
    for (size_t i = 0; r >= 0 && i < found->n_apexes; i++)
        r = check_apex(&recorded->apexes[i], &found->apexes[i], error);
    return r;
}

/* --- measuring --- */

static void put_component(ByteWriter *writer,
                          const char *kind,
                          const char *name,
                          uint64_t version,
                          CryptoBytes code,
                          CryptoBytes authority)
{
    char full_name[PAYLOAD_NAME_MAX + INSTANCE_PACKAGE_SIZE];

    (void)strcpy(full_name, kind); /* a literal */
    (void)strncat(full_name, name, sizeof(full_name) - strlen(full_name) - 1);
    cbor_put_map(writer, 4);
    cbor_put_uint(writer, 1);
    cbor_put_text(writer, full_name);
    cbor_put_uint(writer, 2);
    cbor_put_uint(writer, version);
    cbor_put_uint(writer, 3);
    cbor_put_bytes(writer, code.data, code.size);
    cbor_put_uint(writer, 4);
    cbor_put_bytes(writer, authority.data, authority.size);
}

static void put_configuration(ByteWriter *writer, const InstanceData *data)
{
    cbor_put_map(writer, 3);
    cbor_put_int(writer, CONFIGURATION_NAME_KEY);
    cbor_put_text(writer, CONFIGURATION_NAME);
    cbor_put_int(writer, CONFIGURATION_RUN_KEY);
    cbor_put_text(writer, data->run);
    cbor_put_int(writer, CONFIGURATION_COMPONENTS_KEY);
    cbor_put_array(writer, data->n_apks + data->n_apexes);
    for (size_t i = 0; i < data->n_apks; i++) {
        const InstanceApk *apk = &data->apks[i];

        put_component(writer, "apk:", apk->package, apk->version,
                      (CryptoBytes){ apk->root_hash, sizeof(apk->root_hash) },
                      (CryptoBytes){ apk->cert_hash, sizeof(apk->cert_hash) });
    }
    for (size_t i = 0; i < data->n_apexes; i++) {
        const InstanceApex *apex = &data->apexes[i];

        put_component(writer, "apex:", apex->name, apex->version,
                      (CryptoBytes){ apex->root_digest, sizeof(apex->root_digest) },
                      (CryptoBytes){ apex->public_key, sizeof(apex->public_key) });
    }
}

int instance_data_measure(const InstanceData *data, DiceMode mode, DiceInputs *ret_inputs)
{
    size_t n = data->n_apks + data->n_apexes, capacity = 2 * (size_t)INSTANCE_DATA_SIZE;
    _cleanup_free_ CryptoBytes *code = calloc(n, sizeof(*code));
    _cleanup_free_ CryptoBytes *authority = calloc(n, sizeof(*authority));
    _cleanup_free_ uint8_t *descriptor = malloc(capacity);
    DiceInputs inputs = { .mode = mode };

    if (!code || !authority || !descriptor)
        return -ENOMEM;
    for (size_t i = 0; i < data->n_apks; i++) {
        code[i] = (CryptoBytes){ data->apks[i].root_hash, sizeof(data->apks[i].root_hash) };
        authority[i] = (CryptoBytes){ data->apks[i].cert_hash, sizeof(data->apks[i].cert_hash) };
    }
    for (size_t i = 0; i < data->n_apexes; i++) {
        const InstanceApex *apex = &data->apexes[i];

        code[data->n_apks + i] = (CryptoBytes){ apex->root_digest, sizeof(apex->root_digest) };
        authority[data->n_apks + i] = (CryptoBytes){ apex->public_key, sizeof(apex->public_key) };
    }
    ByteWriter writer = byte_writer(descriptor, capacity);
    put_configuration(&writer, data);
    int r = byte_writer_finish(&writer);
    if (r >= 0)
        r = crypto_hash(CRYPTO_SHA512, code, n, inputs.code);
    if (r >= 0)
        r = crypto_hash(CRYPTO_SHA512, authority, n, inputs.authority);
    if (r >= 0)
        r = crypto_hash(CRYPTO_SHA512, &(CryptoBytes){ descriptor, writer.size }, 1,
                        inputs.configuration);
    if (r >= 0)
        r = crypto_hash(CRYPTO_SHA512, &(CryptoBytes){ data->salt, sizeof(data->salt) }, 1,
                        inputs.hidden);
    if (r >= 0)
        *ret_inputs = inputs;
    return r;
}
