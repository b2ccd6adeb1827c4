/* SPDX-License-Identifier: Apache-2.0 */
/* The service and its sessions, with commands of the host. */
#include "guest/exec-service.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "protocol/exec-message.h"
#include "tests/helpers/test.h"

#define ROUND_MSEC 10   /* a child that ends wakes nobody here */
#define ROUNDS_MAX 6000 /* a minute */

typedef struct Fixture {
    ExecService *service;
    struct sockaddr_un address;
    socklen_t address_size;
} Fixture;

/* What a client has been told. */
typedef struct Client {
    int fd;
    bool hung_up;
    uint8_t bytes[2 * EXEC_FRAME_SIZE_MAX];
    size_t size;
    char output[4096], errors[4096];
    size_t n_output; /* all bytes, more than are kept */
    uint64_t taken;
    ExecFrame last; /* EXITED or REFUSED; type 0: none yet */
    char refusal[EXEC_TEXT_MAX + 1];
} Client;

static bool anybody(const struct sockaddr_storage *peer, socklen_t size)
{
    (void)peer;
    (void)size;
    return true;
}

static void set_up(Fixture *fixture,
                   bool (*may_connect)(const struct sockaddr_storage *peer, socklen_t size))
{
    struct sockaddr_un any = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *fixture = (Fixture){ .address_size = sizeof(fixture->address) };
    assert_true(fd >= 0);
    /* An address of the kernel's choice. */
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&fixture->address, &fixture->address_size),
                     0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(exec_service_new(fd, may_connect, "/", &fixture->service), 0);
}

static void tear_down(Fixture *fixture)
{
    exec_service_free(fixture->service);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
}

static Client *dial(const Fixture *fixture)
{
    Client *client = calloc(1, sizeof(*client));

    assert_non_null(client);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(client->fd, (const struct sockaddr *)&fixture->address, fixture->address_size), 0);
    assert_int_equal(fd_set_nonblocking(client->fd, true), 0);
    return client;
}

static void hang_up(Client *client)
{
    (void)fd_close(client->fd);
    free(client);
}

static void put(const Client *client, const ExecFrame *frame)
{
    static uint8_t bytes[EXEC_FRAME_SIZE_MAX];

    int size = exec_frame_encode(frame, bytes, sizeof(bytes));
    assert_true(size > 0);
    assert_int_equal(send(client->fd, bytes, (size_t)size, MSG_NOSIGNAL), size);
}

static void request(const Client *client, const ExecRequest *command)
{
    static uint8_t body[EXEC_REQUEST_SIZE_MAX];

    int size = exec_request_encode(command, body);
    assert_true(size > 0);
    put(client, &(ExecFrame){ .type = EXEC_REQUEST, .bytes = body, .size = (size_t)size });
}

static void run_shell(const Client *client, const char *script)
{
    request(client, &(ExecRequest){ .n_arguments = 3, .arguments = { "sh", "-c", script } });
}

static void put_text(const Client *client, const char *text)
{
    put(client,
        &(ExecFrame){ .type = EXEC_STDIN, .bytes = (const uint8_t *)text, .size = strlen(text) });
}

static void keep(char *text, const ExecFrame *frame)
{
    size_t length = strlen(text);
    size_t room = sizeof(((Client *)NULL)->output) - 1 - length;

    memcpy(text + length, frame->bytes, frame->size < room ? frame->size : room);
}

static void take(Client *client, const ExecFrame *frame)
{
    assert_int_equal(client->last.type, 0); /* nothing comes behind it */
    if (frame->type == EXEC_STDOUT) {
        keep(client->output, frame);
        client->n_output += frame->size;
    } else if (frame->type == EXEC_STDERR) {
        keep(client->errors, frame);
    } else if (frame->type == EXEC_STDIN_TAKEN) {
        client->taken += frame->taken;
    } else {
        client->last = *frame;
        memcpy(client->refusal, frame->bytes, frame->size);
    }
}

