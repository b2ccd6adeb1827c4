/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "tests/helpers/test.h"
#include "vmm-launcher/vmm.h"

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[\"oob\"]}}\r\n"
#define RETURN   "{\"return\":{}}\r\n"
#define REFUSAL  "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}\r\n"

#define CAPABILITIES "{\"execute\":\"qmp_capabilities\"}\n"
#define CONT         "{\"execute\":\"cont\"}\n"
#define STOP         "{\"execute\":\"stop\"}\n"
#define POWERDOWN    "{\"execute\":\"system_powerdown\"}\n"

#define LINE_SIZE_MAX 65536 /* with its newline */

typedef struct Fixture {
    sd_event *event;
    int qemu; /* QEMU's end */
    VmmControl *control;
    bool refuse;
    unsigned n_ready, n_running, n_suspended, n_resumed, n_failed;
    const char *sentence;
} Fixture;

static int on_ready(void *userdata)
{
    ((Fixture *)userdata)->n_ready++;
    return ((Fixture *)userdata)->refuse ? -EPERM : 0;
}

static void on_running(void *userdata)
{
    ((Fixture *)userdata)->n_running++;
}

static void on_suspended(void *userdata)
{
    ((Fixture *)userdata)->n_suspended++;
}

static void on_resumed(void *userdata)
{
    ((Fixture *)userdata)->n_resumed++;
}

static void on_failed(void *userdata, const char *sentence)
{
    ((Fixture *)userdata)->n_failed++;
    ((Fixture *)userdata)->sentence = sentence;
}

static const VmmControlHandlers handlers = {
    .ready = on_ready,
    .running = on_running,
    .suspended = on_suspended,
    .resumed = on_resumed,
    .failed = on_failed,
};

static void start(Fixture *fixture, bool paused)
{
    int pair[2];

    *fixture = (Fixture){ .qemu = -EBADF };
    assert_true(sd_event_new(&fixture->event) >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fixture->qemu = pair[1];
    assert_int_equal(vmm_backend_qemu.control_new(fixture->event, pair[0], paused, &handlers,
                                                  fixture, &fixture->control),
                     0);
}

static void end(Fixture *fixture)
{
    assert_null(vmm_backend_qemu.control_free(fixture->control));
    assert_null(vmm_backend_qemu.control_free(NULL));
    fixture->qemu = fd_close(fixture->qemu);
    sd_event_unref(fixture->event);
}

static void run(Fixture *fixture)
{
    while (sd_event_run(fixture->event, 0) > 0)
        ;
}

static void say_bytes(Fixture *fixture, const char *bytes, size_t size)
{
    assert_int_equal(send(fixture->qemu, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT), size);
    run(fixture);
}

static void say(Fixture *fixture, const char *text)
{
    say_bytes(fixture, text, strlen(text));
}

static void assert_heard(Fixture *fixture, const char *expected)
{
    char heard[1024];
    ssize_t n = recv(fixture->qemu, heard, sizeof(heard) - 1, MSG_DONTWAIT);

    heard[n > 0 ? n : 0] = '\0';
    assert_string_equal(heard, expected);
}

static void assert_failed(const Fixture *fixture, const char *sentence)
{
    assert_int_equal(fixture->n_failed, 1);
    assert_string_equal(fixture->sentence, sentence);
}

static void greeting_leads_to_a_running_guest(void **state)
{
    (void)state;
    Fixture fixture;

    start(&fixture, false);
    run(&fixture);
    assert_heard(&fixture, "");
    say(&fixture, GREETING);
    assert_heard(&fixture, CAPABILITIES);
    say(&fixture, RETURN);
    assert_heard(&fixture, CONT);
    assert_int_equal(fixture.n_ready, 1);
    assert_int_equal(fixture.n_running, 0);
    say(&fixture, "{\"timestamp\":{},\"event\":\"RESUME\"}\r\n" RETURN);
    assert_int_equal(fixture.n_running, 1);
    assert_int_equal(fixture.n_failed, 0);
    end(&fixture);
}

static void guest_that_must_not_run_is_not_let_run(void **state)
{
    (void)state;
    Fixture fixture;

    for (int paused = 0; paused < 2; paused++) {
        start(&fixture, paused);
        fixture.refuse = true;
        say(&fixture, GREETING);
        assert_heard(&fixture, CAPABILITIES);
        say(&fixture, RETURN);
        vmm_backend_qemu.resume(fixture.control);
        run(&fixture);
        assert_heard(&fixture, "");
        assert_int_equal(fixture.n_running, 0);
        end(&fixture);
    }
}

static void paused_guest_waits_for_its_resume(void **state)
{
    (void)state;
    Fixture fixture;

    start(&fixture, true);
    say(&fixture, GREETING RETURN);
    assert_heard(&fixture, CAPABILITIES);
    assert_int_equal(fixture.n_running, 1);
    vmm_backend_qemu.resume(fixture.control);
    assert_heard(&fixture, CONT);
    say(&fixture, RETURN);
    assert_int_equal(fixture.n_running, 1);
    assert_int_equal(fixture.n_resumed, 1);
    end(&fixture);
}

static void suspend_resume_and_power_button_are_asked_for(void **state)
{
    (void)state;
    Fixture fixture;

    start(&fixture, false);
    say(&fixture, GREETING RETURN RETURN);
    assert_heard(&fixture, CAPABILITIES CONT);
    vmm_backend_qemu.suspend(fixture.control);
    vmm_backend_qemu.resume(fixture.control);
    vmm_backend_qemu.power_button(fixture.control);
    assert_heard(&fixture, STOP CONT POWERDOWN);
    say(&fixture, RETURN);
    assert_int_equal(fixture.n_suspended, 1);
    assert_int_equal(fixture.n_resumed, 0);
    say(&fixture, RETURN RETURN);
    assert_int_equal(fixture.n_resumed, 1);
    assert_int_equal(fixture.n_running, 1);
    assert_int_equal(fixture.n_failed, 0);
    end(&fixture);
}

static void requests_before_the_guest_runs_wait_for_it(void **state)
{
    (void)state;
    Fixture fixture;

    for (int paused = 0; paused < 2; paused++) {
        start(&fixture, paused);
        vmm_backend_qemu.resume(fixture.control);
        vmm_backend_qemu.suspend(fixture.control);
        assert_heard(&fixture, "");
        say(&fixture, GREETING);
        vmm_backend_qemu.power_button(fixture.control);
        assert_heard(&fixture, CAPABILITIES);
        say(&fixture, paused ? RETURN : RETURN RETURN);
        assert_heard(&fixture, paused ? CONT STOP POWERDOWN : CONT CONT STOP POWERDOWN);
        say(&fixture, RETURN RETURN RETURN);
        assert_int_equal(fixture.n_running, 1);
        assert_int_equal(fixture.n_resumed, 1);
        assert_int_equal(fixture.n_suspended, 1);
        assert_int_equal(fixture.n_failed, 0);
        end(&fixture);
    }
}

static void first_word_about_the_end_counts(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        VmmEnd expected;
    } cases[] = {
        { "", VMM_END_UNSAID },
        { "{\"event\":\"STOP\"}\n", VMM_END_UNSAID },
        { "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-shutdown\"}}\n",
          VMM_END_GUEST_SHUTDOWN },
        { "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\n", VMM_END_GUEST_RESET },
        { "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-panic\"}}\n", VMM_END_GUEST_PANIC },
        { "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"host-signal\"}}\n", VMM_END_HOST_SIGNAL },
        { "{\"event\":\"GUEST_PANICKED\",\"data\":{}}\n"
          "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"host-signal\"}}\n",
          VMM_END_GUEST_PANIC },
        { "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\n"
          "{\"event\":\"GUEST_PANICKED\"}\n",
          VMM_END_GUEST_RESET },
        { "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"unheard-of\"}}\n", VMM_END_UNSAID },
        { "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":1}}\n", VMM_END_UNSAID },
        { "{\"event\":\"SHUTDOWN\",\"data\":[]}\n", VMM_END_UNSAID },
        { "{\"event\":\"SHUTDOWN\"}\n", VMM_END_UNSAID },
        { "{\"event\":null}\n", VMM_END_UNSAID },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Fixture fixture;

        start(&fixture, false);
        /* Not through the loop: this is what is read after the VMM's end. */
        assert_true(fd_write_all(fixture.qemu, cases[i].said, strlen(cases[i].said)) == 0);
        assert_int_equal(vmm_backend_qemu.drain(fixture.control), cases[i].expected);
        assert_int_equal(fixture.n_failed, 0);
        end(&fixture);
    }
}

