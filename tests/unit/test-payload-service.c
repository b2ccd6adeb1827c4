/* SPDX-License-Identifier: Apache-2.0 */
/* The service and libvmpayload with each other: the payload is a child process. */
#include "guest/payload-service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "guest/payload-library/vm_payload.h"
#include "tests/helpers/test.h"

#define TIMEOUT_MSEC 20000

typedef struct Instance {
    PayloadService *service;
    char directory[64], path[96];
    const char *storage_path;
    bool is_new, fails, has_rollback_secret;
    uint8_t rollback_secret[PAYLOAD_ROLLBACK_SECRET_SIZE];
    unsigned n_secrets;
} Instance;

static int derive_secret(void *userdata,
                         const uint8_t *identifier,
                         size_t identifier_size,
                         uint8_t *ret_secret,
                         size_t secret_size)
{
    Instance *instance = userdata;

    instance->n_secrets++;
    if (instance->fails)
        return -EIO;
    memset(ret_secret, identifier_size > 0 ? identifier[identifier_size - 1] : '-', secret_size);
    return 0;
}

static bool is_new_instance(void *userdata)
{
    return ((const Instance *)userdata)->is_new;
}

static const char *get_storage_path(void *userdata)
{
    return ((const Instance *)userdata)->storage_path;
}

static int read_rollback_secret(void *userdata, uint8_t ret_secret[PAYLOAD_ROLLBACK_SECRET_SIZE])
{
    const Instance *instance = userdata;

    if (instance->fails)
        return -EIO;
    if (!instance->has_rollback_secret)
        return -ENOENT;
    memcpy(ret_secret, instance->rollback_secret, PAYLOAD_ROLLBACK_SECRET_SIZE);
    return 0;
}

static int write_rollback_secret(void *userdata, const uint8_t secret[PAYLOAD_ROLLBACK_SECRET_SIZE])
{
    Instance *instance = userdata;

    if (instance->fails)
        return -EIO;
    memcpy(instance->rollback_secret, secret, PAYLOAD_ROLLBACK_SECRET_SIZE);
    instance->has_rollback_secret = true;
    return 0;
}

static const PayloadServiceCalls calls = { .derive_secret = derive_secret,
                                           .is_new_instance = is_new_instance,
                                           .get_storage_path = get_storage_path,
                                           .read_rollback_secret = read_rollback_secret,
                                           .write_rollback_secret = write_rollback_secret };

static void open_service(Instance *instance, uid_t uid)
{
    assert_int_equal(
        payload_service_open(instance->path, uid, &calls, instance, &instance->service), 0);
}

static int set_up(void **state)
{
    Instance *instance = calloc(1, sizeof(*instance));

    if (!instance)
        return -1;
    (void)snprintf(instance->directory, sizeof(instance->directory),
                   "/tmp/test-payload-service-XXXXXX");
    if (!mkdtemp(instance->directory))
        return -1;
    (void)snprintf(instance->path, sizeof(instance->path), "%s/service", instance->directory);
    (void)setenv("VIRTUALIZATIOND_PAYLOAD_SERVICE", instance->path, 1);
    *state = instance;
    return 0;
}

static int tear_down(void **state)
{
    Instance *instance = *state;

    payload_service_free(instance->service);
    (void)unlink(instance->path);
    (void)rmdir(instance->directory);
    free(instance);
    return 0;
}

/* Polls once, for whatever the service waits for, and for @also. Returns whether @also is ready. */
static bool iterate(PayloadService *service, int also)
{
    struct pollfd entries[PAYLOAD_SERVICE_POLL_ENTRIES + 1];

    payload_service_prepare_poll(service, entries);
    entries[PAYLOAD_SERVICE_POLL_ENTRIES] = (struct pollfd){ .fd = also, .events = POLLIN };
    assert_true(poll(entries, PAYLOAD_SERVICE_POLL_ENTRIES + 1, TIMEOUT_MSEC) > 0);
    payload_service_dispatch(service, entries);
    return entries[PAYLOAD_SERVICE_POLL_ENTRIES].revents != 0;
}

/* Runs @payload as a process that the service serves. Returns its wait status; what it prints to
 * standard error is in @ret_text. */
