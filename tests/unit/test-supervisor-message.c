/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/supervisor-message.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "protocol/console.h"
#include "tests/helpers/test.h"

static const SupervisorMessage samples[] = {
    { .type = SUPERVISOR_LAUNCH, .version = UINT32_MAX, .value = 1000 },
    { .type = SUPERVISOR_FILES, .value = 250 },
    { .type = SUPERVISOR_STOP, .stop = { .first = STOP_STEP_GUEST } },
    { .type = SUPERVISOR_STOP,
      .stop = { .first = STOP_STEP_KILL,
                .guest_timeout_usec = STOP_TIMEOUT_USEC_MAX,
                .acpi_timeout_usec = STOP_TIMEOUT_USEC_MAX - 1,
                .kill = true } },
    { .type = SUPERVISOR_STOP_STEP, .event_number = 9, .value = STOP_STEP_ACPI, .time_usec = 7 },
    { .type = SUPERVISOR_KILL, .value = INITIATOR_GUEST },
    { .type = SUPERVISOR_KILL, .value = INITIATOR_LIMIT },
    { .type = SUPERVISOR_SUSPEND },
    { .type = SUPERVISOR_RESUME },
    { .type = SUPERVISOR_CONNECT, .id = UINT32_MAX, .value = 1024 },
    { .type = SUPERVISOR_INITIALIZE_PARTITION, .value = 2, .size = UINT64_MAX },
    { .type = SUPERVISOR_CREATE_IDSIG },
    { .type = SUPERVISOR_VERIFY_BOOT, .value = 1 },
    { .type = SUPERVISOR_OPEN_CONSOLE, .id = UINT32_MAX, .value = CONSOLE_TAKE_OVER },
    { .type = SUPERVISOR_OPEN_LOG, .id = 1, .value = LOG_KIND_VMM },
    { .type = SUPERVISOR_ACCEPTED },
    { .type = SUPERVISOR_REFUSED, .error_kind = ERROR_FAILED, .text = "" },
    { .type = SUPERVISOR_REFUSED,
      .error_kind = ERROR_UNAVAILABLE,
      .text = "two\nlines, \xc3\xa4 and \xf0\x9f\x98\x80" },
    { .type = SUPERVISOR_RUNNING, .event_number = 3, .value = 4194304, .time_usec = UINT64_MAX },
    { .type = SUPERVISOR_EVENT,
      .event_number = UINT64_MAX,
      .time_usec = 1,
      .event = VM_EVENT_START,
      .exit_code = 0 },
    { .type = SUPERVISOR_EVENT,
      .event_number = 7,
      .time_usec = UINT64_MAX,
      .event = VM_EVENT_STOP,
      .exit_code = 255,
      .error_code = GUEST_ERROR_PAYLOAD_INVALID_CONFIG,
      .text = "the guest's words" },
    { .type = SUPERVISOR_DIED,
      .event_number = 8,
      .record = { .reason = DEATH_INFRASTRUCTURE_ERROR,
                  .initiator = INITIATOR_GUEST,
                  .vmm_exit_code = -1,
                  .payload_exit_code = -1 } },
    { .type = SUPERVISOR_DIED,
      .event_number = 9,
      .record = { .reason = DEATH_SANDBOX_VIOLATION,
                  .initiator = INITIATOR_LIMIT,
                  .vmm_exit_code = 255,
                  .vmm_signal = 64,
                  .payload_exit_code = 255,
                  .payload_signal = 64,
                  .oom = true,
                  .denied_process = "the VMM",
                  .denied_call = "openat",
                  .denied_layer = "seccomp",
                  .died_usec = UINT64_MAX,
                  .console_dropped = UINT64_MAX - 1,
                  .payload_out_dropped = UINT64_MAX - 2,
                  .message = "why",
                  .console_tail = "last\nwords",
                  .vmm_tail = "qemu: \\x1b",
                  .stop_step = STOP_STEP_KILL,
                  .crash_report = "signal 11\n at \xc3\xa4",
                  .crash_report_size = 16,
                  .crash_report_dropped = UINT64_MAX - 3 } },
    { .type = SUPERVISOR_CONNECTED, .id = 3, .value = ECONNREFUSED },
    { .type = SUPERVISOR_ADOPT },
    { .type = SUPERVISOR_LISTEN_VSOCK, .id = 5, .value = 1024 },
    { .type = SUPERVISOR_CAPTURE_VSOCK, .id = UINT32_MAX },
    { .type = SUPERVISOR_SET_BALLOON, .size = UINT64_MAX },
    { .type = SUPERVISOR_ACKNOWLEDGE, .event_number = UINT64_MAX },
    { .type = SUPERVISOR_HELLO, .version = UINT32_MAX },
    { .type = SUPERVISOR_STATE,
      .event_number = 9,
      .acknowledged = 7,
      .state = VM_SUSPENDED,
      .resume_to = VM_FINISHED,
      .value = 4194304,
      .time_usec = UINT64_MAX },
    { .type = SUPERVISOR_STATE, .event_number = 2, .state = VM_STARTING },
};

