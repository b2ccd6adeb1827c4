/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/apk-verifier.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "guest/helper-process.h"

#define WORD_SIZE 40 /* "--apk=FD:FD" and such */

/* All that the child needs, made before the fork. */
typedef struct Plan {
    char words[2 + VERIFIER_REQUESTS_MAX][WORD_SIZE];
    char *arguments[2 + VERIFIER_REQUESTS_MAX + 1];
    size_t n_words;
    int header_fds[VERIFIER_REQUESTS_MAX]; /* owned */
    size_t n_headers;
    int fds[1 + 2 * VERIFIER_REQUESTS_MAX]; /* what the program gets, lent */
    size_t n_fds;
} Plan;

static Plan *plan_free(Plan *plan)
{
    if (!plan)
        return NULL;
    fd_close_many(plan->header_fds, plan->n_headers);
    free(plan);
    return NULL;
}

DEFINE_CLEANUP(Plan, plan_free);

static void add_word(Plan *plan, const char *option, int fd, int other_fd)
{
    char *word = plan->words[plan->n_words];

    assert(plan->n_words < ELEMENTS_OF(plan->words));
    int size = other_fd < 0 ? snprintf(word, WORD_SIZE, "%s=%d", option, fd)
                            : snprintf(word, WORD_SIZE, "%s=%d:%d", option, fd, other_fd);
    assert(size > 0 && size < WORD_SIZE);
    plan->arguments[plan->n_words++] = word;
    plan->fds[plan->n_fds++] = fd;
    if (other_fd >= 0)
        plan->fds[plan->n_fds++] = other_fd;
}

static int add_apk(Plan *plan, const VerifierRequest *request, Error *error)
{
    int *header_fd = &plan->header_fds[plan->n_headers];

    int r = memfd_new_sealed("idsig", request->idsig_header, request->idsig_header_size, header_fd);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot pass an idsig on");
    plan->n_headers++;
    add_word(plan, "--apk", request->fd, *header_fd);
    return 0;
}

static int make_plan(const VerifierOptions *options,
                     const VerifierRequest *requests,
                     size_t n_requests,
                     int result_fd,
                     Plan **ret_plan,
                     Error *error)
{
    _cleanup_(plan_freep) Plan *plan = calloc(1, sizeof(*plan));

    if (!plan)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    plan->arguments[plan->n_words++] = (char *)(uintptr_t)options->program; /* execve's const */
    add_word(plan, "--result-fd", result_fd, -EBADF);
    for (size_t i = 0; i < n_requests; i++) {
        if (requests[i].kind == VERDICT_APK) {
            int r = add_apk(plan, &requests[i], error);
            if (r < 0)
                return r;
        } else {
            add_word(plan, "--apex", requests[i].fd, -EBADF);
        }
    }
    *ret_plan = TAKE_PTR(plan);
    return 0;
}

static int check_end(pid_t pid, Error *error)
{
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_set_errno(error, ERROR_FAILED, errno, "cannot wait for apk-verify");
    }
    if (WIFSIGNALED(status))
        return error_set(error, ERROR_FAILED, "apk-verify was killed by signal %d",
                         WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return error_set(error, ERROR_FAILED, "apk-verify ended with status %d",
                         WEXITSTATUS(status));
    return 0;
}

static int decode_all(ByteReader reader,
                      const VerifierRequest *requests,
                      size_t n_requests,
                      Verdict *ret_verdicts,
                      Error *error)
{
    for (size_t i = 0; i < n_requests; i++) {
        if (verdict_decode(&reader, &ret_verdicts[i]) < 0 ||
            (ret_verdicts[i].kind != requests[i].kind && ret_verdicts[i].kind != VERDICT_REFUSAL))
            return error_set(error, ERROR_FAILED, "apk-verify says nothing that is a verdict");
    }
    if (reader.size > 0)
        return error_set(error, ERROR_FAILED, "apk-verify says more than was asked");
    return 0;
}

int apk_verifier_run(const VerifierOptions *options,
                     const VerifierRequest *requests,
                     size_t n_requests,
                     Verdict *ret_verdicts,
                     Error *error)
{
    size_t capacity = n_requests * VERDICT_SIZE_MAX + 1, size = 0; /* one too many shows */
    _cleanup_free_ uint8_t *bytes = malloc(capacity);
    _cleanup_(plan_freep) Plan *plan = NULL;
    pid_t pid;
    int ends[2];

    assert(n_requests <= VERIFIER_REQUESTS_MAX);
    if (!bytes)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot make a pipe");
    _cleanup_close_ int reader = ends[0], writer = ends[1];
    int r = make_plan(options, requests, n_requests, writer, &plan, error);
    if (r < 0)
        return r;

    r = helper_spawn(&(HelperOptions){ .arguments = plan->arguments,
                                       .uid = options->id,
                                       .fds = plan->fds,
                                       .n_fds = plan->n_fds },
                     &pid);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot start apk-verify");
    writer = fd_close(writer);
    r = fd_read_all(reader, bytes, capacity, &size);
    reader = fd_close(reader); /* one that says too much gets SIGPIPE */
    int end = check_end(pid, error);
    if (end < 0)
        return end;
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read what apk-verify says");
    return decode_all(byte_reader(bytes, size), requests, n_requests, ret_verdicts, error);
}
