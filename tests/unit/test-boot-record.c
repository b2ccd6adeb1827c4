/* SPDX-License-Identifier: Apache-2.0 */
/* Systems that an instance is booted with, one after the other, and images that others altered. */
#include "guest/boot-record.h"

#include <string.h>
#include <unistd.h>

#include "tests/helpers/made-instance.h"
#include "tests/helpers/power-cut.h"
#include "tests/helpers/test.h"

#define SECTOR      512
#define RECORD      INSTANCE_IMAGE_HEADER_SIZE /* the first one's header */
#define PAYLOAD     (RECORD + INSTANCE_RECORD_HEADER_SIZE)
#define PAYLOAD_END (PAYLOAD + 64 + 64 + 64 + 1 + 8 + CRYPTO_SEALED_MORE)

static const uint8_t seal_key[CRYPTO_KEY_SIZE] = { 1 }, other_key[CRYPTO_KEY_SIZE] = { 2 };

static VerifiedBoot system_of(uint8_t code, uint8_t authority, uint64_t rollback_index)
{
    VerifiedBoot boot = { .rollback_index = rollback_index };

    memset(boot.code, code, sizeof(boot.code));
    memset(boot.authority, authority, sizeof(boot.authority));
    return boot;
}

static BootIdentity check_well(InstanceStore *store, const VerifiedBoot *boot, DiceMode mode)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    BootIdentity identity;

    if (boot_record_check(store, seal_key, boot, mode, &identity, &error) < 0)
        fail_msg("%s", error_get_message(&error));
    return identity;
}

/* What is refused changes nothing, neither the image nor what the caller gets. */
static void assert_refused(InstanceStore *store,
                           const uint8_t *key,
                           const VerifiedBoot *boot,
                           DiceMode mode,
                           const char *words)
{
    static uint8_t before[MADE_INSTANCE_SIZE], after[MADE_INSTANCE_SIZE];
    _cleanup_(error_clear) Error error = ERROR_INIT;
    BootIdentity identity = { .is_new = true };
    static const BootIdentity untouched = { .is_new = true };

    made_instance_read(store, before);
    assert_true(boot_record_check(store, key, boot, mode, &identity, &error) < 0);
    assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
    if (!strstr(error_get_message(&error), words))
        fail_msg("'%s' does not say '%s'", error_get_message(&error), words);
    made_instance_read(store, after);
    assert_memory_equal(after, before, sizeof(after));
    assert_memory_equal(&identity, &untouched, sizeof(identity));
}

/* A new instance of the system (1, 2, 5). */
static InstanceStore *make_instance(DiceMode mode, BootIdentity *ret_identity)
{
    static uint8_t image[MADE_INSTANCE_SIZE];
    const VerifiedBoot boot = system_of(1, 2, 5);

    made_instance_blank(image);
    InstanceStore *store = made_instance_open(image);
    *ret_identity = check_well(store, &boot, mode);
    assert_true(ret_identity->is_new);
    return store;
}

static void assert_same(const BootIdentity *found, const BootIdentity *first)
{
    assert_false(found->is_new);
    assert_memory_equal(found->salt, first->salt, sizeof(first->salt));
}

static void the_same_system_finds_its_salt_and_writes_nothing(void **state)
{
    (void)state;
    static uint8_t before[MADE_INSTANCE_SIZE], after[MADE_INSTANCE_SIZE];
    const VerifiedBoot boot = system_of(1, 2, 5);
    BootIdentity first, other;

    _cleanup_(instance_store_freep) InstanceStore *store = make_instance(DICE_MODE_NORMAL, &first);
    made_instance_read(store, before);
    _cleanup_(instance_store_freep) InstanceStore *again = made_instance_open(before);
    const BootIdentity found = check_well(again, &boot, DICE_MODE_NORMAL);
    assert_same(&found, &first);
    made_instance_read(again, after);
    assert_memory_equal(after, before, sizeof(after));

    _cleanup_(instance_store_freep) InstanceStore *second = make_instance(DICE_MODE_NORMAL, &other);
    assert_memory_not_equal(other.salt, first.salt, sizeof(first.salt));
}

static void an_update_keeps_the_salt_and_is_recorded(void **state)
{
    (void)state;
    static const VerifiedBoot none;
    VerifiedBoot updates[] = { none, none, none, none };
    BootIdentity first;

    updates[0] = system_of(9, 2, 5); /* other code alone */
    updates[1] = system_of(9, 2, 6); /* another index alone */
    updates[2] = system_of(1, 2, 6); /* the old code again: only the index counts */
    updates[3] = system_of(1, 2, UINT64_MAX);
    _cleanup_(instance_store_freep) InstanceStore *store = make_instance(DICE_MODE_NORMAL, &first);
    for (size_t i = 0; i < ELEMENTS_OF(updates); i++) {
        const VerifiedBoot lower = system_of(1, 2, updates[i].rollback_index - 1);
        BootIdentity found = check_well(store, &updates[i], DICE_MODE_NORMAL);

        assert_same(&found, &first);
        assert_refused(store, seal_key, &lower, DICE_MODE_NORMAL, "was booted before");
        found = check_well(store, &updates[i], DICE_MODE_NORMAL);
        assert_same(&found, &first);
    }
    assert_int_equal(store->image->n_records, 1);
}