static void listen_to_service(Client *client)
{
    ExecFrame frame;
    int size;

    ssize_t n = recv(client->fd, client->bytes + client->size, sizeof(client->bytes) - client->size,
                     MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        client->hung_up = true;
    if (n <= 0)
        return;
    client->size += (size_t)n;
    size_t start = 0;
    while ((size = exec_frame_decode(client->bytes + start, client->size - start, &frame)) > 0) {
        take(client, &frame);
        start += (size_t)size;
    }
    assert_int_equal(size, 0);
    client->size -= start;
    memmove(client->bytes, client->bytes + start, client->size);
}

/* One round of guest-manager's loop. */
static void iterate(const Fixture *fixture)
{
    struct pollfd entries[EXEC_SERVICE_POLL_ENTRIES];
    int status;
    pid_t pid;

    exec_service_prepare_poll(fixture->service, entries);
    assert_true(poll(entries, EXEC_SERVICE_POLL_ENTRIES, ROUND_MSEC) >= 0);
    exec_service_dispatch(fixture->service, entries);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        exec_service_take_exit(fixture->service, pid, status);
}

static bool is_over(const Client *client)
{
    return client->last.type != 0;
}

static bool is_hung_up(const Client *client)
{
    return client->hung_up;
}

static bool is_ready(const Client *client)
{
    return strstr(client->output, "ready") != NULL;
}

static void wait_until(const Fixture *fixture, Client *client, bool (*condition)(const Client *))
{
    for (int i = 0; !condition(client); i++) {
        assert_true(i < ROUNDS_MAX);
        iterate(fixture);
        listen_to_service(client);
    }
}

static void assert_exited(const Client *client, uint32_t code, uint32_t signal_number)
{
    assert_int_equal(client->last.type, EXEC_EXITED);
    assert_int_equal(client->last.exit_code, code);
    assert_int_equal(client->last.signal, signal_number);
}

static void commands_have_their_streams_and_status(void **state)
{
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    run_shell(client, "cat; echo error >&2; exit 3");
    put_text(client, "typed\n");
    put(client, &(ExecFrame){ .type = EXEC_STDIN_END });
    wait_until(&fixture, client, is_over);
    assert_exited(client, 3, 0);
    assert_string_equal(client->output, "typed\n");
    assert_string_equal(client->errors, "error\n");
    wait_until(&fixture, client, is_hung_up);
    hang_up(client);

    client = dial(&fixture);
    run_shell(client, "kill -9 $$");
    wait_until(&fixture, client, is_over);
    assert_exited(client, 0, SIGKILL);
    hang_up(client);
    tear_down(&fixture);
}

static void terminals_have_a_size_and_signals(void **state)
{
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    request(client, &(ExecRequest){ .terminals = EXEC_TERMINAL_STDIN | EXEC_TERMINAL_STDOUT,
                                    .window = { 11, 22 },
                                    .n_arguments = 3,
                                    .n_variables = 1,
                                    .arguments = { "sh", "-c",
                                                   "stty size; echo $TERM; echo apart >&2; "
                                                   "trap 'stty size' WINCH; trap 'exit 9' INT; "
                                                   "echo ready; while :; do sleep 0.01; done" },
                                    .variables = { "TERM=dumb" } });
    wait_until(&fixture, client, is_ready);
    assert_string_equal(client->output, "11 22\r\ndumb\r\nready\r\n");
    assert_string_equal(client->errors, "apart\n");
    put(client, &(ExecFrame){ .type = EXEC_WINDOW, .window = { 33, 44 } });
    while (!strstr(client->output, "33 44\r\n")) {
        iterate(&fixture);
        listen_to_service(client);
    }
    put_text(client, "\003"); /* the key */
    wait_until(&fixture, client, is_over);
    assert_exited(client, 9, 0);
    hang_up(client);
    tear_down(&fixture);
}

static void signals_get_past_input_that_nobody_takes(void **state)
{
    static const uint8_t zeros[EXEC_DATA_MAX];
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    run_shell(client, "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done");
    wait_until(&fixture, client, is_ready);
    for (size_t sent = 0; sent < EXEC_STDIN_WINDOW; sent += sizeof(zeros)) {
        put(client, &(ExecFrame){ .type = EXEC_STDIN, .bytes = zeros, .size = sizeof(zeros) });
        iterate(&fixture);
        listen_to_service(client);
    }
    assert_true(client->taken < EXEC_STDIN_WINDOW); /* what a pipe holds */
    put(client, &(ExecFrame){ .type = EXEC_SIGNAL, .signal = SIGTERM });
    wait_until(&fixture, client, is_over);
    assert_exited(client, 4, 0);
    hang_up(client);
    tear_down(&fixture);
}

static void input_that_nobody_reads_is_dropped(void **state)
{
    static const uint8_t zeros[EXEC_DATA_MAX];
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    run_shell(client, "exec 0<&-; echo ready; while :; do sleep 0.01; done");
    wait_until(&fixture, client, is_ready);
    for (size_t i = 0; i < 4; i++) {
        uint64_t before = client->taken;

        put(client, &(ExecFrame){ .type = EXEC_STDIN, .bytes = zeros, .size = sizeof(zeros) });
        while (client->taken == before) {
            iterate(&fixture);
            listen_to_service(client);
        }
    }
    hang_up(client);
    tear_down(&fixture);
}

static void programs_that_cannot_be_executed_are_named(void **state)
{
    static const struct {
        const char *name;
        ExecRefusal refusal;
        const char *text;
    } programs[] = {
        { "no-such-program", EXEC_REFUSAL_NOT_FOUND, "No such file" },
        { "/no/such/program", EXEC_REFUSAL_NOT_FOUND, "No such file" },
        { "/etc", EXEC_REFUSAL_NOT_EXECUTABLE, "Permission denied" },
        { "/etc/passwd", EXEC_REFUSAL_NOT_EXECUTABLE, "Permission denied" },
    };
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        Client *client = dial(&fixture);

        request(client, &(ExecRequest){ .n_arguments = 1, .arguments = { programs[i].name } });
        wait_until(&fixture, client, is_over);
        assert_int_equal(client->last.type, EXEC_REFUSED);
        assert_int_equal(client->last.refusal, programs[i].refusal);
        assert_non_null(strstr(client->refusal, programs[i].text));
        hang_up(client);
    }
    tear_down(&fixture);
}

