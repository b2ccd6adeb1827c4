/* SPDX-License-Identifier: Apache-2.0 */
/* guest-manager's record of a payload: whatever is accepted has one form only, has texts that are
 * texts, is its own update, and can be measured. */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "guest/instance-data.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text, size_t capacity)
{
    assert(strnlen(text, capacity) < capacity && text_is_utf8(text, strlen(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[INSTANCE_DATA_SIZE], again[INSTANCE_DATA_SIZE];
    _cleanup_(instance_data_freep) InstanceData *record = NULL;
    DiceInputs inputs;

    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
    if (instance_data_decode(bytes, &record) < 0) {
        assert(!record);
        return 0;
    }
    assert(record->n_apks <= 1 + PAYLOAD_EXTRA_APKS_MAX && record->n_apexes <= PAYLOAD_APEXES_MAX);
    check_text(record->run, sizeof(record->run));
    for (size_t i = 0; i < record->n_apks; i++)
        check_text(record->apks[i].package, sizeof(record->apks[i].package));
    for (size_t i = 0; i < record->n_apexes; i++)
        check_text(record->apexes[i].name, sizeof(record->apexes[i].name));
    assert(instance_data_encode(record, again) == 0);
    assert(memcmp(again, bytes, sizeof(bytes)) == 0);
    assert(instance_data_check_update(record, record, NULL) == 0);
    assert(instance_data_measure(record, DICE_MODE_NORMAL, &inputs) == 0);
    return 0;
}
