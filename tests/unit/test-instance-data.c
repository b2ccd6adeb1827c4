/* SPDX-License-Identifier: Apache-2.0 */
/* Records to bytes and back, at their limits, with each byte another; and what an update of each
 * field does to the secrets. */
#include "guest/instance-data.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "tests/helpers/test.h"

#define APKS_MAX (1 + PAYLOAD_EXTRA_APKS_MAX)

/* No two fields of it are alike; names have @name_size bytes. */
static InstanceData *make_data(size_t n_apks, size_t n_apexes, size_t name_size)
{
    InstanceData *data = instance_data_new(n_apks, n_apexes);

    assert_non_null(data);
    memset(data->salt, 0x5a, sizeof(data->salt));
    strcpy(data->run, "config_path:/mnt/apk/assets/vm_config.json");
    for (size_t i = 0; i < n_apks; i++) {
        InstanceApk *apk = &data->apks[i];

        memset(apk->root_hash, (int)i + 1, sizeof(apk->root_hash));
        memset(apk->idsig_hash, (int)i + 2, sizeof(apk->idsig_hash));
        memset(apk->cert_hash, (int)i + 3, sizeof(apk->cert_hash));
        memset(apk->package, 'a' + (int)i % 26, name_size);
        apk->version = UINT64_MAX - i;
    }
    for (size_t i = 0; i < n_apexes; i++) {
        InstanceApex *apex = &data->apexes[i];

        memset(apex->name, 'A' + (int)i % 26, name_size);
        memset(apex->public_key, (int)i + 4, sizeof(apex->public_key));
        memset(apex->root_digest, (int)i + 5, sizeof(apex->root_digest));
        apex->version = i;
    }
    return data;
}

static void assert_same(const InstanceData *a, const InstanceData *b)
{
    assert_memory_equal(a->salt, b->salt, sizeof(a->salt));
    assert_string_equal(a->run, b->run);
    assert_int_equal(a->n_apks, b->n_apks);
    assert_int_equal(a->n_apexes, b->n_apexes);
    for (size_t i = 0; i < a->n_apks; i++) {
        assert_true(instance_apk_is_same(&a->apks[i], &b->apks[i]));
        assert_memory_equal(a->apks[i].cert_hash, b->apks[i].cert_hash, 64);
        assert_string_equal(a->apks[i].package, b->apks[i].package);
        assert_true(a->apks[i].version == b->apks[i].version);
    }
    for (size_t i = 0; i < a->n_apexes; i++)
        assert_true(instance_apex_is_same(&a->apexes[i], &b->apexes[i]));
}

static void assert_round_trip(const InstanceData *data)
{
    static uint8_t bytes[INSTANCE_DATA_SIZE], again[INSTANCE_DATA_SIZE];
    InstanceData *decoded;

    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(instance_data_encode(data, bytes), 0);
    assert_int_equal(instance_data_decode(bytes, &decoded), 0);
    assert_same(data, decoded);
    assert_int_equal(instance_data_encode(decoded, again), 0);
    assert_memory_equal(again, bytes, sizeof(bytes));
    instance_data_free(decoded);
}

static void what_is_encoded_is_decoded_again(void **state)
{
    (void)state;
    static const struct {
        size_t n_apks, n_apexes, name_size;
    } cases[] = {
        { 1, 0, 1 },
        { 1, 1, 30 },
        { 1, PAYLOAD_APEXES_MAX, PAYLOAD_NAME_MAX },
        { APKS_MAX, 0, INSTANCE_PACKAGE_SIZE - 1 },
        { APKS_MAX, PAYLOAD_APEXES_MAX, 30 }, /* more partitions than a disk has */
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(instance_data_freep) InstanceData *data =
            make_data(cases[i].n_apks, cases[i].n_apexes, cases[i].name_size);

        assert_round_trip(data);
        memset(data->run, 'r', sizeof(data->run) - 1);
        if (cases[i].name_size <= 30)
            assert_round_trip(data);
    }
}