static void one_too_many_is_refused(void **state)
{
    Client *clients[EXEC_SERVICE_SESSIONS_MAX];
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    for (size_t i = 0; i < EXEC_SERVICE_SESSIONS_MAX; i++) {
        clients[i] = dial(&fixture);
        run_shell(clients[i], "echo ready; read line");
        wait_until(&fixture, clients[i], is_ready);
    }
    Client *client = dial(&fixture);
    wait_until(&fixture, client, is_over);
    assert_int_equal(client->last.refusal, EXEC_REFUSAL_FAILED);
    wait_until(&fixture, client, is_hung_up);
    hang_up(client);
    /* One that goes makes room. */
    hang_up(clients[0]);
    iterate(&fixture);
    clients[0] = dial(&fixture);
    run_shell(clients[0], "echo ready; read line");
    wait_until(&fixture, clients[0], is_ready);
    for (size_t i = 0; i < EXEC_SERVICE_SESSIONS_MAX; i++)
        hang_up(clients[i]);
    tear_down(&fixture);
}

static bool is_alive(const char *pid_text)
{
    return kill((pid_t)strtol(pid_text, NULL, 10), 0) == 0;
}

static void commands_end_with_their_connection(void **state)
{
    Fixture fixture;
    char pid_text[32];

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    /* In a process group of its own, but the same session. */
    run_shell(client, "set -m; trap '' HUP; sleep 1000 & echo $!; echo ready; wait");
    wait_until(&fixture, client, is_ready);
    (void)snprintf(pid_text, sizeof(pid_text), "%.*s", (int)strcspn(client->output, "\n"),
                   client->output);
    assert_true(is_alive(pid_text));
    hang_up(client);
    for (int i = 0; is_alive(pid_text); i++) {
        assert_true(i < ROUNDS_MAX);
        iterate(&fixture);
    }
    tear_down(&fixture);
}

static void put_raw(const Client *client, const uint8_t *bytes, size_t size)
{
    assert_int_equal(send(client->fd, bytes, size, MSG_NOSIGNAL), size);
}

