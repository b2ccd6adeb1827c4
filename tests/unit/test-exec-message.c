/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/exec-message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/helpers/test.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static void frames_come_back_from_their_encoding(void **state)
{
    static const uint8_t text[] = "bytes";
    const ExecFrame frames[] = {
        { .type = EXEC_REQUEST, .bytes = text, .size = 5 },
        { .type = EXEC_STDIN, .bytes = text, .size = 5 },
        { .type = EXEC_STDIN_END },
        { .type = EXEC_WINDOW, .window = { 24, 80 } },
        { .type = EXEC_SIGNAL, .signal = 15 },
        { .type = EXEC_STDOUT, .bytes = text, .size = 1 },
        { .type = EXEC_STDERR, .bytes = text, .size = 5 },
        { .type = EXEC_STDIN_TAKEN, .taken = EXEC_STDIN_WINDOW },
        { .type = EXEC_EXITED, .exit_code = 255 },
        { .type = EXEC_EXITED, .signal = 64 },
        { .type = EXEC_REFUSED, .refusal = EXEC_REFUSAL_FAILED, .bytes = text, .size = 5 },
        { .type = EXEC_REFUSED, .refusal = EXEC_REFUSAL_NOT_FOUND },
    };
    uint8_t bytes[64];

    (void)state;
    for (size_t i = 0; i < N(frames); i++) {
        ExecFrame frame;

        int size = exec_frame_encode(&frames[i], bytes, sizeof(bytes));
        assert_true(size > 0);
        for (int part = 0; part < size; part++)
            assert_int_equal(exec_frame_decode(bytes, (size_t)part, &frame), 0);
        assert_int_equal(exec_frame_decode(bytes, sizeof(bytes), &frame), size);
        assert_int_equal(frame.type, frames[i].type);
        assert_int_equal(frame.size, frames[i].size);
        assert_memory_equal(frame.bytes, frames[i].size > 0 ? frames[i].bytes : frame.bytes,
                            frame.size);
        assert_memory_equal(&frame.window, &frames[i].window, sizeof(frame.window));
        assert_int_equal(frame.signal, frames[i].signal);
        assert_int_equal(frame.exit_code, frames[i].exit_code);
        assert_int_equal(frame.taken, frames[i].taken);
        assert_int_equal(frame.refusal, frames[i].refusal);
        assert_int_equal(exec_frame_is_from_client(frame.type), i < 5);
    }
}