static void what_does_not_fit_is_told(void **state)
{
    (void)state;
    static uint8_t bytes[INSTANCE_DATA_SIZE];
    _cleanup_(instance_data_freep) InstanceData *data =
        make_data(APKS_MAX, PAYLOAD_APEXES_MAX, PAYLOAD_NAME_MAX);
    DiceInputs inputs;

    assert_int_equal(instance_data_encode(data, bytes), -ENOBUFS);
    assert_int_equal(instance_data_measure(data, DICE_MODE_NORMAL, &inputs), 0);

    /* To the last byte, and one more. */
    size_t fits = 0;
    instance_data_free(data);
    data = make_data(APKS_MAX, 40, 110);
    while (instance_data_encode(data, bytes) == 0) {
        fits++;
        data->run[strlen(data->run)] = 'r';
        assert_true(strlen(data->run) < sizeof(data->run) - 1);
    }
    assert_true(fits > 300); /* the head of the text keeps its size here */
    assert_int_equal(instance_data_encode(data, bytes), -ENOBUFS);
    data->run[strlen(data->run) - 1] = '\0';
    assert_round_trip(data);
    assert_int_equal(instance_data_encode(data, bytes), 0);
    assert_int_not_equal(bytes[INSTANCE_DATA_SIZE - 1], 0); /* no room is left */
}

static void another_record_is_another_or_refused(void **state)
{
    (void)state;
    static uint8_t bytes[INSTANCE_DATA_SIZE], again[INSTANCE_DATA_SIZE];
    _cleanup_(instance_data_freep) InstanceData *data = make_data(2, 2, 30);
    size_t n_refused = 0;

    assert_int_equal(instance_data_encode(data, bytes), 0);
    for (size_t i = 0; i < 1200; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            _cleanup_(instance_data_freep) InstanceData *decoded = NULL;

            bytes[i] ^= (uint8_t)(1 << bit);
            int r = instance_data_decode(bytes, &decoded);
            if (r < 0) {
                assert_int_equal(r, -EBADMSG);
                assert_null(decoded);
                n_refused++;
            } else {
                assert_int_equal(instance_data_encode(decoded, again), 0);
                assert_memory_equal(again, bytes, sizeof(bytes)); /* there is one way to say it */
            }
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    assert_true(n_refused > 0);
    bytes[INSTANCE_DATA_SIZE - 1] = 1;
    assert_int_equal(instance_data_decode(bytes, &data), -EBADMSG);
}

static void a_record_that_ends_early_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[INSTANCE_DATA_SIZE], cut[INSTANCE_DATA_SIZE];
    _cleanup_(instance_data_freep) InstanceData *data = make_data(1, 1, 30);
    InstanceData *decoded = NULL;
    size_t size = INSTANCE_DATA_SIZE;

    data->apexes[0].version = 1; /* the last byte */
    assert_int_equal(instance_data_encode(data, bytes), 0);
    while (bytes[size - 1] == 0)
        size--;
    for (size_t left = 0; left < size - 1; left++) {
        memset(cut, 0xff, sizeof(cut));
        memcpy(cut, bytes, left);
        assert_int_equal(instance_data_decode(cut, &decoded), -EBADMSG);
    }
    assert_null(decoded);
}

static void more_than_a_payload_has_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[INSTANCE_DATA_SIZE];
    InstanceData *decoded = NULL;
    _cleanup_(instance_data_freep) InstanceData *apks = make_data(APKS_MAX + 1, 0, 30);
    _cleanup_(instance_data_freep) InstanceData *apexes = make_data(1, PAYLOAD_APEXES_MAX + 1, 30);

    assert_int_equal(instance_data_encode(apks, bytes), 0);
    assert_int_equal(instance_data_decode(bytes, &decoded), -EBADMSG);
    assert_int_equal(instance_data_encode(apexes, bytes), 0);
    assert_int_equal(instance_data_decode(bytes, &decoded), -EBADMSG);
    assert_null(decoded);
}

/* --- updates --- */

