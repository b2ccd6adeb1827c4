/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/guest-message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/helpers/test.h"

#define METHOD(name) "\"method\":\"" GUEST_LINK_INTERFACE "." name "\""

static int decode_call(const char *frame, GuestCall *ret_call)
{
    return guest_call_decode(frame, strlen(frame), ret_call, NULL);
}

static void assert_refused_with(const char *frame, const char *sentence)
{
    GuestCall call;
    Error error = ERROR_INIT;

    assert_int_equal(guest_call_decode(frame, strlen(frame), &call, &error), -EBADMSG);
    assert_string_equal(error_get_message(&error), sentence);
    error_clear(&error);
}

static void assert_call_encodes_as(const GuestCall *call, const char *expected)
{
    char frame[GUEST_FRAME_SIZE_MAX + 1];
    GuestCall decoded;

    assert_int_equal(guest_call_encode(call, frame, sizeof(frame)), (int)strlen(expected) + 1);
    assert_string_equal(frame, expected);
    assert_int_equal(decode_call(frame, &decoded), 0);
    assert_int_equal(decoded.type, call->type);
    assert_int_equal(decoded.exit_code, call->exit_code);
    assert_int_equal(decoded.error_code, call->error_code);
    assert_int_equal(decoded.signal, call->signal);
    assert_string_equal(decoded.message, call->message);
    assert_string_equal(decoded.stream_name, call->stream_name);
}

static void every_call_has_its_text_on_the_wire(void **state)
{
    (void)state;
    assert_call_encodes_as(&(GuestCall){ .type = GUEST_CALL_PAYLOAD_STARTED },
                           "{" METHOD("PayloadStarted") ",\"parameters\":{}}");
    assert_call_encodes_as(&(GuestCall){ .type = GUEST_CALL_PAYLOAD_READY },
                           "{" METHOD("PayloadReady") ",\"parameters\":{}}");
    assert_call_encodes_as(&(GuestCall){ .type = GUEST_CALL_PAYLOAD_FINISHED, .exit_code = 255 },
                           "{" METHOD("PayloadFinished") ",\"parameters\":{\"exit_code\":255}}");
    assert_call_encodes_as(
        &(GuestCall){ .type = GUEST_CALL_ERROR,
                      .error_code = GUEST_ERROR_UNKNOWN,
                      .message = "a \"quoted\" / word",
                      .signal = 11 },
        "{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\","
                            "\"message\":\"a \\\"quoted\\\" / word\",\"signal\":11}}");
    assert_call_encodes_as(
        &(GuestCall){ .type = GUEST_CALL_ERROR, .error_code = GUEST_ERROR_PAYLOAD_INVALID_CONFIG },
        "{" METHOD("Error") ",\"parameters\":{\"code\":"
                            "\"payload-invalid-config\",\"message\":\"\"}}");
    assert_call_encodes_as(&(GuestCall){ .type = GUEST_CALL_SUBSCRIBE },
                           "{" METHOD("Subscribe") ",\"parameters\":{},\"more\":true}");
    assert_call_encodes_as(
        &(GuestCall){ .type = GUEST_CALL_OPEN_STREAM, .stream_name = "payload-out" },
        "{" METHOD("OpenStream") ",\"parameters\":{\"name\":\"payload-out\"}}");
}

static void call_may_leave_out_what_is_optional(void **state)
{
    GuestCall call;

    (void)state;
    assert_int_equal(decode_call("{" METHOD("PayloadReady") "}", &call), 0);
    assert_int_equal(call.type, GUEST_CALL_PAYLOAD_READY);
    assert_int_equal(decode_call("{\"more\" : true ,\n" METHOD("Subscribe") "}", &call), 0);
    assert_int_equal(call.type, GUEST_CALL_SUBSCRIBE);
    assert_int_equal(decode_call("{" METHOD("PayloadReady") ",\"more\":false}", &call), 0);
    assert_int_equal(decode_call("{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\","
                                                     "\"message\":\"x\",\"signal\":null}}",
                                 &call),
                     0);
    assert_int_equal(call.signal, 0);
}

static void call_with_an_unknown_key_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused_with("{" METHOD("PayloadReady") ",\"oneway\":true}", "unknown key 'oneway'");
    assert_refused_with("{" METHOD("PayloadReady") ",\"upgrade\":false}", "unknown key 'upgrade'");
    assert_refused_with("{" METHOD("PayloadReady") ",\"parameters\":{\"x\\u0061\":1}}",
                        "/parameters/x\\x5cu0061: unknown key");
    assert_refused_with("{" METHOD("PayloadReady") ",\"parameters\":{\"exit_code\":1}}",
                        "unknown key 'exit_code'");
    assert_refused_with("{" METHOD("PayloadReady") ",\"\":1}", "unknown key ''");
    assert_refused_with("{" METHOD("PayloadReady") ",\"\x01\":1}",
                        "/method: a string has a control character");
}