static void what_is_no_message_fails_the_connection_once(void **state)
{
    (void)state;
    static const char no_object[] = "QEMU's control connection carries no JSON object";
    static const char unknown[] = "QEMU's control connection carries an unknown message";
    static const struct {
        const char *said;
        const char *sentence;
    } cases[] = {
        { "\n", no_object },
        { "\r\n", no_object },
        { "qemu: hello\n", no_object },
        { "[]\n", no_object },
        { "\"event\"\n", no_object },
        { "{\"event\":\n", no_object },
        { "{'event':1,}\n", no_object },
        { "{\"event\":\"\xff\"}\n", no_object },
        { "{\"return\":{}} {}\n", no_object },
        { "{\"event\":\"STOP\"}x\n", no_object },
        { "{\"event\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}\n", no_object },
        { "{}\n", unknown },
        { GREETING GREETING, unknown },
        { RETURN, "QEMU answers what nobody asked" },
        { GREETING RETURN RETURN RETURN, "QEMU answers what nobody asked" },
        { REFUSAL, "QEMU answers what nobody asked" },
        { GREETING REFUSAL, "QEMU refuses a control command" },
        { "\n\n\nx\n", no_object },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Fixture fixture;

        start(&fixture, false);
        say(&fixture, cases[i].said);
        assert_failed(&fixture, cases[i].sentence);
        /* Nothing more is read, sent or told. */
        (void)vmm_backend_qemu.drain(fixture.control);
        vmm_backend_qemu.suspend(fixture.control);
        assert_int_equal(fixture.n_failed, 1);
        end(&fixture);
    }
}

