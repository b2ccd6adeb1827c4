/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of a core file, and the report that is made of it; the words of the stack are the
 * core's last bytes. */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "guest/crash-report.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[CRASH_REPORT_SIZE_MAX];
    static CrashCore core;
    uint64_t stack[128];
    size_t end;

    int r = crash_core_get_end(data, size, &end);
    assert(r < 0 || end <= CRASH_CORE_SIZE_MAX);
    if (crash_core_parse(data, size, &core) < 0)
        return 0;
    assert(r >= 0 && core.n_code_ranges <= CRASH_CORE_CODE_MAX);

    size_t stack_size = size < sizeof(stack) ? size : sizeof(stack);
    memcpy(stack, data + size - stack_size, stack_size);
    size_t length =
        crash_report_make(&core, 1, 6000, stack, stack_size / sizeof(stack[0]), text, sizeof(text));
    assert(length > 0 && length <= sizeof(text) && text[length - 1] == '\n');
    assert(text_is_printable(text, length));
    return 0;
}