static void call_with_a_repeated_key_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused_with("{" METHOD("PayloadFinished") ",\"parameters\":{\"exit_code\":1,"
                                                      "\"exit_code\":2}}",
                        "/parameters/exit_code: the key is there twice");
    assert_refused_with("{" METHOD("PayloadReady") ",\"parameters\":{}, \"parameters\" : {}}",
                        "/parameters: the key is there twice");
    assert_refused_with("{" METHOD("PayloadReady") "," METHOD("PayloadReady") "}",
                        "/method: the key is there twice");
}

static void equal_keys_of_different_objects_are_not_repeated(void **state)
{
    (void)state;
    assert_refused_with("{" METHOD("PayloadReady") ",\"parameters\":{\"method\":1}}",
                        "unknown key 'method'");
}

static void a_colon_inside_a_string_makes_no_key(void **state)
{
    GuestCall call;

    (void)state;
    assert_int_equal(decode_call("{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\","
                                                     "\"message\":\"\\\"code\\\":1 { [ \\\\\"}}",
                                 &call),
                     0);
    assert_string_equal(call.message, "\"code\":1 { [ \\");
}

static void call_with_wrong_types_is_refused(void **state)
{
    (void)state;
    assert_refused_with("{" METHOD("PayloadFinished") ",\"parameters\":{\"exit_code\":\"12abc\"}}",
                        "'exit_code' is not an integer");
    assert_refused_with("{" METHOD("PayloadFinished") ",\"parameters\":{\"exit_code\":1.0}}",
                        "'exit_code' is not an integer");
    assert_refused_with("{" METHOD("PayloadFinished") ",\"parameters\":{\"exit_code\":null}}",
                        "'exit_code' is not an integer");
    assert_refused_with("{" METHOD("PayloadReady") ",\"parameters\":[]}",
                        "'parameters' is not an object");
    assert_refused_with("{" METHOD("PayloadReady") ",\"parameters\":null}",
                        "'parameters' is not an object");
    assert_refused_with("{\"method\":1}", "'method' is not a string");
    assert_refused_with("{" METHOD("Subscribe") ",\"more\":1}", "'more' is not a boolean");
    assert_refused_with("[]", "the frame is not an object");
}

static void numbers_outside_their_range_are_refused(void **state)
{
    static const struct {
        const char *number;
        int result;
    } cases[] = {
        { "-1", -EBADMSG },
        { "0", 0 },
        { "255", 0 },
        { "256", -EBADMSG },
        { "4294967296", -EBADMSG },
        { "9223372036854775807", -EBADMSG },
        { "18446744073709551616", -EBADMSG },
        { "-99999999999999999999999", -EBADMSG },
    };
    char frame[256];
    GuestCall call;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        (void)snprintf(frame, sizeof(frame),
                       "{" METHOD("PayloadFinished") ",\"parameters\":{\"exit_code\":%s}}",
                       cases[i].number);
        assert_int_equal(decode_call(frame, &call), cases[i].result);
    }
    assert_refused_with("{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\",\"message\":"
                                            "\"\",\"signal\":65}}",
                        "'signal' is not from 1 to 64");
}

static void call_with_missing_keys_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused_with("{}", "there is no 'method'");
    assert_refused_with("{" METHOD("PayloadFinished") "}", "there is no 'exit_code'");
    assert_refused_with("{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\"}}",
                        "there is no 'message'");
}

static void unknown_method_and_code_are_refused_by_name(void **state)
{
    (void)state;
    assert_refused_with("{\"method\":\"org.varlink.service.GetInfo\"}",
                        "there is no method 'org.varlink.service.GetInfo'");
    assert_refused_with("{" METHOD("Error") ",\"parameters\":{\"code\":\"bad\\n\","
                                            "\"message\":\"\"}}",
                        "'code' has no value 'bad\n'");
}

static void more_belongs_to_subscribe_alone(void **state)
{
    (void)state;
    assert_refused_with("{" METHOD("Subscribe") "}",
                        "'" GUEST_LINK_INTERFACE ".Subscribe' is called with \"more\"");
    assert_refused_with("{" METHOD("PayloadReady") ",\"more\":true}",
                        "'" GUEST_LINK_INTERFACE ".PayloadReady' is called without \"more\"");
}

