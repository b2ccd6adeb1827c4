/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/dice.h"

#include <string.h>

#include "common/cleanup.h"
#include "guest/crypto.h"

static const char attest_info[] = "CDI_Attest", seal_info[] = "CDI_Seal";

static int derive(const uint8_t cdi[static DICE_CDI_SIZE],
                  const CryptoBytes *inputs,
                  size_t n_inputs,
                  const char *info,
                  uint8_t ret_cdi[static DICE_CDI_SIZE])
{
    uint8_t salt[DICE_HASH_SIZE];

    int r = crypto_hash(CRYPTO_SHA512, inputs, n_inputs, salt);
    if (r < 0)
        return r;
    return crypto_derive(CRYPTO_SHA512, (CryptoBytes){ cdi, DICE_CDI_SIZE },
                         (CryptoBytes){ salt, sizeof(salt) }, (CryptoBytes){ info, strlen(info) },
                         ret_cdi, DICE_CDI_SIZE);
}

int dice_derive(const DiceSecrets *current, const DiceInputs *inputs, DiceSecrets *ret_next)
{
    const uint8_t mode = (uint8_t)inputs->mode;
    const CryptoBytes parts[] = {
        { inputs->code, sizeof(inputs->code) },
        { inputs->configuration, sizeof(inputs->configuration) },
        { inputs->authority, sizeof(inputs->authority) },
        { &mode, sizeof(mode) },
        { inputs->hidden, sizeof(inputs->hidden) },
    };
    DiceSecrets next;

    int r = derive(current->attest, parts, ELEMENTS_OF(parts), attest_info, next.attest);
    if (r >= 0) /* without code and configuration */
        r = derive(current->seal, parts + 2, ELEMENTS_OF(parts) - 2, seal_info, next.seal);
    if (r >= 0)
        *ret_next = next;
    explicit_bzero(&next, sizeof(next));
    return r;
}