static void closed_connection_is_told(void **state)
{
    (void)state;
    Fixture fixture;

    start(&fixture, false);
    say(&fixture, GREETING);
    fixture.qemu = fd_close(fixture.qemu);
    run(&fixture);
    assert_failed(&fixture, "QEMU has closed its control connection");
    end(&fixture);
}

/* An event of @size bytes with its newline. */
static char *new_line(size_t size)
{
    static const char start_of_line[] = "{\"event\":\"";
    char *line = malloc(size);

    assert_non_null(line);
    memset(line, 'x', size);
    memcpy(line, start_of_line, strlen(start_of_line));
    memcpy(line + size - 3, "\"}\n", 3);
    return line;
}

static void line_is_taken_up_to_the_maximum(void **state)
{
    (void)state;
    _cleanup_free_ char *most = new_line(LINE_SIZE_MAX), *more = new_line(LINE_SIZE_MAX + 1);
    Fixture fixture;

    start(&fixture, false);
    say_bytes(&fixture, most, LINE_SIZE_MAX);
    say_bytes(&fixture, most, LINE_SIZE_MAX);
    assert_int_equal(fixture.n_failed, 0);
    say_bytes(&fixture, more, LINE_SIZE_MAX + 1);
    assert_failed(&fixture, "QEMU's control connection carries a line that is too long");
    end(&fixture);
}

static void message_in_single_bytes_is_put_together(void **state)
{
    (void)state;
    static const char said[] = GREETING RETURN RETURN;
    Fixture fixture;

    start(&fixture, false);
    for (size_t i = 0; i < sizeof(said) - 1; i++)
        say_bytes(&fixture, said + i, 1);
    assert_int_equal(fixture.n_running, 1);
    assert_int_equal(fixture.n_failed, 0);
    end(&fixture);
}

static void eight_commands_wait_for_their_answers_and_no_more(void **state)
{
    (void)state;
    Fixture fixture;

    for (int early = 0; early < 2; early++) {
        start(&fixture, true);
        if (!early)
            say(&fixture, GREETING RETURN);
        for (unsigned i = 0; i < 8; i++)
            vmm_backend_qemu.power_button(fixture.control);
        assert_int_equal(fixture.n_failed, 0);
        vmm_backend_qemu.power_button(fixture.control);
        assert_failed(&fixture, "QEMU does not answer its control connection");
        end(&fixture);
    }
}

static void signal_is_found_in_the_last_lines(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        int expected;
    } cases[] = {
        { "", 0 },
        { "qemu-system-x86_64: terminating on signal 15 from pid 1 (init)\n", 15 },
        { "warning\nqemu: terminating on signal 2\n", 2 },
        { "terminating on signal 64", 64 },
        { "terminating on signal 65", 0 },
        { "terminating on signal 0", 0 },
        { "terminating on signal -1", 0 },
        { "terminating on signal ", 0 },
        { "terminating on signal x", 0 },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_int_equal(vmm_backend_qemu.find_signal(cases[i].lines), cases[i].expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeting_leads_to_a_running_guest),
        cmocka_unit_test(guest_that_must_not_run_is_not_let_run),
        cmocka_unit_test(paused_guest_waits_for_its_resume),
        cmocka_unit_test(suspend_resume_and_power_button_are_asked_for),
        cmocka_unit_test(requests_before_the_guest_runs_wait_for_it),
        cmocka_unit_test(first_word_about_the_end_counts),
        cmocka_unit_test(what_is_no_message_fails_the_connection_once),
        cmocka_unit_test(closed_connection_is_told),
        cmocka_unit_test(line_is_taken_up_to_the_maximum),
        cmocka_unit_test(message_in_single_bytes_is_put_together),
        cmocka_unit_test(eight_commands_wait_for_their_answers_and_no_more),
        cmocka_unit_test(signal_is_found_in_the_last_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