static void stream_names_are_bounded(void **state)
{
    static const struct {
        const char *name;
        int result;
    } cases[] = {
        { "a", 0 },
        { "abcdefghijklmnopqrstuvwxyz-01234", 0 },
        { "abcdefghijklmnopqrstuvwxyz-012345", -EBADMSG },
        { "", -EBADMSG },
        { "Log", -EBADMSG },
        { "../log", -EBADMSG },
        { "log\\u0000", -EBADMSG },
    };
    char frame[256];
    GuestCall call;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        (void)snprintf(frame, sizeof(frame),
                       "{" METHOD("OpenStream") ",\"parameters\":{\"name\":\"%s\"}}",
                       cases[i].name);
        assert_int_equal(decode_call(frame, &call), cases[i].result);
    }
}

static void long_error_messages_are_cut_at_a_character(void **state)
{
    char frame[GUEST_FRAME_SIZE_MAX];
    char text[GUEST_ERROR_MESSAGE_MAX + 3] = { 0 };
    GuestCall call;

    (void)state;
    memset(text, 'x', GUEST_ERROR_MESSAGE_MAX - 1);
    memcpy(text + GUEST_ERROR_MESSAGE_MAX - 1, "\xc3\xa4", 3);
    (void)snprintf(frame, sizeof(frame),
                   "{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\",\"message\":\"%s\"}}",
                   text);
    assert_int_equal(decode_call(frame, &call), 0);
    assert_int_equal(strlen(call.message), GUEST_ERROR_MESSAGE_MAX - 1);

    text[GUEST_ERROR_MESSAGE_MAX - 1] = 'x';
    text[GUEST_ERROR_MESSAGE_MAX] = '\0';
    (void)snprintf(frame, sizeof(frame),
                   "{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\",\"message\":\"%s\"}}",
                   text);
    assert_int_equal(decode_call(frame, &call), 0);
    assert_int_equal(strlen(call.message), GUEST_ERROR_MESSAGE_MAX);
}

static void malformed_frames_are_refused(void **state)
{
    static const char *const frames[] = {
        "",
        "{",
        "{" METHOD("PayloadReady"),
        "{" METHOD("PayloadReady") "}}",
        "{" METHOD("PayloadReady") "} x",
        "{" METHOD("PayloadReady") "}{}",
        "{" METHOD("PayloadReady") ",}",
        "{'method':\"" GUEST_LINK_INTERFACE ".PayloadReady\"}",
        "{" METHOD("PayloadReady") "/* */}",
        "{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\",\"message\":\"\xff\"}}",
        "{" METHOD("Error") ",\"parameters\":{\"code\":\"unknown\",\"message\":\"a\\u0000b\"}}",
        "{" METHOD("PayloadReady") ",\"parameters\":{\"x\":[[[]]]}}",
    };
    GuestCall call;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(frames); i++)
        assert_int_equal(decode_call(frames[i], &call), -EBADMSG);
    assert_int_equal(guest_call_decode("{" METHOD("PayloadReady") "}\0",
                                       strlen("{" METHOD("PayloadReady") "}") + 1, &call, NULL),
                     -EBADMSG);
}

static void frame_may_have_the_largest_size_and_no_more(void **state)
{
    static char frame[GUEST_FRAME_SIZE_MAX + 1];
    GuestCall call;

    (void)state;
    memset(frame, ' ', sizeof(frame));
    memcpy(frame, "{" METHOD("PayloadReady"), strlen("{" METHOD("PayloadReady")));
    frame[GUEST_FRAME_SIZE_MAX - 1] = '}';
    assert_int_equal(guest_call_decode(frame, GUEST_FRAME_SIZE_MAX, &call, NULL), 0);
    frame[GUEST_FRAME_SIZE_MAX - 1] = ' ';
    frame[GUEST_FRAME_SIZE_MAX] = '}';
    assert_int_equal(guest_call_decode(frame, sizeof(frame), &call, NULL), -EBADMSG);
}

static void frame_may_have_sixteen_keys_and_no_more(void **state)
{
    (void)state;
    assert_refused_with("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
                        "\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1}",
                        "unknown key 'a'");
    assert_refused_with("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
                        "\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,"
                        "\"q\":1}",
                        "/q: too many keys");
}

static void encoded_call_that_does_not_fit_is_reported(void **state)
{
    const GuestCall call = { .type = GUEST_CALL_PAYLOAD_READY };
    char frame[128];

    (void)state;
    int size = guest_call_encode(&call, frame, sizeof(frame));
    assert_true(size > 0);
    assert_int_equal(guest_call_encode(&call, frame, (size_t)size), size);
    assert_int_equal(guest_call_encode(&call, frame, (size_t)size - 1), -ENOBUFS);
}

