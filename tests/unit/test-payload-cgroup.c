/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/fd.h"
#include "tests/helpers/test.h"

static void write_empty(const char *directory, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void expect_content(const char *directory, const char *name, const char *content)
{
    char path[128], text[64] = { 0 };

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    (void)close(fd);
    assert_string_equal(text, content);
    (void)unlink(path);
}

/* On files of the same names: which of them are written, and what. */
static void files_are_written(void **state)
{
    char root[] = "/tmp/test-payload-cgroup-XXXXXX", path[64];

    (void)state;
    assert_non_null(mkdtemp(root));
    (void)snprintf(path, sizeof(path), "%s/payload", root);
    assert_int_equal(mkdir(path, 0700), 0);
    write_empty(root, "cgroup.subtree_control");
    write_empty(path, "pids.max");
    write_empty(path, "cgroup.procs");
    write_empty(path, "cgroup.kill");

    assert_int_equal(payload_cgroup_make(root, path, NULL), 0);
    expect_content(root, "cgroup.subtree_control", "+pids");
    expect_content(path, "pids.max", "4096");
    assert_int_equal(payload_cgroup_join(path), 0);
    expect_content(path, "cgroup.procs", "0");
    assert_int_equal(payload_cgroup_kill(path), 0);
    expect_content(path, "cgroup.kill", "1");

    /* Now that they are gone: no pids controller, no cgroup. */
    assert_int_equal(payload_cgroup_make(root, path, NULL), 0);
    assert_int_equal(payload_cgroup_join(path), -ENOENT);
    (void)rmdir(path);
    (void)rmdir(root);
}

/* Makes a cgroup of the test's own in the hierarchy of this machine. Skips where that cannot be. */
static void make_root(char *root, size_t size)
{
    char link[32], mount_point[256];
    int fd = -EBADF;

    if (geteuid() != 0 || cgroup_open_root(&fd) < 0)
        skip();
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, mount_point, sizeof(mount_point) - 1);
    (void)close(fd);
    assert_true(length > 0);
    mount_point[length] = '\0';
    (void)snprintf(root, size, "%s/test-payload-%d", mount_point, getpid());
    if (mkdir(root, 0755) < 0)
        skip();
}

static void whole_family_is_killed(void **state)
{
    char root[300], path[320];
    int ready[2], status;
    char byte;

    (void)state;
    make_root(root, sizeof(root));
    (void)snprintf(path, sizeof(path), "%s/payload", root);
    assert_int_equal(payload_cgroup_make(root, path, NULL), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    /* The directory is busy until the last has been reaped, and so the test does that. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (payload_cgroup_join(path) < 0)
            _exit(1);
        /* One that leaves the session, and holds the pipe as long as it lives. */
        if (fork() == 0)
            (void)setsid();
        (void)!write(ready[1], "", 1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(payload_cgroup_kill(path), 0);
    assert_int_equal(read(ready[0], &byte, 1), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);

    (void)close(ready[0]);
    assert_true(wait(&status) > 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_written),
        cmocka_unit_test(whole_family_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