typedef enum Change {
    CHANGE_NOTHING,
    CHANGE_RUN,
    CHANGE_ROOT_HASH,
    CHANGE_IDSIG_HASH,
    CHANGE_CERT_HASH,
    CHANGE_PACKAGE,
    CHANGE_VERSION_UP,
    CHANGE_VERSION_DOWN,
    CHANGE_APEX_NAME,
    CHANGE_APEX_KEY,
    CHANGE_APEX_ROOT,
    CHANGE_APEX_VERSION_UP,
    CHANGE_APEX_VERSION_DOWN,
    CHANGE_SALT,
} Change;

#define N_PARTS 3

/* In the part @i; the versions are 100. */
static InstanceData *make_changed(Change change, size_t i)
{
    InstanceData *data = make_data(N_PARTS, N_PARTS, 30);

    for (size_t j = 0; j < N_PARTS; j++)
        data->apks[j].version = data->apexes[j].version = 100;
    InstanceApk *apk = &data->apks[i];
    InstanceApex *apex = &data->apexes[i];
    /* clang-format off */
    uint8_t *const bytes[] = {
        [CHANGE_ROOT_HASH] = apk->root_hash + 31, [CHANGE_IDSIG_HASH] = apk->idsig_hash + 31,
        [CHANGE_CERT_HASH] = apk->cert_hash + 63, [CHANGE_APEX_KEY] = apex->public_key + 63,
        [CHANGE_APEX_ROOT] = apex->root_digest + 31, [CHANGE_SALT] = data->salt + 63,
    };
    char *const texts[CHANGE_SALT] = {
        [CHANGE_RUN] = data->run, [CHANGE_PACKAGE] = apk->package, [CHANGE_APEX_NAME] = apex->name,
    };
    uint64_t *const up[CHANGE_SALT] = {
        [CHANGE_VERSION_UP] = &apk->version, [CHANGE_APEX_VERSION_UP] = &apex->version,
    };
    uint64_t *const down[CHANGE_SALT] = {
        [CHANGE_VERSION_DOWN] = &apk->version, [CHANGE_APEX_VERSION_DOWN] = &apex->version,
    };
    /* clang-format on */

    if (bytes[change]) {
        *bytes[change] ^= 1;
    } else if (change != CHANGE_SALT) {
        if (texts[change])
            strcat(texts[change], "x");
        if (up[change])
            ++*up[change];
        if (down[change])
            --*down[change];
    }
    return data;
}

static const struct {
    Change change;
    const char *refused; /* NULL: it is an update */
    bool is_other_part;  /* found out without verifying */
    bool moves_seal, moves_attest;
} changes[] = {
    /* clang-format off */
    { CHANGE_NOTHING,           NULL,                            false, false, false },
    { CHANGE_RUN,               "the instance was made to run",  false, false, true },
    { CHANGE_ROOT_HASH,         NULL,                            true,  false, true },
    { CHANGE_IDSIG_HASH,        NULL,                            true,  false, false },
    { CHANGE_CERT_HASH,         "is signed by another key",      false, true,  true },
    { CHANGE_PACKAGE,           "the instance was made for",     false, false, true },
    { CHANGE_VERSION_UP,        NULL,                            false, false, true },
    { CHANGE_VERSION_DOWN,      "has version 99, and 100",       false, false, true },
    { CHANGE_APEX_NAME,         "is another than the instance's", true, false, true },
    { CHANGE_APEX_KEY,          "is another than the instance's", true, true,  true },
    { CHANGE_APEX_ROOT,         NULL,                            true,  false, true },
    { CHANGE_APEX_VERSION_UP,   NULL,                            true,  false, true },
    { CHANGE_APEX_VERSION_DOWN, "has version 99, and 100",       true,  false, true },
    { CHANGE_SALT,              NULL,                            false, true,  true },
    /* clang-format on */
};

