/* SPDX-License-Identifier: Apache-2.0 */
/* The example examples/sealed-counter, as the launcher runs it, with a service whose instance and
 * storage the test changes under it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/payload-service.h"
#include "tests/helpers/test.h"

#define TIMEOUT_MSEC 20000
#define FILE_SIZE    40

typedef struct Instance {
    PayloadService *service;
    char directory[40], socket[64], count[64];
    uint8_t number; /* which instance it is: its secrets depend on it */
    bool is_new, has_storage, has_rollback_protection, has_rollback_secret, forgets;
    uint8_t rollback_secret[PAYLOAD_ROLLBACK_SECRET_SIZE];
} Instance;

/* No cryptography: the same for the same instance and identifier, and else another. */
static int derive_secret(void *userdata,
                         const uint8_t *identifier,
                         size_t identifier_size,
                         uint8_t *ret_secret,
                         size_t secret_size)
{
    const Instance *instance = userdata;

    for (size_t i = 0; i < secret_size; i++)
        ret_secret[i] = (uint8_t)(identifier[i % identifier_size] ^ instance->number);
    return 0;
}

static bool is_new_instance(void *userdata)
{
    return ((const Instance *)userdata)->is_new;
}

static const char *get_storage_path(void *userdata)
{
    const Instance *instance = userdata;
    return instance->has_storage ? instance->directory : NULL;
}

static int read_rollback_secret(void *userdata, uint8_t ret_secret[PAYLOAD_ROLLBACK_SECRET_SIZE])
{
    const Instance *instance = userdata;

    if (!instance->has_rollback_protection)
        return -EOPNOTSUPP;
    if (!instance->has_rollback_secret)
        return -ENOENT;
    memcpy(ret_secret, instance->rollback_secret, PAYLOAD_ROLLBACK_SECRET_SIZE);
    return 0;
}

static int write_rollback_secret(void *userdata, const uint8_t secret[PAYLOAD_ROLLBACK_SECRET_SIZE])
{
    Instance *instance = userdata;

    if (!instance->has_rollback_protection)
        return -EOPNOTSUPP;
    if (instance->forgets)
        return 0;
    memcpy(instance->rollback_secret, secret, PAYLOAD_ROLLBACK_SECRET_SIZE);
    instance->has_rollback_secret = true;
    return 0;
}

static int set_up(void **state)
{
    static const PayloadServiceCalls calls = { .derive_secret = derive_secret,
                                               .is_new_instance = is_new_instance,
                                               .get_storage_path = get_storage_path,
                                               .read_rollback_secret = read_rollback_secret,
                                               .write_rollback_secret = write_rollback_secret };
    Instance *instance = calloc(1, sizeof(*instance));

    if (!instance)
        return -1;
    *instance = (Instance){ .is_new = true, .has_storage = true, .has_rollback_protection = true };
    (void)snprintf(instance->directory, sizeof(instance->directory), "%s",
                   "/tmp/test-sealed-counter-XXXXXX");
    if (!mkdtemp(instance->directory))
        return -1;
    (void)snprintf(instance->socket, sizeof(instance->socket), "%s/service", instance->directory);
    (void)snprintf(instance->count, sizeof(instance->count), "%s/count", instance->directory);
    (void)setenv("VIRTUALIZATIOND_PAYLOAD_SERVICE", instance->socket, 1);
    (void)setenv("LD_LIBRARY_PATH", ".libs", 1);
    *state = instance;
    return payload_service_open(instance->socket, getuid(), &calls, instance, &instance->service);
}

static int tear_down(void **state)
{
    Instance *instance = *state;

    payload_service_free(instance->service);
    (void)unlink(instance->socket);
    (void)unlink(instance->count);
    int r = rmdir(instance->directory);
    free(instance);
    return r;
}

/* One run of the payload, which is to print this and end so. Afterwards the instance is new no
 * more. */
