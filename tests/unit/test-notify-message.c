/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/notify-message.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static int decode(const char *text, NotifyMessage *ret_message)
{
    return notify_message_decode(text, strlen(text), ret_message);
}

static void lines_of_one_message_are_read(void **state)
{
    NotifyMessage message;

    (void)state;
    assert_int_equal(decode("READY=1\nSTATUS=Startup finished in 2.1s.\n", &message), 0);
    assert_true(message.is_ready);
    assert_false(message.has_exit_status);
    assert_string_equal(message.status, "Startup finished in 2.1s.");
    assert_int_equal(decode("EXIT_STATUS=42", &message), 0);
    assert_true(message.has_exit_status);
    assert_int_equal(message.exit_status, 42);
    assert_false(message.is_ready);
    assert_string_equal(message.status, "");
}

static void what_is_not_known_is_passed_over(void **state)
{
    NotifyMessage message;

    (void)state;
    assert_int_equal(
        decode("X_SYSTEMD_UNIT_ACTIVE=basic.target\n\nREADY=0\nSTOPPING=1\n", &message), 0);
    assert_false(message.is_ready);
    assert_false(message.has_exit_status);
}

static void status_is_text_for_a_terminal(void **state)
{
    char text[NOTIFY_MESSAGE_MAX + 1];
    NotifyMessage message;

    (void)state;
    assert_int_equal(decode("STATUS=\x1b[2J\xff", &message), 0);
    assert_string_equal(message.status, "\\x1b[2J\\xff");
    memset(text, 's', sizeof(text));
    memcpy(text, "STATUS=", strlen("STATUS="));
    assert_int_equal(notify_message_decode(text, NOTIFY_MESSAGE_MAX, &message), 0);
    assert_int_equal(strlen(message.status), NOTIFY_STATUS_MAX);
    assert_int_equal(notify_message_decode(text, NOTIFY_MESSAGE_MAX + 1, &message), -EBADMSG);
}

static void what_is_no_message_is_refused(void **state)
{
    static const char *const texts[] = { "",
                                         "READY",
                                         "READY=1\nx",
                                         "EXIT_STATUS=",
                                         "EXIT_STATUS=256",
                                         "EXIT_STATUS=-1",
                                         "EXIT_STATUS=1x",
                                         "EXIT_STATUS=00000000000000001" };
    NotifyMessage message;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(decode(texts[i], &message), -EBADMSG);
    assert_int_equal(notify_message_decode("READY=1\0", 8, &message), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_one_message_are_read),
        cmocka_unit_test(what_is_not_known_is_passed_over),
        cmocka_unit_test(status_is_text_for_a_terminal),
        cmocka_unit_test(what_is_no_message_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