static void an_update_has_the_same_parts_of_the_same_signers(void **state)
{
    (void)state;
    _cleanup_(instance_data_freep) InstanceData *recorded = make_changed(CHANGE_NOTHING, 0);

    for (size_t i = 0; i < ELEMENTS_OF(changes); i++) {
        for (size_t part = 0; part < N_PARTS; part++) {
            _cleanup_(error_clear) Error error = ERROR_INIT;
            _cleanup_(instance_data_freep) InstanceData *found =
                make_changed(changes[i].change, part);

            int r = instance_data_check_update(recorded, found, &error);
            if (!changes[i].refused) {
                assert_int_equal(r, 0);
                continue;
            }
            assert_true(r < 0);
            assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
            if (!strstr(error_get_message(&error), changes[i].refused))
                fail_msg("'%s' does not say '%s'", error_get_message(&error), changes[i].refused);
        }
    }
}

static void other_numbers_of_parts_are_no_update(void **state)
{
    (void)state;
    static const size_t counts[][2] = { { 1, 2 }, { 3, 2 }, { 2, 1 }, { 2, 3 }, { 1, 3 } };
    _cleanup_(instance_data_freep) InstanceData *recorded = make_data(2, 2, 30);

    for (size_t i = 0; i < ELEMENTS_OF(counts); i++) {
        _cleanup_(error_clear) Error error = ERROR_INIT;
        _cleanup_(instance_data_freep) InstanceData *found =
            make_data(counts[i][0], counts[i][1], 30);

        assert_true(instance_data_check_update(recorded, found, &error) < 0);
        assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
        assert_non_null(strstr(error_get_message(&error), "was made with 2 and 2"));
    }
}

static void parts_in_another_order_are_no_update(void **state)
{
    (void)state;
    _cleanup_(instance_data_freep) InstanceData *recorded = make_data(2, 2, 30);
    _cleanup_(instance_data_freep) InstanceData *found = make_data(2, 2, 30);
    const InstanceApk apk = found->apks[0];
    const InstanceApex apex = found->apexes[0];

    found->apks[0] = found->apks[1];
    found->apks[1] = apk;
    assert_true(instance_data_check_update(recorded, found, NULL) < 0);
    found->apks[1] = found->apks[0];
    found->apks[0] = apk;
    assert_int_equal(instance_data_check_update(recorded, found, NULL), 0);
    found->apexes[0] = found->apexes[1];
    found->apexes[1] = apex;
    assert_true(instance_data_check_update(recorded, found, NULL) < 0);
}

static void a_part_that_differs_is_verified(void **state)
{
    (void)state;
    _cleanup_(instance_data_freep) InstanceData *recorded = make_changed(CHANGE_NOTHING, 0);

    for (size_t i = 0; i < ELEMENTS_OF(changes); i++) {
        _cleanup_(instance_data_freep) InstanceData *found = make_changed(changes[i].change, 1);
        bool is_same = true;

        for (size_t part = 0; part < N_PARTS; part++) {
            is_same &= instance_apk_is_same(&recorded->apks[part], &found->apks[part]);
            is_same &= instance_apex_is_same(&recorded->apexes[part], &found->apexes[part]);
        }
        assert_int_equal(is_same, !changes[i].is_other_part);
    }
}

/* --- secrets --- */

static DiceSecrets derive(const InstanceData *data, DiceMode mode)
{
    const DiceSecrets current = { .attest = { 1 }, .seal = { 2 } };
    DiceSecrets next;
    DiceInputs inputs;

    assert_int_equal(instance_data_measure(data, mode, &inputs), 0);
    assert_int_equal(dice_derive(&current, &inputs, &next), 0);
    return next;
}

static bool is_moved(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, DICE_CDI_SIZE) != 0;
}