static int run_payload(Instance *instance, bool (*payload)(void), char *ret_text, size_t size)
{
    int text[2], status;

    assert_int_equal(pipe2(text, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(text[1], STDERR_FILENO);
        _exit(payload() ? 0 : 1);
    }
    (void)close(text[1]);

    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(pidfd >= 0);
    while (!iterate(instance->service, pidfd))
        continue;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ssize_t n = read(text[0], ret_text, size - 1);
    assert_true(n >= 0);
    ret_text[n] = '\0';
    (void)close(text[0]);
    return status;
}

static void expect_success(Instance *instance, bool (*payload)(void))
{
    char text[256];
    int status = run_payload(instance, payload, text, sizeof(text));

    assert_string_equal(text, "");
    assert_int_equal(status, 0);
}

static void expect_abort(Instance *instance, bool (*payload)(void), const char *message)
{
    char text[256];
    int status = run_payload(instance, payload, text, sizeof(text));

    assert_string_equal(text, message);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static bool get_secrets(void)
{
    uint8_t secret[33] = { 0 };
    char identifier[4096];

    AVmPayload_getVmInstanceSecret("ab", 2, secret, 32);
    if (secret[0] != 'b' || secret[31] != 'b' || secret[32] != 0)
        return false;
    AVmPayload_getVmInstanceSecret("", 0, secret, 1);
    if (secret[0] != '-' || secret[1] != 'b')
        return false;
    memset(identifier, 'x', sizeof(identifier));
    AVmPayload_getVmInstanceSecret(identifier, sizeof(identifier), secret, 2);
    if (secret[1] != 'x' || secret[2] != 'b')
        return false;
    AVmPayload_getVmInstanceSecret("a", 1, NULL, 0);
    return true;
}

static void secrets_are_derived(void **state)
{
    Instance *instance = *state;

    open_service(instance, getuid());
    expect_success(instance, get_secrets);
    assert_int_equal(instance->n_secrets, 4);
}

static bool get_secret_of_33_bytes(void)
{
    uint8_t secret[33];
    AVmPayload_getVmInstanceSecret("a", 1, secret, sizeof(secret));
    return true;
}

static bool get_secret_of_long_identifier(void)
{
    static const uint8_t identifier[4097];
    uint8_t secret[32];
    AVmPayload_getVmInstanceSecret(identifier, sizeof(identifier), secret, sizeof(secret));
    return true;
}

static void misuse_aborts(void **state)
{
    Instance *instance = *state;

    open_service(instance, getuid());
    expect_abort(instance, get_secret_of_33_bytes,
                 "libvmpayload: a secret has at most 32 bytes, not 33\n");
    expect_abort(instance, get_secret_of_long_identifier,
                 "libvmpayload: an identifier has at most 4096 bytes, not 4097\n");
    assert_int_equal(instance->n_secrets, 0);
}

static bool get_secret(void)
{
    uint8_t secret[32];
    AVmPayload_getVmInstanceSecret("a", 1, secret, sizeof(secret));
    return true;
}

static void service_that_fails_aborts(void **state)
{
    Instance *instance = *state;

    instance->fails = true;
    open_service(instance, getuid());
    expect_abort(instance, get_secret, "libvmpayload: there is no secret to get\n");
}

static void service_that_is_not_there_aborts(void **state)
{
    Instance *instance = *state;
    char message[256];

    open_service(instance, getuid());
    (void)unlink(instance->path);
    (void)snprintf(message, sizeof(message),
                   "libvmpayload: cannot connect to the service %s: No such file or directory\n",
                   instance->path);
    expect_abort(instance, get_secret, message);
}

static void other_users_are_hung_up_on(void **state)
{
    Instance *instance = *state;
    char text[256];

    open_service(instance, getuid());
    payload_service_free(instance->service);
    (void)unlink(instance->path);
    /* Root may give the socket to another user, and connect to it still. */
    if (geteuid() != 0)
        skip();
    open_service(instance, 6000);

    struct stat status;
    assert_int_equal(stat(instance->path, &status), 0);
    assert_int_equal(status.st_uid, 6000);
    assert_int_equal(status.st_mode & 07777, 0600);
    /* Hung up on either before it sends or after. */
    assert_true(WIFSIGNALED(run_payload(instance, get_secret, text, sizeof(text))));
    assert_non_null(strstr(text, "the service"));
    assert_int_equal(instance->n_secrets, 0);
}

static bool is_new(void)
{
    return AVmPayload_isNewInstance();
}

static bool is_old(void)
{
    return !AVmPayload_isNewInstance();
}

static void instance_is_new_or_not(void **state)
{
    Instance *instance = *state;

    open_service(instance, getuid());
    expect_success(instance, is_old);
    instance->is_new = true;
    expect_success(instance, is_new);
}

static bool has_no_storage(void)
{
    return !AVmPayload_getEncryptedStoragePath() &&
           strcmp(AVmPayload_getApkContentsPath(), "/mnt/apk") == 0;
}

static bool has_storage(void)
{
    const char *path = AVmPayload_getEncryptedStoragePath();
    return path && strcmp(path, "/mnt/encryptedstore") == 0 &&
           path == AVmPayload_getEncryptedStoragePath();
}

static void storage_is_there_or_not(void **state)
{
    Instance *instance = *state;

    open_service(instance, getuid());
    expect_success(instance, has_no_storage);
    instance->storage_path = "/mnt/encryptedstore";
    expect_success(instance, has_storage);
}

static bool write_then_read(void)
{
    uint8_t written[32] = { 1, [31] = 2 }, read_back[32] = { 0 };

    return AVmPayload_readRollbackProtectedSecret(read_back, 32) == -1 &&
           AVmPayload_writeRollbackProtectedSecret(written, 32) == 32 &&
           AVmPayload_readRollbackProtectedSecret(read_back, 32) == 32 &&
           memcmp(written, read_back, 32) == 0;
}

static bool use_other_sizes(void)
{
    uint8_t secret[33] = { 0 };

    return AVmPayload_readRollbackProtectedSecret(secret, 31) == -2 &&
           AVmPayload_readRollbackProtectedSecret(secret, 33) == -2 &&
           AVmPayload_writeRollbackProtectedSecret(secret, 31) == -2 &&
           AVmPayload_writeRollbackProtectedSecret(secret, 33) == -2;
}

static bool fail_to_access(void)
{
    uint8_t secret[32] = { 0 };

    return AVmPayload_readRollbackProtectedSecret(secret, 32) == -3 &&
           AVmPayload_writeRollbackProtectedSecret(secret, 32) == -3;
}

static void rollback_protected_secret_is_kept(void **state)
{
    Instance *instance = *state;

    open_service(instance, getuid());
    expect_success(instance, write_then_read);
    expect_success(instance, use_other_sizes);
    instance->fails = true;
    expect_success(instance, fail_to_access);
}

static int connect_raw(const Instance *instance)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", instance->path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void bad_request_ends_its_connection_only(void **state)
{
    Instance *instance = *state;
    char byte;

    open_service(instance, getuid());
    _cleanup_close_ int bad = connect_raw(instance);
    _cleanup_close_ int idle = connect_raw(instance);
    assert_int_equal(send(bad, "bad", 3, 0), 3);
    while (!iterate(instance->service, bad))
        continue;
    assert_int_equal(recv(bad, &byte, 1, 0), 0);
    assert_int_equal(recv(idle, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    expect_success(instance, get_secrets);
}

static void payload_that_does_not_read_is_hung_up_on(void **state)
{
    static const uint8_t request[] = { PAYLOAD_IS_NEW_INSTANCE, 0, 0, 0 };
    Instance *instance = *state;
    ssize_t n;

    open_service(instance, getuid());
    _cleanup_close_ int fd = connect_raw(instance);
    /* Neither the replies nor, in the end, the requests have room; the service goes on. */
    while ((n = send(fd, request, sizeof(request), MSG_NOSIGNAL)) > 0)
        (void)iterate(instance->service, -1);
    assert_true(errno == EPIPE || errno == ECONNRESET);
    expect_success(instance, get_secrets);
}

static void connections_beyond_the_limit_wait(void **state)
{
    static const uint8_t request[] = { PAYLOAD_IS_NEW_INSTANCE, 0, 0, 0 };
    Instance *instance = *state;
    struct pollfd entries[PAYLOAD_SERVICE_POLL_ENTRIES];
    int fds[PAYLOAD_SERVICE_CONNECTIONS_MAX + 1];
    char reply[16];

    open_service(instance, getuid());
    for (size_t i = 0; i < PAYLOAD_SERVICE_CONNECTIONS_MAX + 1; i++) {
        fds[i] = connect_raw(instance);
        assert_int_equal(send(fds[i], request, sizeof(request), 0), sizeof(request));
    }
    for (size_t i = 0; i < PAYLOAD_SERVICE_CONNECTIONS_MAX; i++) {
        while (recv(fds[i], reply, sizeof(reply), 0) < 0)
            (void)iterate(instance->service, -1);
    }
    payload_service_prepare_poll(instance->service, entries);
    assert_int_equal(poll(entries, PAYLOAD_SERVICE_POLL_ENTRIES, 0), 0);

    /* One that goes makes room. */
    (void)close(fds[3]);
    while (!iterate(instance->service, fds[PAYLOAD_SERVICE_CONNECTIONS_MAX]))
        continue;
    assert_int_equal(recv(fds[PAYLOAD_SERVICE_CONNECTIONS_MAX], reply, sizeof(reply), 0), 9);
    fds[3] = -EBADF;
    fd_close_many(fds, PAYLOAD_SERVICE_CONNECTIONS_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(secrets_are_derived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(misuse_aborts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(service_that_fails_aborts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(service_that_is_not_there_aborts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_users_are_hung_up_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(instance_is_new_or_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(storage_is_there_or_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rollback_protected_secret_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_request_ends_its_connection_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(payload_that_does_not_read_is_hung_up_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(connections_beyond_the_limit_wait, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
