/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/helpers/test.h"

/* Where that field is in what is encoded. */
#define APK_PACKAGE (1 + IDENTITY_HASH_SIZE + 8)

static const Verdict apk = { .kind = VERDICT_APK,
                             .apk = { .certificate_hash = { 1, 2, 3 },
                                      .package = "com.example.app",
                                      .version = UINT64_C(0x1122334455667788) } };

static const Verdict apex = { .kind = VERDICT_APEX,
                              .apex = { .public_key_hash = { 4, 5 },
                                        .manifest_hash = { 6 },
                                        .name = "com.example.module",
                                        .version = 7,
                                        .image_offset = 4096,
                                        .image_size = 10 * 4096,
                                        .n_data_blocks = 5,
                                        .tree_block = 5,
                                        .root = { 8 },
                                        .salt = { 9, 10 },
                                        .salt_size = 2 } };

static Verdict refusal(const char *reason)
{
    Verdict verdict = { .kind = VERDICT_REFUSAL };

    (void)snprintf(verdict.reason, sizeof(verdict.reason), "%s", reason);
    return verdict;
}

static size_t encode(const Verdict *verdict, uint8_t bytes[static VERDICT_SIZE_MAX])
{
    ByteWriter writer = byte_writer(bytes, VERDICT_SIZE_MAX);

    verdict_encode(verdict, &writer);
    assert_int_equal(byte_writer_finish(&writer), 0);
    return writer.size;
}

static int decode(const uint8_t *bytes, size_t size, Verdict *ret_verdict)
{
    ByteReader reader = byte_reader(bytes, size);
    int r = verdict_decode(&reader, ret_verdict);

    assert_int_equal(reader.size, r == 0 ? 0 : size);
    return r;
}

/* Encodes and decodes; the result is in static memory. */
static int take(const Verdict *verdict)
{
    uint8_t bytes[VERDICT_SIZE_MAX];
    Verdict again;
    size_t size = encode(verdict, bytes);

    return decode(bytes, size, &again);
}

static void verdicts_are_read_as_they_were_written(void **state)
{
    const Verdict no = refusal("the APK is not signed");
    const Verdict *const verdicts[] = { &apk, &apex, &no };
    uint8_t bytes[3 * VERDICT_SIZE_MAX];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    Verdict again;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        verdict_encode(verdicts[i], &writer);
    assert_int_equal(byte_writer_finish(&writer), 0);
    ByteReader reader = byte_reader(bytes, writer.size);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(verdict_decode(&reader, &again), 0);
        assert_memory_equal(&again, verdicts[i], sizeof(again));
    }
    assert_int_equal(reader.size, 0);
    assert_int_equal(verdict_decode(&reader, &again), -EBADMSG);
}

static void what_ends_early_is_refused(void **state)
{
    const Verdict no = refusal("no");
    const Verdict *const verdicts[] = { &apk, &apex, &no };
    uint8_t bytes[VERDICT_SIZE_MAX];
    Verdict again = { .kind = 77 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t size = encode(verdicts[i], bytes);
        for (size_t part = 0; part < size; part++)
            assert_int_equal(decode(bytes, part, &again), -EBADMSG);
    }
    assert_int_equal(again.kind, 77);
}

static void unknown_kinds_are_refused(void **state)
{
    uint8_t bytes[VERDICT_SIZE_MAX] = { 0 };
    Verdict again;

    (void)state;
    for (unsigned kind = VERDICT_APEX + 1; kind <= UINT8_MAX; kind++) {
        bytes[0] = (uint8_t)kind;
        assert_int_equal(decode(bytes, sizeof(bytes), &again), -EBADMSG);
    }
}

static void names_have_no_way_out_of_a_directory(void **state)
{
    static const char *const bad[] = { ".",   "..",       ".hidden", "a/b",  "a b",
                                       "a\n", "\xc3\xa4", "a:b",     "\x7f", "a\\" };
    static const char *const good[] = { "a", "com.example.app-2_x", "A..b" };
    Verdict verdict;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        verdict = apk;
        (void)strcpy(verdict.apk.package, bad[i]);
        assert_int_equal(take(&verdict), -EBADMSG);
        verdict = apex;
        (void)strcpy(verdict.apex.name, bad[i]);
        assert_int_equal(take(&verdict), -EBADMSG);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        verdict = apk;
        (void)strcpy(verdict.apk.package, good[i]);
        assert_int_equal(take(&verdict), 0);
    }
    verdict = apk;
    verdict.apk.package[0] = '\0';
    assert_int_equal(take(&verdict), 0);
    verdict = apex;
    verdict.apex.name[0] = '\0';
    assert_int_equal(take(&verdict), -EBADMSG);
}