static void assert_same_message(const SupervisorMessage *a, const SupervisorMessage *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->version, b->version);
    assert_true(a->acknowledged == b->acknowledged);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->resume_to, b->resume_to);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->value, b->value);
    assert_int_equal(a->stop.first, b->stop.first);
    assert_true(a->stop.guest_timeout_usec == b->stop.guest_timeout_usec);
    assert_true(a->stop.acpi_timeout_usec == b->stop.acpi_timeout_usec);
    assert_int_equal(a->stop.kill, b->stop.kill);
    assert_true(a->size == b->size);
    assert_true(a->time_usec == b->time_usec);
    assert_true(a->event_number == b->event_number);
    assert_int_equal(a->event, b->event);
    assert_int_equal(a->exit_code, b->exit_code);
    assert_int_equal(a->error_code, b->error_code);
    assert_int_equal(a->error_kind, b->error_kind);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->record.reason, b->record.reason);
    assert_int_equal(a->record.initiator, b->record.initiator);
    assert_int_equal(a->record.vmm_exit_code, b->record.vmm_exit_code);
    assert_int_equal(a->record.vmm_signal, b->record.vmm_signal);
    assert_int_equal(a->record.payload_exit_code, b->record.payload_exit_code);
    assert_int_equal(a->record.payload_signal, b->record.payload_signal);
    assert_int_equal(a->record.oom, b->record.oom);
    assert_string_equal(a->record.denied_process, b->record.denied_process);
    assert_string_equal(a->record.denied_call, b->record.denied_call);
    assert_string_equal(a->record.denied_layer, b->record.denied_layer);
    assert_true(a->record.died_usec == b->record.died_usec);
    assert_true(a->record.console_dropped == b->record.console_dropped);
    assert_true(a->record.payload_out_dropped == b->record.payload_out_dropped);
    assert_string_equal(a->record.message, b->record.message);
    assert_string_equal(a->record.console_tail, b->record.console_tail);
    assert_string_equal(a->record.vmm_tail, b->record.vmm_tail);
    assert_int_equal(a->record.stop_step, b->record.stop_step);
    assert_true(a->record.crash_report_dropped == b->record.crash_report_dropped);
    assert_int_equal(a->record.crash_report_size, b->record.crash_report_size);
    if (a->record.crash_report_size > 0)
        assert_memory_equal(a->record.crash_report, b->record.crash_report,
                            a->record.crash_report_size);
}

static void every_type_comes_back_from_its_encoding(void **state)
{
    (void)state;

    for (size_t i = 0; i < ELEMENTS_OF(samples); i++) {
        uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
        SupervisorMessage decoded;

        size_t size = supervisor_message_encode(&samples[i], bytes);
        memset(&decoded, 0xff, sizeof(decoded));
        assert_int_equal(supervisor_message_decode(bytes, size, &decoded), 0);
        assert_same_message(&samples[i], &decoded);
    }
}

