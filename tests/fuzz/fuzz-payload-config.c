/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations in the APK of anybody. */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "guest/payload-config.h"
#include "tests/fuzz/fuzz.h"

static void check_config(const PayloadConfig *config)
{
    assert(config->n_apexes <= PAYLOAD_APEXES_MAX);
    assert(config->n_extra_apks <= PAYLOAD_EXTRA_APKS_MAX);
    assert(config->task_type < PAYLOAD_TASK_TYPE_MAX);
    for (size_t i = 0; i < config->n_apexes; i++)
        assert(config->apexes[i][0] && !strchr(config->apexes[i], '/'));
    for (size_t i = 0; i < config->n_extra_apks; i++)
        assert(config->extra_apks[i][0]);
    if (config->command)
        assert((config->command[0] == '/') == (config->task_type == PAYLOAD_TASK_EXECUTABLE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    _cleanup_(payload_config_freep) PayloadConfig *config = NULL;
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert(text);
    if (payload_config_parse(text, strlen(text), &config, &error) < 0) {
        const char *sentence = error_get_message(&error);

        assert(error.kind != ERROR_NONE && !config);
        assert(text_is_utf8(sentence, strlen(sentence)) && text_has_no_control(sentence));
        return 0;
    }
    check_config(config);
    return 0;
}