static void clients_that_break_the_rules_are_hung_up_on(void **state)
{
    static const uint8_t zeros[EXEC_DATA_MAX];
    static const uint8_t bad[] = { 99, 0, 0, 0, 0, 0, 0, 0 };
    static const ExecFrame early = { .type = EXEC_STDIN_END }, theirs = { .type = EXEC_EXITED };
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    put_raw(client, bad, sizeof(bad));
    wait_until(&fixture, client, is_hung_up);
    hang_up(client);

    client = dial(&fixture);
    put(client, &early);
    wait_until(&fixture, client, is_hung_up);
    hang_up(client);

    client = dial(&fixture);
    run_shell(client, "echo ready; sleep 1000");
    wait_until(&fixture, client, is_ready);
    put(client, &theirs);
    wait_until(&fixture, client, is_hung_up);
    assert_int_equal(client->last.type, 0);
    hang_up(client);

    /* More than the window, and what a pipe takes of it. */
    client = dial(&fixture);
    run_shell(client, "echo ready; sleep 1000");
    wait_until(&fixture, client, is_ready);
    for (size_t i = 0; i < 16 && !client->hung_up; i++) {
        ExecFrame frame = { .type = EXEC_STDIN, .bytes = zeros, .size = sizeof(zeros) };
        static uint8_t bytes[EXEC_FRAME_SIZE_MAX];
        int size = exec_frame_encode(&frame, bytes, sizeof(bytes));

        (void)send(client->fd, bytes, (size_t)size, MSG_NOSIGNAL);
        iterate(&fixture);
        listen_to_service(client);
    }
    assert_true(client->hung_up);
    hang_up(client);
    tear_down(&fixture);
}

static void other_versions_are_told(void **state)
{
    static uint8_t body[EXEC_REQUEST_SIZE_MAX];
    const ExecRequest command = { .n_arguments = 1, .arguments = { "true" } };
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    int size = exec_request_encode(&command, body);
    body[0]++;
    put(client, &(ExecFrame){ .type = EXEC_REQUEST, .bytes = body, .size = (size_t)size });
    wait_until(&fixture, client, is_over);
    assert_non_null(strstr(client->refusal, "version"));
    hang_up(client);
    tear_down(&fixture);
}

static void output_waits_for_its_reader(void **state)
{
    Fixture fixture;

    (void)state;
    set_up(&fixture, anybody);
    Client *client = dial(&fixture);
    run_shell(client, "head -c 8000000 /dev/zero; echo end >&2");
    for (int i = 0; i < 20; i++) /* it fills what there is to be filled */
        iterate(&fixture);
    wait_until(&fixture, client, is_over);
    assert_exited(client, 0, 0);
    assert_int_equal(client->n_output, 8000000);
    assert_string_equal(client->errors, "end\n");
    hang_up(client);
    tear_down(&fixture);
}

static void only_the_host_is_let_in(void **state)
{
    static const struct {
        unsigned cid;
        bool is_host;
    } peers[] = { { VMADDR_CID_HOST, true },
                  { VMADDR_CID_LOCAL, false },
                  { 3, false },
                  { VMADDR_CID_HYPERVISOR, false },
                  { VMADDR_CID_ANY, false } };
    struct sockaddr_storage storage = { .ss_family = AF_UNIX };
    Fixture fixture;

    (void)state;
    assert_false(exec_service_peer_is_host(&storage, sizeof(struct sockaddr_un)));
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = peers[i].cid };

        memcpy(&storage, &address, sizeof(address));
        assert_int_equal(exec_service_peer_is_host(&storage, sizeof(address)), peers[i].is_host);
        assert_false(exec_service_peer_is_host(&storage, 4));
    }

    set_up(&fixture, exec_service_peer_is_host); /* which nobody is, over this family */
    Client *client = dial(&fixture);
    run_shell(client, "echo ready");
    wait_until(&fixture, client, is_hung_up);
    assert_string_equal(client->output, "");
    hang_up(client);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_have_their_streams_and_status),
        cmocka_unit_test(terminals_have_a_size_and_signals),
        cmocka_unit_test(signals_get_past_input_that_nobody_takes),
        cmocka_unit_test(input_that_nobody_reads_is_dropped),
        cmocka_unit_test(programs_that_cannot_be_executed_are_named),
        cmocka_unit_test(one_too_many_is_refused),
        cmocka_unit_test(commands_end_with_their_connection),
        cmocka_unit_test(clients_that_break_the_rules_are_hung_up_on),
        cmocka_unit_test(other_versions_are_told),
        cmocka_unit_test(output_waits_for_its_reader),
        cmocka_unit_test(only_the_host_is_let_in),
    };

    /* As the first process of a guest, which such a signal does not end. */
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