static void layout_of_a_frame_is_as_described(void **state)
{
    static const uint8_t expected[] = { 19, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0 };
    uint8_t bytes[sizeof(expected)];

    (void)state;
    assert_int_equal(exec_frame_encode(&(ExecFrame){ .type = EXEC_EXITED, .exit_code = 3 }, bytes,
                                       sizeof(bytes)),
                     sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    assert_int_equal(exec_frame_encode(&(ExecFrame){ .type = EXEC_EXITED, .exit_code = 3 }, bytes,
                                       sizeof(bytes) - 1),
                     -ENOBUFS);
}

/* Each is refused as soon as its first 8 bytes are there, or with its numbers. */
static void malformed_frames_are_refused(void **state)
{
    static const uint8_t frames[][16] = {
        { 0 },
        { 6, 0, 0, 0, 1 },
        { 21, 0, 0, 0, 1 },
        { EXEC_STDIN, 0, 0, 1 },                                      /* the type */
        { EXEC_REQUEST, 0, 0, 0, 0 },                                 /* empty */
        { EXEC_REQUEST, 0, 0, 0, 1, 0, 1, 0 },                        /* one too many */
        { EXEC_STDIN, 0, 0, 0, 0 },                                   /* empty */
        { EXEC_STDIN, 0, 0, 0, 1, 0x80, 0, 0 },                       /* one too many */
        { EXEC_STDIN_END, 0, 0, 0, 1 },                               /* not empty */
        { EXEC_WINDOW, 0, 0, 0, 3 },                                  /* short */
        { EXEC_WINDOW, 0, 0, 0, 5 },                                  /* long */
        { EXEC_SIGNAL, 0, 0, 0, 4, 0, 0, 0, 9 },                      /* KILL */
        { EXEC_SIGNAL, 0, 0, 0, 4, 0, 0, 0, 0 },                      /* none */
        { EXEC_STDIN_TAKEN, 0, 0, 0, 4, 0, 0, 0, 0 },                 /* nothing */
        { EXEC_STDIN_TAKEN, 0, 0, 0, 4, 0, 0, 0, 1, 0, 2 },           /* more than the window */
        { EXEC_EXITED, 0, 0, 0, 8, 0, 0, 0, 0, 1 },                   /* code 256 */
        { EXEC_EXITED, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 65 },         /* signal 65 */
        { EXEC_EXITED, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9 },          /* both */
        { EXEC_REFUSED, 0, 0, 0, 4, 0, 0, 0, 0 },                     /* no reason */
        { EXEC_REFUSED, 0, 0, 0, 4, 0, 0, 0, EXEC_REFUSAL_MAX },      /* another one */
        { EXEC_REFUSED, 0, 0, 0, 4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff } /* another one */
    };
    ExecFrame frame;

    (void)state;
    for (size_t i = 0; i < N(frames); i++)
        assert_int_equal(exec_frame_decode(frames[i], sizeof(frames[i]), &frame), -EBADMSG);
    assert_int_equal(
        exec_frame_encode(&(ExecFrame){ .type = EXEC_SIGNAL, .signal = 9 }, (uint8_t[64]){ 0 }, 64),
        -EINVAL);
}

static ExecRequest make_request(void)
{
    return (ExecRequest){ .terminals = EXEC_TERMINAL_STDIN | EXEC_TERMINAL_STDERR,
                          .window = { 24, 80 },
                          .n_arguments = 3,
                          .n_variables = 1,
                          .arguments = { "ls", "", "-l" },
                          .variables = { "TERM=screen" } };
}

static void requests_come_back_from_their_encoding(void **state)
{
    static uint8_t bytes[EXEC_REQUEST_SIZE_MAX];
    ExecRequest request = make_request(), again;

    (void)state;
    int size = exec_request_encode(&request, bytes);
    assert_int_equal(size, 20 + 3 + 1 + 3 + 12);
    assert_int_equal(exec_request_decode(bytes, (size_t)size, &again), 0);
    assert_int_equal(again.terminals, request.terminals);
    assert_int_equal(again.window.rows, 24);
    assert_int_equal(again.window.columns, 80);
    assert_int_equal(again.n_arguments, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(again.arguments[i], request.arguments[i]);
    assert_null(again.arguments[3]);
    assert_string_equal(again.variables[0], "TERM=screen");
    assert_null(again.variables[1]);
    for (int part = 0; part < size; part++)
        assert_int_equal(exec_request_decode(bytes, (size_t)part, &again), -EBADMSG);
    bytes[size] = 'x';
    assert_int_equal(exec_request_decode(bytes, (size_t)size + 1, &again), -EBADMSG);
    bytes[0] = EXEC_VERSION + 1;
    assert_int_equal(exec_request_decode(bytes, (size_t)size, &again), -EPROTONOSUPPORT);
}

static void requests_beyond_a_limit_are_refused(void **state)
{
    static uint8_t bytes[EXEC_REQUEST_SIZE_MAX];
    static char large[EXEC_REQUEST_SIZE_MAX];
    static ExecRequest request, again;

    (void)state;
    request = make_request();
    request.n_arguments = EXEC_ARGUMENTS_MAX;
    for (size_t i = 0; i < EXEC_ARGUMENTS_MAX; i++)
        request.arguments[i] = "x";
    request.n_variables = EXEC_VARIABLES_MAX;
    for (size_t i = 0; i < EXEC_VARIABLES_MAX; i++)
        request.variables[i] = "x=";
    int size = exec_request_encode(&request, bytes);
    assert_true(size > 0);
    assert_int_equal(exec_request_decode(bytes, (size_t)size, &again), 0);
    request.n_arguments++;
    assert_int_equal(exec_request_encode(&request, bytes), -EINVAL);
    request.n_arguments--;
    request.n_variables++;
    assert_int_equal(exec_request_encode(&request, bytes), -EINVAL);

    memset(large, 'x', sizeof(large));
    request = (ExecRequest){ .n_arguments = 1, .arguments = { large } };
    large[EXEC_REQUEST_SIZE_MAX - 21] = '\0';
    assert_int_equal(exec_request_encode(&request, bytes), EXEC_REQUEST_SIZE_MAX);
    assert_int_equal(exec_request_decode(bytes, EXEC_REQUEST_SIZE_MAX, &again), 0);
    large[EXEC_REQUEST_SIZE_MAX - 21] = 'x';
    large[EXEC_REQUEST_SIZE_MAX - 20] = '\0';
    assert_int_equal(exec_request_encode(&request, bytes), -ENOBUFS);
}

static void requests_without_sense_are_refused(void **state)
{
    static uint8_t bytes[EXEC_REQUEST_SIZE_MAX];
    ExecRequest requests[] = { make_request(), make_request(), make_request(), make_request(),
                               make_request() };

    (void)state;
    requests[0].n_arguments = 0;
    requests[1].arguments[0] = "";
    requests[2].variables[0] = "=x";
    requests[3].variables[0] = "x";
    requests[4].terminals = EXEC_TERMINAL_ALL + 1;
    for (size_t i = 0; i < N(requests); i++)
        assert_int_equal(exec_request_encode(&requests[i], bytes), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back_from_their_encoding),
        cmocka_unit_test(layout_of_a_frame_is_as_described),
        cmocka_unit_test(malformed_frames_are_refused),
        cmocka_unit_test(requests_come_back_from_their_encoding),
        cmocka_unit_test(requests_beyond_a_limit_are_refused),
        cmocka_unit_test(requests_without_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