static void another_system_is_refused(void **state)
{
    (void)state;
    const VerifiedBoot same = system_of(1, 2, 5), lower = system_of(1, 2, 4);
    const VerifiedBoot lowest = system_of(1, 2, 0), other = system_of(1, 3, 5);
    const VerifiedBoot other_and_higher = system_of(1, 3, UINT64_MAX);
    BootIdentity first;

    _cleanup_(instance_store_freep) InstanceStore *store = make_instance(DICE_MODE_NORMAL, &first);
    assert_refused(store, seal_key, &lower, DICE_MODE_NORMAL,
                   "rollback index is 4, and 5 was booted before");
    assert_refused(store, seal_key, &lowest, DICE_MODE_NORMAL, "rollback index is 0");
    assert_refused(store, seal_key, &other, DICE_MODE_NORMAL, "signed with another key");
    assert_refused(store, seal_key, &other_and_higher, DICE_MODE_NORMAL, "signed with another key");
    assert_refused(store, seal_key, &same, DICE_MODE_DEBUG,
                   "was made not debuggable and is booted debuggable");
    assert_refused(store, other_key, &same, DICE_MODE_NORMAL, "another instance's");
    const BootIdentity found = check_well(store, &same, DICE_MODE_NORMAL);
    assert_same(&found, &first);

    store = instance_store_free(store);
    store = make_instance(DICE_MODE_DEBUG, &first);
    assert_refused(store, seal_key, &same, DICE_MODE_NORMAL,
                   "was made debuggable and is booted not debuggable");
}

