/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/dice.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "tests/helpers/test.h"

/* The secrets 00 .. 1f and 20 .. 3f, and inputs of one byte repeated each. */
static DiceSecrets make_secrets(void)
{
    DiceSecrets secrets;

    for (unsigned i = 0; i < DICE_CDI_SIZE; i++) {
        secrets.attest[i] = (uint8_t)i;
        secrets.seal[i] = (uint8_t)(DICE_CDI_SIZE + i);
    }
    return secrets;
}

static DiceInputs make_inputs(void)
{
    DiceInputs inputs = { .mode = DICE_MODE_NORMAL };

    memset(inputs.code, 0xc0, sizeof(inputs.code));
    memset(inputs.configuration, 0xcf, sizeof(inputs.configuration));
    memset(inputs.authority, 0xa0, sizeof(inputs.authority));
    memset(inputs.hidden, 0x1d, sizeof(inputs.hidden));
    return inputs;
}

static DiceSecrets derive(const DiceInputs *inputs)
{
    const DiceSecrets secrets = make_secrets();
    DiceSecrets next;

    assert_int_equal(dice_derive(&secrets, inputs, &next), 0);
    return next;
}

/* Made with Python's hashlib and hmac, by the profile's words. */
static void derives_what_open_dice_does(void **state)
{
    (void)state;
    const DiceInputs inputs = make_inputs();
    DiceSecrets next = derive(&inputs);
    char text[2 * DICE_CDI_SIZE + 1];

    text_hex(next.attest, sizeof(next.attest), text);
    assert_string_equal(text, "e5a3c16b63968f2414a23b87f27f29f551a1a6830daa9b3c041a48a04a500ca9");
    text_hex(next.seal, sizeof(next.seal), text);
    assert_string_equal(text, "659ca050616f1944074440302d4ca69f88e6e516d914c874958dcae83f8b280b");
}

static void the_next_secrets_may_take_the_place_of_the_current_ones(void **state)
{
    (void)state;
    const DiceInputs inputs = make_inputs();
    const DiceSecrets next = derive(&inputs);
    DiceSecrets secrets = make_secrets();

    assert_int_equal(dice_derive(&secrets, &inputs, &secrets), 0);
    assert_memory_equal(&secrets, &next, sizeof(next));
}

/* Which of the two secrets are others than those of make_inputs(). */
static void expect_changes(const DiceInputs *inputs, bool attest, bool seal)
{
    const DiceInputs usual_inputs = make_inputs();
    const DiceSecrets usual = derive(&usual_inputs), next = derive(inputs);

    assert_int_equal(memcmp(next.attest, usual.attest, sizeof(usual.attest)) != 0, attest);
    assert_int_equal(memcmp(next.seal, usual.seal, sizeof(usual.seal)) != 0, seal);
}

static void code_and_configuration_change_only_the_attestation_secret(void **state)
{
    (void)state;

    for (size_t i = 0; i < DICE_HASH_SIZE; i++) {
        DiceInputs inputs = make_inputs();
        inputs.code[i] ^= 0x01;
        expect_changes(&inputs, true, false);
        inputs = make_inputs();
        inputs.configuration[i] ^= 0x80;
        expect_changes(&inputs, true, false);
    }
}

static void authority_mode_and_hidden_inputs_change_both(void **state)
{
    (void)state;

    for (size_t i = 0; i < DICE_HASH_SIZE; i++) {
        DiceInputs inputs = make_inputs();
        inputs.authority[i] ^= 0x01;
        expect_changes(&inputs, true, true);
        inputs = make_inputs();
        inputs.hidden[i] ^= 0x80;
        expect_changes(&inputs, true, true);
    }
    static const DiceMode modes[] = { DICE_MODE_NOT_CONFIGURED, DICE_MODE_DEBUG,
                                      DICE_MODE_MAINTENANCE };
    for (size_t i = 0; i < ELEMENTS_OF(modes); i++) {
        DiceInputs inputs = make_inputs();
        inputs.mode = modes[i];
        expect_changes(&inputs, true, true);
    }
}

static void each_secret_comes_of_its_own(void **state)
{
    (void)state;
    const DiceInputs inputs = make_inputs();
    const DiceSecrets usual = derive(&inputs);
    DiceSecrets secrets = make_secrets(), next;

    secrets.attest[0] ^= 0x01;
    assert_int_equal(dice_derive(&secrets, &inputs, &next), 0);
    assert_memory_not_equal(next.attest, usual.attest, sizeof(usual.attest));
    assert_memory_equal(next.seal, usual.seal, sizeof(usual.seal));
    secrets = make_secrets();
    secrets.seal[DICE_CDI_SIZE - 1] ^= 0x01;
    assert_int_equal(dice_derive(&secrets, &inputs, &next), 0);
    assert_memory_equal(next.attest, usual.attest, sizeof(usual.attest));
    assert_memory_not_equal(next.seal, usual.seal, sizeof(usual.seal));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_what_open_dice_does),
        cmocka_unit_test(the_next_secrets_may_take_the_place_of_the_current_ones),
        cmocka_unit_test(code_and_configuration_change_only_the_attestation_secret),
        cmocka_unit_test(authority_mode_and_hidden_inputs_change_both),
        cmocka_unit_test(each_secret_comes_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