static void every_truncation_and_a_byte_too_many_are_refused(void **state)
{
    (void)state;

    for (size_t i = 0; i < ELEMENTS_OF(samples); i++) {
        uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX + 1] = { 0 };
        SupervisorMessage decoded;

        size_t size = supervisor_message_encode(&samples[i], bytes);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(supervisor_message_decode(bytes, cut, &decoded), -EBADMSG);
        bytes[size] = 0;
        assert_int_equal(supervisor_message_decode(bytes, size + 1, &decoded), -EBADMSG);
    }
}

static void types_of_no_message_are_refused(void **state)
{
    (void)state;
    static const uint16_t types[] = { 0,      SUPERVISOR_VERIFY_BOOT + 1, SUPERVISOR_ACCEPTED - 1,
                                      0x0101, SUPERVISOR_STOP_STEP + 1,   UINT16_MAX };
    SupervisorMessage decoded;

    for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
        uint8_t bytes[32] = { (uint8_t)types[i], (uint8_t)(types[i] >> 8) };

        for (size_t size = 0; size <= sizeof(bytes); size++)
            assert_int_equal(supervisor_message_decode(bytes, size, &decoded), -EBADMSG);
    }
}

/* Fields at their place in the encoding; the texts of the death record are empty. */
static const struct {
    SupervisorMessageType type;
    size_t offset;
    int64_t min, max;
} ranges[] = {
    { SUPERVISOR_KILL, 2, INITIATOR_GUEST, INITIATOR_MAX - 1 },
    { SUPERVISOR_STOP, 2, STOP_STEP_GUEST, STOP_STEP_MAX - 1 },
    { SUPERVISOR_STOP_STEP, 10, STOP_STEP_NONE, STOP_STEP_MAX - 1 },
    { SUPERVISOR_DIED, 71, STOP_STEP_NONE, STOP_STEP_MAX - 1 },
    { SUPERVISOR_OPEN_CONSOLE, 6, CONSOLE_READ_ONLY, CONSOLE_MODE_MAX - 1 },
    { SUPERVISOR_OPEN_LOG, 6, LOG_KIND_CONSOLE, LOG_KIND_MAX - 1 },
    { SUPERVISOR_REFUSED, 2, ERROR_FAILED, ERROR_KIND_MAX - 1 },
    { SUPERVISOR_EVENT, 18, VM_EVENT_START, VM_EVENT_STOP },
    { SUPERVISOR_EVENT, 22, 0, 255 },
    { SUPERVISOR_EVENT, 26, 0, GUEST_ERROR_CODE_MAX - 1 },
    { SUPERVISOR_DIED, 10, 0, DEATH_REASON_MAX - 1 },
    { SUPERVISOR_DIED, 14, INITIATOR_GUEST, INITIATOR_MAX - 1 },
    { SUPERVISOR_DIED, 18, -1, 255 },
    { SUPERVISOR_DIED, 22, 0, 64 },
    { SUPERVISOR_DIED, 26, -1, 255 },
    { SUPERVISOR_DIED, 30, 0, 64 },
    { SUPERVISOR_STATE, 18, VM_STARTING, VM_DEAD },
    { SUPERVISOR_STATE, 22, VM_STARTING, VM_FINISHED }, /* it is suspended */
};

static size_t encode_first_sample(SupervisorMessageType type, uint8_t *bytes)
{
    for (size_t i = 0; i < ELEMENTS_OF(samples); i++) {
        if (samples[i].type == type)
            return supervisor_message_encode(&samples[i], bytes);
    }
    fail();
    return 0;
}

static void put_le32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