static void every_bit_of_an_authority_counts(void **state)
{
    (void)state;
    BootIdentity first;

    _cleanup_(instance_store_freep) InstanceStore *store = make_instance(DICE_MODE_NORMAL, &first);
    for (size_t bit = 0; bit < sizeof(((VerifiedBoot *)NULL)->authority) * 8; bit++) {
        VerifiedBoot boot = system_of(1, 2, 5);

        boot.authority[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_refused(store, seal_key, &boot, DICE_MODE_NORMAL, "signed with another key");
    }
}

/* --- altered images --- */

/* Opens the image and compares; a store that is not opened is refused as well. Negative, or whether
 * it is a new instance. */
static int check_image(const uint8_t *image, const BootIdentity *first)
{
    const VerifiedBoot boot = system_of(1, 2, 5);
    _cleanup_(instance_store_freep) InstanceStore *store = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    BootIdentity found;

    int r = instance_store_open(made_instance_file(image), &store, &error);
    if (r >= 0)
        r = boot_record_check(store, seal_key, &boot, DICE_MODE_NORMAL, &found, &error);
    if (r < 0) {
        assert_int_equal(error.kind, ERROR_IMAGE_INVALID);
        return r;
    }
    if (!found.is_new)
        assert_memory_equal(found.salt, first->salt, sizeof(first->salt));
    return found.is_new;
}

static void no_byte_of_the_record_can_change(void **state)
{
    (void)state;
    static uint8_t image[MADE_INSTANCE_SIZE];
    BootIdentity first;

    _cleanup_(instance_store_freep) InstanceStore *store = make_instance(DICE_MODE_NORMAL, &first);
    made_instance_read(store, image);
    assert_int_equal(check_image(image, &first), 0);
    for (size_t i = 0; i < PAYLOAD + SECTOR; i++) {
        bool is_used = i < strlen(INSTANCE_IMAGE_MAGIC) + 2 || (i >= RECORD && i < PAYLOAD_END);

        for (unsigned flip = 1; flip <= 0xff; flip += 0xfe) {
            image[i] = (uint8_t)(image[i] ^ flip);
            int r = check_image(image, &first);
            image[i] = (uint8_t)(image[i] ^ flip);
            if ((r < 0) != is_used || r > 0)
                fail_msg("byte %zu ^ %#x: %d", i, flip, r);
        }
    }
}

/* Whoever can do that can put a new image there as well: nothing of the old instance is left. */
static void an_image_without_the_record_is_another_instance(void **state)
{
    (void)state;
    static uint8_t image[MADE_INSTANCE_SIZE];
    const VerifiedBoot boot = system_of(1, 2, 5);
    BootIdentity first;

    _cleanup_(instance_store_freep) InstanceStore *store = make_instance(DICE_MODE_NORMAL, &first);
    made_instance_read(store, image);
    memset(image + RECORD, 0, GUID_SIZE);
    store = instance_store_free(store);
    store = made_instance_open(image);
    const BootIdentity found = check_well(store, &boot, DICE_MODE_NORMAL);
    assert_true(found.is_new);
    assert_memory_not_equal(found.salt, first.salt, sizeof(first.salt));
}

static void assert_list_refused(const uint8_t *first, const uint8_t *second, bool with_message)
{
    static uint8_t image[MADE_INSTANCE_SIZE];
    const VerifiedBoot boot = system_of(1, 2, 5);

    made_instance_blank(image);
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
    assert_int_equal(instance_store_write(store, first, seal_key, "x", 1, NULL), 0);
    if (second)
        assert_int_equal(instance_store_write(store, second, seal_key, "x", 1, NULL), 0);
    if (with_message) {
        made_instance_read(store, image);
        image[RECORD + GUID_SIZE + 8] = 'm';
        store = instance_store_free(store);
        store = made_instance_open(image);
    }
    assert_refused(store, seal_key, &boot, DICE_MODE_NORMAL,
                   second ? "at offset 1536 is not one of this system's"
                          : "at offset 512 is not one of this system's");
}

static void a_list_that_this_system_did_not_make_is_refused(void **state)
{
    (void)state;
    static const uint8_t unknown[GUID_SIZE] = { 1 };

    assert_list_refused(unknown, NULL, false);
    assert_list_refused(instance_uuid_manager, NULL, false); /* ours is the first to be made */
    assert_list_refused(instance_uuid_pvmfw, unknown, false);
    assert_list_refused(instance_uuid_pvmfw, NULL, true);
}

static void records_of_others_stay_behind_it(void **state)
{
    (void)state;
    const VerifiedBoot boot = system_of(9, 2, 6);
    BootIdentity first;
    char byte;

    _cleanup_(instance_store_freep) InstanceStore *store = make_instance(DICE_MODE_NORMAL, &first);
    assert_int_equal(instance_store_write(store, instance_uuid_manager, other_key, "m", 1, NULL),
                     0);
    assert_int_equal(instance_store_write(store, instance_uuid_payload, other_key, "p", 1, NULL),
                     0);
    const BootIdentity found = check_well(store, &boot, DICE_MODE_NORMAL);
    assert_same(&found, &first);
    assert_int_equal(instance_store_read(store, instance_uuid_manager, other_key, &byte, 1, NULL),
                     0);
    assert_int_equal(byte, 'm');
    assert_int_equal(instance_store_read(store, instance_uuid_payload, other_key, &byte, 1, NULL),
                     0);
    assert_int_equal(byte, 'p');
}

/* --- loss of power --- */

typedef struct Cut {
    VerifiedBoot old, new;
    bool has_old;
    BootIdentity identity; /* after the update */
    size_t n_old, n_new;
} Cut;

static void judge_cut(const uint8_t *bytes, void *userdata)
{
    Cut *cut = userdata;
    _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(bytes);
    bool has_record = instance_store_has(store, instance_uuid_pvmfw);

    /* With the old index the new record is refused, and the old one taken. */
    if (cut->has_old) {
        BootIdentity found;
        bool is_old =
            boot_record_check(store, seal_key, &cut->old, DICE_MODE_NORMAL, &found, NULL) >= 0;

        assert_true(has_record);
        *(is_old ? &cut->n_old : &cut->n_new) += 1;
    } else {
        *(has_record ? &cut->n_new : &cut->n_old) += 1;
    }
    const BootIdentity found = check_well(store, &cut->new, DICE_MODE_NORMAL);
    if (has_record)
        assert_same(&found, &cut->identity);
    else
        assert_true(found.is_new);
}

static void a_record_is_whole_or_not_there_whenever_power_goes(void **state)
{
    (void)state;
    static uint8_t image[MADE_INSTANCE_SIZE];
    Cut cut = { .old = system_of(1, 2, 5), .new = system_of(1, 2, 5) };

    made_instance_blank(image);
    for (int i = 0; i < 2; i++) {
        _cleanup_(instance_store_freep) InstanceStore *store = made_instance_open(image);
        _cleanup_(power_cut_deinit) PowerCut power;

        cut.n_old = cut.n_new = 0;
        power_cut_begin(&power, 0);
        cut.identity = check_well(store, &cut.new, DICE_MODE_NORMAL);
        power_cut_end();
        power_cut_try(&power, image, sizeof(image), judge_cut, &cut);
        assert_true(cut.n_old > 0 && cut.n_new > 0);
        made_instance_read(store, image);
        cut.new = system_of(9, 2, 6);
        cut.has_old = true;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_system_finds_its_salt_and_writes_nothing),
        cmocka_unit_test(an_update_keeps_the_salt_and_is_recorded),
        cmocka_unit_test(another_system_is_refused),
        cmocka_unit_test(every_bit_of_an_authority_counts),
        cmocka_unit_test(no_byte_of_the_record_can_change),
        cmocka_unit_test(an_image_without_the_record_is_another_instance),
        cmocka_unit_test(a_list_that_this_system_did_not_make_is_refused),
        cmocka_unit_test(records_of_others_stay_behind_it),
        cmocka_unit_test(a_record_is_whole_or_not_there_whenever_power_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