static void run(Instance *instance, const char *expected, int exit_code)
{
    struct pollfd entries[PAYLOAD_SERVICE_POLL_ENTRIES + 1];
    int output[2], status;
    char text[256];

    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(output[1], STDOUT_FILENO);
        (void)dup2(output[1], STDERR_FILENO);
        (void)execl("programs/payload-launcher", "payload-launcher",
                    "programs/payloads/libsealed-counter.so", NULL);
        _exit(127);
    }
    (void)close(output[1]);

    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(pidfd >= 0);
    entries[PAYLOAD_SERVICE_POLL_ENTRIES] = (struct pollfd){ .fd = pidfd, .events = POLLIN };
    do {
        payload_service_prepare_poll(instance->service, entries);
        assert_true(poll(entries, PAYLOAD_SERVICE_POLL_ENTRIES + 1, TIMEOUT_MSEC) > 0);
        payload_service_dispatch(instance->service, entries);
    } while (!entries[PAYLOAD_SERVICE_POLL_ENTRIES].revents);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ssize_t n = read(output[0], text, sizeof(text) - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    (void)close(output[0]);
    assert_string_equal(text, expected);
    assert_int_equal(status, W_EXITCODE(exit_code, 0));
    instance->is_new = false;
}

static void read_file(const Instance *instance, uint8_t bytes[FILE_SIZE])
{
    _cleanup_close_ int fd = open(instance->count, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, bytes, FILE_SIZE), FILE_SIZE);
}

static void write_file(const Instance *instance, const uint8_t bytes[FILE_SIZE])
{
    _cleanup_close_ int fd = open(instance->count, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, bytes, FILE_SIZE), 0);
}

static void runs_are_counted(void **state)
{
    run(*state, "This is run 1 of the instance\n", 0);
    run(*state, "This is run 2 of the instance\n", 0);
    run(*state, "This is run 3 of the instance\n", 0);
}

static void file_that_is_older_or_gone_is_noticed(void **state)
{
    Instance *instance = *state;
    uint8_t old[FILE_SIZE];

    run(instance, "This is run 1 of the instance\n", 0);
    read_file(instance, old);
    run(instance, "This is run 2 of the instance\n", 0);
    write_file(instance, old);
    run(instance, "The storage is not what this instance left there\n", 2);
    (void)unlink(instance->count);
    run(instance, "The storage is not what this instance left there\n", 2);
}

static void file_that_is_forged_is_noticed(void **state)
{
    Instance *instance = *state;
    uint8_t bytes[FILE_SIZE];

    run(instance, "This is run 1 of the instance\n", 0);
    read_file(instance, bytes);
    bytes[0]++;
    write_file(instance, bytes);
    run(instance, "The storage is not what this instance left there\n", 2);
}

static void run_that_ends_between_the_writes_is_counted(void **state)
{
    Instance *instance = *state;

    instance->forgets = true;
    run(instance, "This is run 1 of the instance\n", 0);
    instance->forgets = false;
    run(instance, "This is run 2 of the instance\n", 0);
    instance->forgets = true;
    run(instance, "This is run 3 of the instance\n", 0);
    instance->forgets = false;
    run(instance, "This is run 4 of the instance\n", 0);
}

static void new_instance_starts_again(void **state)
{
    Instance *instance = *state;

    run(instance, "This is run 1 of the instance\n", 0);
    run(instance, "This is run 2 of the instance\n", 0);
    instance->number = 1;
    instance->is_new = true;
    instance->has_rollback_secret = false;
    run(instance, "This is run 1 of the instance\n", 0);
    run(instance, "This is run 2 of the instance\n", 0);
}

static void machine_without_rollback_protection_will_do(void **state)
{
    Instance *instance = *state;

    instance->has_rollback_protection = false;
    run(instance, "This is run 1 of the instance\n", 0);
    run(instance,
        "This machine does not protect against rollback\n"
        "This is run 2 of the instance\n",
        0);
}

static void machine_without_storage_will_not(void **state)
{
    Instance *instance = *state;

    instance->has_storage = false;
    run(instance, "The VM has no encrypted storage\n", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_that_is_older_or_gone_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_that_is_forged_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(run_that_ends_between_the_writes_is_counted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(new_instance_starts_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(machine_without_rollback_protection_will_do, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(machine_without_storage_will_not, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