static void assert_reply_encodes_as(const GuestReply *reply, const char *expected)
{
    char frame[1024];
    GuestReply decoded;

    assert_int_equal(guest_reply_encode(reply, frame, sizeof(frame)), (int)strlen(expected) + 1);
    assert_string_equal(frame, expected);
    assert_int_equal(guest_reply_decode(frame, strlen(frame), &decoded, NULL), 0);
    assert_int_equal(decoded.continues, reply->continues);
    assert_int_equal(decoded.command, reply->command);
    assert_string_equal(decoded.error_name, reply->error_name);
    assert_string_equal(decoded.error_message, reply->error_message);
}

static void every_reply_has_its_text_on_the_wire(void **state)
{
    (void)state;
    assert_reply_encodes_as(&(GuestReply){ .continues = false }, "{\"parameters\":{}}");
    assert_reply_encodes_as(&(GuestReply){ .continues = true, .command = GUEST_COMMAND_STOP },
                            "{\"parameters\":{\"command\":\"stop\"},\"continues\":true}");
    assert_reply_encodes_as(&(GuestReply){ .command = GUEST_COMMAND_MEMORY_TRIM },
                            "{\"parameters\":{\"command\":\"memory-trim\"}}");
    assert_reply_encodes_as(&(GuestReply){ .error_name = GUEST_LINK_INTERFACE ".NoSuchStream",
                                           .error_message = "no stream 'x'" },
                            "{\"error\":\"" GUEST_LINK_INTERFACE ".NoSuchStream\","
                            "\"parameters\":{\"message\":\"no stream 'x'\"}}");
}

static void malformed_replies_are_refused(void **state)
{
    static const char *const frames[] = {
        "{\"parameters\":{\"command\":\"reboot\"}}",
        "{\"parameters\":{\"command\":1}}",
        "{\"parameters\":{\"command\":\"stop\",\"command\":\"stop\"}}",
        "{\"parameters\":{\"command\":\"stop\",\"when\":1}}",
        "{\"error\":\"a.B\",\"continues\":true}",
        "{\"error\":\"a.B\",\"parameters\":{\"command\":\"stop\"}}",
        "{\"error\":\"\"}",
        "{\"error\":\"a b\"}",
        "{\"continues\":\"true\"}",
    };
    GuestReply reply;

    (void)state;
    for (size_t i = 0; i < ELEMENTS_OF(frames); i++)
        assert_int_equal(guest_reply_decode(frames[i], strlen(frames[i]), &reply, NULL), -EBADMSG);
    assert_int_equal(guest_reply_decode("{}", 2, &reply, NULL), 0);
}

static void error_codes_have_names(void **state)
{
    GuestErrorCode code;

    (void)state;
    for (unsigned i = 0; i < GUEST_ERROR_CODE_MAX; i++) {
        const char *name = guest_error_code_to_string((GuestErrorCode)i);
        assert_non_null(name);
        assert_int_equal(guest_error_code_from_string(name, &code), 0);
        assert_int_equal(code, i);
    }
    assert_null(guest_error_code_to_string(GUEST_ERROR_CODE_MAX));
    assert_int_equal(guest_error_code_from_string("fatal", &code), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_has_its_text_on_the_wire),
        cmocka_unit_test(call_may_leave_out_what_is_optional),
        cmocka_unit_test(call_with_an_unknown_key_is_refused_by_name),
        cmocka_unit_test(call_with_a_repeated_key_is_refused_by_name),
        cmocka_unit_test(equal_keys_of_different_objects_are_not_repeated),
        cmocka_unit_test(a_colon_inside_a_string_makes_no_key),
        cmocka_unit_test(call_with_wrong_types_is_refused),
        cmocka_unit_test(numbers_outside_their_range_are_refused),
        cmocka_unit_test(call_with_missing_keys_is_refused_by_name),
        cmocka_unit_test(unknown_method_and_code_are_refused_by_name),
        cmocka_unit_test(more_belongs_to_subscribe_alone),
        cmocka_unit_test(stream_names_are_bounded),
        cmocka_unit_test(long_error_messages_are_cut_at_a_character),
        cmocka_unit_test(malformed_frames_are_refused),
        cmocka_unit_test(frame_may_have_the_largest_size_and_no_more),
        cmocka_unit_test(frame_may_have_sixteen_keys_and_no_more),
        cmocka_unit_test(encoded_call_that_does_not_fit_is_reported),
        cmocka_unit_test(every_reply_has_its_text_on_the_wire),
        cmocka_unit_test(malformed_replies_are_refused),
        cmocka_unit_test(error_codes_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
