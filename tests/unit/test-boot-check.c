/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's part is done here, when a test says so. */
#include "virtualizationd/boot-check.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

#define WAITERS_MAX 3

/* The job that was begun last, and how many there were. */
static struct {
    DiskJobDone done;
    void *userdata;
    unsigned n_begun;
    bool fails;
} job;

int disk_job_verify_boot(
    Daemon *daemon, const BootFiles *files, DiskJobDone done, void *userdata, Error *error)
{
    (void)daemon;
    assert_true(files->vbmeta >= 0 && files->kernel >= 0 && files->initrd >= 0);
    if (job.fails)
        return error_set(error, ERROR_UNAVAILABLE, "no launcher");
    job.done = done;
    job.userdata = userdata;
    job.n_begun++;
    return 0;
}

static void end_job(ErrorKind kind)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    if (kind != ERROR_NONE)
        (void)error_set(&error, kind, "kernel: altered");
    job.done(job.userdata, &error);
}

typedef struct Fixture {
    Daemon daemon;
    BootFiles files;
    BootCheckWaiter waiters[WAITERS_MAX];
    unsigned n_passed, n_failed;
} Fixture;

static int setup(void **state)
{
    static Fixture fixture;

    fixture = (Fixture){ .files = { .vbmeta = memfd_create("vbmeta", MFD_CLOEXEC),
                                    .kernel = memfd_create("kernel", MFD_CLOEXEC),
                                    .initrd = memfd_create("initrd", MFD_CLOEXEC) } };
    job.n_begun = 0;
    job.fails = false;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    boot_check_forget_all(&fixture->daemon);
    assert_true(LIST_EMPTY(&fixture->daemon.boot_checks));
    (void)fd_close(fixture->files.vbmeta);
    (void)fd_close(fixture->files.kernel);
    (void)fd_close(fixture->files.initrd);
    return 0;
}

static void on_done(void *userdata, const Error *error)
{
    Fixture *fixture = userdata;

    if (error->kind == ERROR_NONE)
        fixture->n_passed++;
    else
        fixture->n_failed++;
}

static int begin(Fixture *fixture, size_t waiter)
{
    fixture->waiters[waiter] = (BootCheckWaiter){ .done = on_done, .userdata = fixture };
    return boot_check_begin(&fixture->daemon, &fixture->files, &fixture->waiters[waiter], NULL);
}

static void a_good_result_is_kept(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(begin(fixture, 0), 0);
    assert_non_null(fixture->waiters[0].check);
    end_job(ERROR_NONE);
    assert_int_equal(fixture->n_passed, 1);
    assert_null(fixture->waiters[0].check);
    assert_int_equal(begin(fixture, 0), 1);
    assert_null(fixture->waiters[0].check);
    assert_int_equal(job.n_begun, 1);
    fixture->files.initrd_kind = AVB_BOOT_INITRD_DEBUG; /* another question */
    assert_int_equal(begin(fixture, 0), 0);
    assert_int_equal(job.n_begun, 2);
    end_job(ERROR_NONE);
}

static void a_bad_result_is_not_kept(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(begin(fixture, 0), 0);
    end_job(ERROR_IMAGE_INVALID);
    assert_int_equal(fixture->n_failed, 1);
    assert_true(LIST_EMPTY(&fixture->daemon.boot_checks));
    assert_int_equal(begin(fixture, 0), 0);
    assert_int_equal(job.n_begun, 2);
    end_job(ERROR_NONE);
    assert_int_equal(fixture->n_passed, 1);
}

static void all_who_ask_meanwhile_wait_for_the_same(void **state)
{
    Fixture *fixture = *state;

    for (size_t i = 0; i < WAITERS_MAX; i++)
        assert_int_equal(begin(fixture, i), 0);
    assert_int_equal(job.n_begun, 1);
    boot_check_leave(&fixture->waiters[1]);
    boot_check_leave(&fixture->waiters[1]); /* it does not wait any more */
    end_job(ERROR_NONE);
    assert_int_equal(fixture->n_passed, WAITERS_MAX - 1);
}