static void name_has_a_limit(void **state)
{
    uint8_t bytes[VERDICT_SIZE_MAX];
    Verdict verdict = apk, again;

    (void)state;
    memset(verdict.apk.package, 'n', IDENTITY_NAME_MAX);
    verdict.apk.package[IDENTITY_NAME_MAX] = '\0';
    size_t size = encode(&verdict, bytes);
    assert_int_equal(decode(bytes, size, &again), 0);
    assert_string_equal(again.apk.package, verdict.apk.package);

    bytes[APK_PACKAGE + 1] = 1; /* 256 */
    bytes[APK_PACKAGE] = 0;
    bytes[size] = 'n';
    assert_int_equal(decode(bytes, size + 1, &again), -EBADMSG);
}

static void name_ends_where_its_size_says(void **state)
{
    uint8_t bytes[VERDICT_SIZE_MAX];
    Verdict again;

    (void)state;
    size_t size = encode(&apk, bytes);
    bytes[APK_PACKAGE + 2 + 3] = '\0';
    assert_int_equal(decode(bytes, size, &again), -EBADMSG);
}

static void salt_has_a_limit(void **state)
{
    uint8_t bytes[VERDICT_SIZE_MAX] = { 0 };
    Verdict verdict = apex, again;

    (void)state;
    verdict.apex.salt_size = APEX_SALT_MAX;
    size_t size = encode(&verdict, bytes);
    assert_int_equal(decode(bytes, size, &again), 0);
    verdict.apex.salt_size = 0;
    size_t without = encode(&verdict, bytes);
    assert_int_equal(size - without, APEX_SALT_MAX);
    bytes[without - 2] = (APEX_SALT_MAX + 1) & 0xff;
    bytes[without - 1] = (APEX_SALT_MAX + 1) >> 8;
    assert_int_equal(decode(bytes, without + APEX_SALT_MAX + 1, &again), -EBADMSG);
}

static void image_has_data_and_tree_inside(void **state)
{
    const struct {
        uint64_t offset, size, n_data_blocks, tree_block;
        int expected;
    } images[] = {
        { 0, 4096, 1, 1, 0 }, /* of one block: there is no tree */
        { 4096, 8192, 1, 2, 0 },
        { 4096, 8192, 1, 3, -EBADMSG },
        { 4096, 8192, 0, 1, -EBADMSG },
        { 4096, 8192, 2, 1, -EBADMSG },
        { 4095, 8192, 1, 1, -EBADMSG },
        { 4096, 8191, 1, 1, -EBADMSG },
        { 0, 0, 1, 1, -EBADMSG },
        { INT64_MAX - 8191, 4096, 1, 1, 0 },
        { INT64_MAX - 4095, 4096, 1, 1, -EBADMSG },
        { UINT64_MAX - 4095, 4096, 1, 1, -EBADMSG },
        { 4096, 8192, UINT64_MAX, UINT64_MAX, -EBADMSG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        Verdict verdict = apex;

        verdict.apex.image_offset = images[i].offset;
        verdict.apex.image_size = images[i].size;
        verdict.apex.n_data_blocks = images[i].n_data_blocks;
        verdict.apex.tree_block = images[i].tree_block;
        assert_int_equal(take(&verdict), images[i].expected);
    }
}

static void reason_is_cut_and_escaped(void **state)
{
    uint8_t bytes[VERDICT_SIZE_MAX];
    Verdict verdict = refusal("bell \a"), again;

    (void)state;
    size_t size = encode(&verdict, bytes);
    assert_int_equal(decode(bytes, size, &again), 0);
    assert_string_equal(again.reason, "bell \\x07");

    memset(verdict.reason, 'r', VERDICT_REASON_MAX);
    verdict.reason[VERDICT_REASON_MAX] = '\0';
    size = encode(&verdict, bytes);
    assert_int_equal(decode(bytes, size, &again), 0);
    assert_string_equal(again.reason, verdict.reason);

    memcpy(verdict.reason + VERDICT_REASON_MAX - 1, "\xc3", 1); /* half a character, escaped */
    size = encode(&verdict, bytes);
    assert_int_equal(decode(bytes, size, &again), 0);

    bytes[3] = '\a'; /* a writer of another mind */
    assert_int_equal(decode(bytes, size, &again), -EBADMSG);
    bytes[1] = (VERDICT_REASON_MAX + 1) & 0xff;
    bytes[2] = (VERDICT_REASON_MAX + 1) >> 8;
    memset(bytes + 3, 'r', VERDICT_REASON_MAX + 1);
    assert_int_equal(decode(bytes, 3 + VERDICT_REASON_MAX + 1, &again), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_read_as_they_were_written),
        cmocka_unit_test(what_ends_early_is_refused),
        cmocka_unit_test(unknown_kinds_are_refused),
        cmocka_unit_test(names_have_no_way_out_of_a_directory),
        cmocka_unit_test(name_has_a_limit),
        cmocka_unit_test(name_ends_where_its_size_says),
        cmocka_unit_test(salt_has_a_limit),
        cmocka_unit_test(image_has_data_and_tree_inside),
        cmocka_unit_test(reason_is_cut_and_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