static void values_are_taken_in_their_range_only(void **state)
{
    (void)state;

    for (size_t i = 0; i < ELEMENTS_OF(ranges); i++) {
        const struct {
            int64_t value;
            int result;
        } probes[] = {
            { ranges[i].min, 0 },
            { ranges[i].min - 1, -EBADMSG },
            { ranges[i].max, 0 },
            { ranges[i].max + 1, -EBADMSG },
            { INT32_MAX, -EBADMSG },
            { INT32_MIN, -EBADMSG },
            { ranges[i].min - 2, -EBADMSG },
        };

        for (size_t j = 0; j < ELEMENTS_OF(probes); j++) {
            uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
            SupervisorMessage decoded;

            size_t size = encode_first_sample(ranges[i].type, bytes);
            put_le32(bytes + ranges[i].offset, (uint32_t)probes[j].value);
            assert_int_equal(supervisor_message_decode(bytes, size, &decoded), probes[j].result);
        }
    }
}

static void numbers_without_a_death_reason_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    SupervisorMessage decoded;
    size_t size = encode_first_sample(SUPERVISOR_DIED, bytes);

    for (uint32_t reason = 8; reason <= 11; reason++) {
        put_le32(bytes + 10, reason);
        assert_int_equal(supervisor_message_decode(bytes, size, &decoded),
                         reason == 9 || reason == 10 ? -EBADMSG : 0);
    }
    bytes[34] = 2; /* neither out of memory nor not */
    assert_int_equal(supervisor_message_decode(bytes, size, &decoded), -EBADMSG);
}

static void stops_of_more_than_an_hour_are_refused(void **state)
{
    (void)state;
    SupervisorMessage message = { .type = SUPERVISOR_STOP, .stop = STOP_PLAN_DEFAULT };
    SupervisorMessage decoded;
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    uint64_t *const timeouts[] = { &message.stop.guest_timeout_usec,
                                   &message.stop.acpi_timeout_usec };

    for (size_t i = 0; i < ELEMENTS_OF(timeouts); i++) {
        for (uint64_t above = 0; above <= 1; above++) {
            *timeouts[i] = STOP_TIMEOUT_USEC_MAX + above;
            size_t size = supervisor_message_encode(&message, bytes);
            assert_int_equal(supervisor_message_decode(bytes, size, &decoded),
                             above ? -EBADMSG : 0);
        }
        *timeouts[i] = 0;
    }
    size_t size = supervisor_message_encode(&message, bytes);
    bytes[size - 1] = 2; /* neither a kill nor none */
    assert_int_equal(supervisor_message_decode(bytes, size, &decoded), -EBADMSG);
}

static void no_more_is_acknowledged_than_has_happened(void **state)
{
    (void)state;
    SupervisorMessage message = {
        .type = SUPERVISOR_STATE, .event_number = 7, .acknowledged = 7, .state = VM_READY
    };
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
    SupervisorMessage decoded;

    size_t size = supervisor_message_encode(&message, bytes);
    assert_int_equal(supervisor_message_decode(bytes, size, &decoded), 0);
    message.acknowledged = 8;
    size = supervisor_message_encode(&message, bytes);
    assert_int_equal(supervisor_message_decode(bytes, size, &decoded), -EBADMSG);
}

static int decode_text(const char *text)
{
    SupervisorMessage message = { .type = SUPERVISOR_REFUSED, .error_kind = ERROR_FAILED };
    SupervisorMessage decoded;
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];

    memcpy(message.text, text, strlen(text) + 1);
    return supervisor_message_decode(bytes, supervisor_message_encode(&message, bytes), &decoded);
}

static void text_that_is_not_clean_is_refused(void **state)
{
    (void)state;
    char one[2] = "";

    for (unsigned byte = 1; byte < 0x100; byte++) {
        one[0] = (char)byte;
        assert_int_equal(decode_text(one),
                         byte == '\n' || (byte >= 0x20 && byte < 0x7f) ? 0 : -EBADMSG);
    }
    assert_int_equal(decode_text("\xc3\xa4"), 0);
    assert_int_equal(decode_text("cut \xc3"), -EBADMSG);
    assert_int_equal(decode_text("\xed\xa0\x80"), -EBADMSG);

    /* A NUL inside, which the encoder cannot write. */
    uint8_t bytes[] = { SUPERVISOR_REFUSED, 0, ERROR_FAILED, 0, 0, 0, 3, 0, 'a', 0, 'b' };
    SupervisorMessage decoded;
    assert_int_equal(supervisor_message_decode(bytes, sizeof(bytes), &decoded), -EBADMSG);
    bytes[9] = ' ';
    assert_int_equal(supervisor_message_decode(bytes, sizeof(bytes), &decoded), 0);
}