static void an_update_keeps_what_data_is_sealed_with(void **state)
{
    (void)state;
    _cleanup_(instance_data_freep) InstanceData *recorded = make_changed(CHANGE_NOTHING, 0);
    const DiceSecrets first = derive(recorded, DICE_MODE_NORMAL);
    const DiceSecrets debug = derive(recorded, DICE_MODE_DEBUG);

    assert_true(is_moved(first.seal, debug.seal) && is_moved(first.attest, debug.attest));
    for (size_t i = 0; i < ELEMENTS_OF(changes); i++) {
        for (size_t part = 0; part < N_PARTS; part++) {
            _cleanup_(instance_data_freep) InstanceData *found =
                make_changed(changes[i].change, part);
            const DiceSecrets next = derive(found, DICE_MODE_NORMAL);

            assert_int_equal(is_moved(first.seal, next.seal), changes[i].moves_seal);
            assert_int_equal(is_moved(first.attest, next.attest), changes[i].moves_attest);
        }
    }
}

static void put_repeated(ByteWriter *writer, uint8_t byte, size_t size)
{
    for (size_t i = 0; i < size; i++)
        byte_writer_put_u8(writer, byte);
}

static void assert_sha512(const uint8_t *found, const uint8_t *bytes, size_t size)
{
    uint8_t digest[64];

    assert_int_equal(EVP_Digest(bytes, size, digest, NULL, EVP_sha512(), NULL), 1);
    assert_memory_equal(found, digest, sizeof(digest));
}

/* Written down by hand: what is in here may never change, or instances lose their secrets. */
static void a_payload_is_measured_as_it_was_first(void **state)
{
    (void)state;
    static const char head[] = "\xa3\x3a\x00\x01\x11\x71\x72"
                               "microguest payload"
                               "\x3a\x00\x01\x15\x57\x68"
                               "binary:b"
                               "\x3a\x00\x01\x15\x59\x82";
    static const char apk_head[] = "\xa4\x01\x67"
                                   "apk:aaa"
                                   "\x02\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x03\x58\x20";
    static const char apex_head[] = "\xa4\x01\x68"
                                    "apex:AAA"
                                    "\x02\x00\x03\x58\x20";
    uint8_t bytes[1024];
    DiceInputs inputs;
    _cleanup_(instance_data_freep) InstanceData *data = make_data(1, 1, 3);

    strcpy(data->run, "binary:b");
    assert_int_equal(instance_data_measure(data, DICE_MODE_DEBUG, &inputs), 0);
    assert_int_equal(inputs.mode, DICE_MODE_DEBUG);

    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    byte_writer_put_bytes(&writer, head, sizeof(head) - 1);
    byte_writer_put_bytes(&writer, apk_head, sizeof(apk_head) - 1);
    put_repeated(&writer, 1, 32);
    byte_writer_put_bytes(&writer, "\x04\x58\x40", 3);
    put_repeated(&writer, 3, 64);
    byte_writer_put_bytes(&writer, apex_head, sizeof(apex_head) - 1);
    put_repeated(&writer, 5, 32);
    byte_writer_put_bytes(&writer, "\x04\x58\x40", 3);
    put_repeated(&writer, 4, 64);
    assert_sha512(inputs.configuration, bytes, writer.size);

    writer = byte_writer(bytes, sizeof(bytes));
    put_repeated(&writer, 1, 32);
    put_repeated(&writer, 5, 32);
    assert_sha512(inputs.code, bytes, writer.size);
    writer = byte_writer(bytes, sizeof(bytes));
    put_repeated(&writer, 3, 64);
    put_repeated(&writer, 4, 64);
    assert_sha512(inputs.authority, bytes, writer.size);
    assert_sha512(inputs.hidden, data->salt, sizeof(data->salt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded_again),
        cmocka_unit_test(what_does_not_fit_is_told),
        cmocka_unit_test(another_record_is_another_or_refused),
        cmocka_unit_test(a_record_that_ends_early_is_refused),
        cmocka_unit_test(more_than_a_payload_has_is_refused),
        cmocka_unit_test(an_update_has_the_same_parts_of_the_same_signers),
        cmocka_unit_test(other_numbers_of_parts_are_no_update),
        cmocka_unit_test(parts_in_another_order_are_no_update),
        cmocka_unit_test(a_part_that_differs_is_verified),
        cmocka_unit_test(an_update_keeps_what_data_is_sealed_with),
        cmocka_unit_test(a_payload_is_measured_as_it_was_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