static void nobody_need_wait_for_the_result(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(begin(fixture, 0), 0);
    boot_check_leave(&fixture->waiters[0]);
    end_job(ERROR_NONE);
    assert_int_equal(fixture->n_passed, 0);
    assert_int_equal(begin(fixture, 0), 1);
}

static void a_changed_file_is_checked_again(void **state)
{
    Fixture *fixture = *state;
    const int files[] = { fixture->files.vbmeta, fixture->files.kernel, fixture->files.initrd };

    assert_int_equal(begin(fixture, 0), 0);
    end_job(ERROR_NONE);
    for (unsigned i = 0; i < ELEMENTS_OF(files); i++) {
        /* Its size is as before; its time of change is the kernel's, of some milliseconds. */
        const struct timespec times[] = { { .tv_sec = 1 }, { .tv_sec = 1, .tv_nsec = 1 } };

        assert_int_equal(futimens(files[i], times), 0);
        assert_int_equal(begin(fixture, 0), 0);
        assert_int_equal(job.n_begun, 2 + 2 * i);
        end_job(ERROR_NONE);
        assert_int_equal(begin(fixture, 0), 1);
        assert_int_equal(ftruncate(files[i], 1), 0);
        assert_int_equal(begin(fixture, 0), 0);
        assert_int_equal(job.n_begun, 3 + 2 * i);
        end_job(ERROR_NONE);
    }
}

/* One that changes while it is read may have been good before. */
static void what_changes_meanwhile_is_checked_again(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(begin(fixture, 0), 0);
    assert_int_equal(ftruncate(fixture->files.kernel, 4096), 0);
    assert_int_equal(begin(fixture, 1), 0);
    assert_int_equal(job.n_begun, 2);
    end_job(ERROR_NONE);
    assert_int_equal(fixture->n_passed, 1);
    boot_check_leave(&fixture->waiters[0]);
}

static void results_are_kept_up_to_the_maximum(void **state)
{
    Fixture *fixture = *state;

    int kernels[BOOT_CHECKS_KEPT_MAX + 1];

    (void)fd_close(fixture->files.kernel);
    for (size_t i = 0; i < ELEMENTS_OF(kernels); i++) {
        fixture->files.kernel = kernels[i] = memfd_create("kernel", MFD_CLOEXEC);
        assert_int_equal(begin(fixture, 0), 0);
        end_job(ERROR_NONE);
    }
    for (size_t i = ELEMENTS_OF(kernels) - 1; i > 0; i--) {
        fixture->files.kernel = kernels[i];
        assert_int_equal(begin(fixture, 0), 1);
    }
    fixture->files.kernel = kernels[0]; /* the oldest had to go */
    assert_int_equal(begin(fixture, 0), 0);
    end_job(ERROR_NONE);
    fd_close_many(kernels + 1, BOOT_CHECKS_KEPT_MAX);
}

static void what_cannot_begin_leaves_nothing(void **state)
{
    Fixture *fixture = *state;

    job.fails = true;
    assert_int_equal(begin(fixture, 0), -error_kind_to_errno(ERROR_UNAVAILABLE));
    assert_null(fixture->waiters[0].check);
    assert_true(LIST_EMPTY(&fixture->daemon.boot_checks));
}

int main(void)
{
#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    static const struct CMUnitTest tests[] = {
        WITH_FILES(a_good_result_is_kept),
        WITH_FILES(a_bad_result_is_not_kept),
        WITH_FILES(all_who_ask_meanwhile_wait_for_the_same),
        WITH_FILES(nobody_need_wait_for_the_result),
        WITH_FILES(a_changed_file_is_checked_again),
        WITH_FILES(what_changes_meanwhile_is_checked_again),
        WITH_FILES(results_are_kept_up_to_the_maximum),
        WITH_FILES(what_cannot_begin_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