static void largest_death_record_fits_and_comes_back(void **state)
{
    (void)state;
    static SupervisorMessage message = { .type = SUPERVISOR_DIED };
    static SupervisorMessage decoded;
    uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];

    message.record.initiator = INITIATOR_HOST;
    memset(message.record.message, 'm', SUPERVISOR_TEXT_MAX);
    memset(message.record.console_tail, 'c', SUPERVISOR_TAIL_MAX);
    memset(message.record.vmm_tail, 'v', SUPERVISOR_TAIL_MAX);
    static char report[SUPERVISOR_CRASH_REPORT_MAX];
    memset(report, 'r', sizeof(report));
    message.record.crash_report = report;
    message.record.crash_report_size = sizeof(report);
    size_t size = supervisor_message_encode(&message, bytes);
    assert_true(size <= SUPERVISOR_MESSAGE_SIZE_MAX);
    assert_int_equal(supervisor_message_decode(bytes, size, &decoded), 0);
    assert_same_message(&message, &decoded);
}

/* Texts of the longest kind and one above, whose array would overflow. */
static void texts_are_taken_up_to_their_maximum(void **state)
{
    (void)state;
    static const struct {
        SupervisorMessageType type;
        size_t offset; /* of the length */
        size_t max;
    } texts[] = {
        { SUPERVISOR_REFUSED, 6, SUPERVISOR_TEXT_MAX },
        { SUPERVISOR_EVENT, 30, SUPERVISOR_TEXT_MAX },
        { SUPERVISOR_DIED, 35, SUPERVISOR_NAME_MAX },
        { SUPERVISOR_DIED, 37, SUPERVISOR_NAME_MAX },
        { SUPERVISOR_DIED, 39, SUPERVISOR_NAME_MAX },
        { SUPERVISOR_DIED, 65, SUPERVISOR_TEXT_MAX },
        { SUPERVISOR_DIED, 67, SUPERVISOR_TAIL_MAX },
        { SUPERVISOR_DIED, 69, SUPERVISOR_TAIL_MAX },
        { SUPERVISOR_DIED, 83, SUPERVISOR_CRASH_REPORT_MAX },
    };

    for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
        for (size_t length = texts[i].max; length <= texts[i].max + 1; length++) {
            uint8_t bytes[SUPERVISOR_MESSAGE_SIZE_MAX];
            SupervisorMessage decoded;
            size_t size = encode_first_sample(texts[i].type, bytes);
            size_t start = texts[i].offset + 2;

            memmove(bytes + start + length, bytes + start, size - start);
            memset(bytes + start, 'x', length);
            bytes[texts[i].offset] = (uint8_t)length;
            bytes[texts[i].offset + 1] = (uint8_t)(length >> 8);
            assert_int_equal(supervisor_message_decode(bytes, size + length, &decoded),
                             length > texts[i].max ? -EBADMSG : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_from_its_encoding),
        cmocka_unit_test(every_truncation_and_a_byte_too_many_are_refused),
        cmocka_unit_test(types_of_no_message_are_refused),
        cmocka_unit_test(values_are_taken_in_their_range_only),
        cmocka_unit_test(no_more_is_acknowledged_than_has_happened),
        cmocka_unit_test(numbers_without_a_death_reason_are_refused),
        cmocka_unit_test(stops_of_more_than_an_hour_are_refused),
        cmocka_unit_test(text_that_is_not_clean_is_refused),
        cmocka_unit_test(largest_death_record_fits_and_comes_back),
        cmocka_unit_test(texts_are_taken_up_to_their_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
