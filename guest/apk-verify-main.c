/* SPDX-License-Identifier: Apache-2.0 */
/* Verifies APKs and APEXes for guest-manager, which trusts nothing in them and so has somebody else
 * parse them: a process without privilege, which says on a pipe what it has found. Its files are
 * open when it starts; before it looks into the first it puts on its seccomp policy. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/fd.h"
#include "common/program-path.h"
#include "common/seccomp-policy.h"
#include "common/text.h"
#include "composite-disk/idsig.h"
#include "guest/apex-identity.h"
#include "guest/apk-identity.h"
#include "guest/apk-verifier.h"
#include "guest/verdict.h"

#define ROLE "apk-verify"

typedef struct Request {
    VerdictKind kind;  /* of the answer, if it is none of refusal */
    int fd, header_fd; /* of an APK both */
} Request;

typedef struct Arguments {
    int result_fd;
    Request requests[VERIFIER_REQUESTS_MAX];
    size_t n_requests;
} Arguments;

static int usage(void)
{
    (void)fprintf(stderr, "Usage: apk-verify --result-fd=FD [--apk=FD:HEADER-FD | --apex=FD]...\n");
    return -EINVAL;
}

static int parse_fd(const char *text, int *ret_fd)
{
    uint64_t number;

    int r = text_parse_u64(text, INT_MAX, &number);
    if (r < 0)
        return r;
    *ret_fd = (int)number;
    return 0;
}

/* @text is taken apart. */
static int parse_apk(char *text, Request *ret_request)
{
    char *colon = strchr(text, ':');

    if (!colon)
        return -EINVAL;
    *colon = '\0';
    ret_request->kind = VERDICT_APK;
    int r = parse_fd(text, &ret_request->fd);
    return r < 0 ? r : parse_fd(colon + 1, &ret_request->header_fd);
}

static int parse_apex(const char *text, Request *ret_request)
{
    ret_request->kind = VERDICT_APEX;
    return parse_fd(text, &ret_request->fd);
}

static int parse(int argc, char **argv, Arguments *arguments)
{
    static const struct option options[] = {
        { "result-fd", required_argument, NULL, 'r' },
        { "apk", required_argument, NULL, 'a' },
        { "apex", required_argument, NULL, 'e' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    arguments->result_fd = -EBADF;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        int r = -EINVAL;

        if (option == 'r')
            r = parse_fd(optarg, &arguments->result_fd);
        else if (option == 'a' && arguments->n_requests < VERIFIER_REQUESTS_MAX)
            r = parse_apk(optarg, &arguments->requests[arguments->n_requests++]);
        else if (option == 'e' && arguments->n_requests < VERIFIER_REQUESTS_MAX)
            r = parse_apex(optarg, &arguments->requests[arguments->n_requests++]);
        if (r < 0)
            return usage();
    }
    return optind < argc || arguments->result_fd < 0 ? usage() : 0;
}

/* libcrypto reads its configuration and makes its tables when it is first used, which the policy
 * would not let it do. */
static int prepare_libcrypto(Error *error)
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
        EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL) != 1)
        return error_set(error, ERROR_FAILED, "cannot use libcrypto");
    return 0;
}

/* The policies are beside the program, as they are in the build tree. */
static int enter_sandbox(Error *error)
{
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL;
    _cleanup_free_ char *path = NULL;

    int r = program_dup_sibling_path("seccomp", &path);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot find the seccomp policies");
    _cleanup_close_ int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", path);
    r = seccomp_policy_load(directory, ROLE, &policy, error);
    if (r < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot forbid new privileges");
    r = seccomp_policy_apply(policy, NULL);
    return r < 0 ? error_set_errno(error, ERROR_FAILED, r, "cannot put on the seccomp policy") : 0;
}

static int verify_apk(const Request *request, ApkIdentity *ret_identity, Error *error)
{
    _cleanup_free_ uint8_t *header = NULL;
    ByteSource apk, source;

    int r = byte_source_from_fd(request->fd, "APK", &apk, error);
    if (r >= 0)
        r = byte_source_from_fd(request->header_fd, "idsig", &source, error);
    if (r < 0)
        return r;
    r = byte_source_read_all(&source, IDSIG_HEADER_MAX, &header);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read the idsig");
    return apk_identity_verify(&apk, byte_reader(header, (size_t)source.size), ret_identity, error);
}

static int verify_apex(const Request *request, ApexIdentity *ret_identity, Error *error)
{
    ByteSource apex;

    int r = byte_source_from_fd(request->fd, "APEX", &apex, error);
    return r < 0 ? r : apex_identity_verify(&apex, ret_identity, error);
}

static void answer(const Request *request, Verdict *ret_verdict)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;

    ret_verdict->kind = request->kind;
    int r = request->kind == VERDICT_APK ? verify_apk(request, &ret_verdict->apk, &error)
                                         : verify_apex(request, &ret_verdict->apex, &error);
    if (r >= 0)
        return;
    ret_verdict->kind = VERDICT_REFUSAL;
    (void)snprintf(ret_verdict->reason, sizeof(ret_verdict->reason), "%s",
                   error_get_message(&error));
}

static int run(const Arguments *arguments, Error *error)
{
    for (size_t i = 0; i < arguments->n_requests; i++) {
        uint8_t bytes[VERDICT_SIZE_MAX];
        ByteWriter writer = byte_writer(bytes, sizeof(bytes));
        Verdict verdict = { 0 };

        answer(&arguments->requests[i], &verdict);
        verdict_encode(&verdict, &writer);
        int r = byte_writer_finish(&writer);
        assert(r == 0);
        r = fd_write_all(arguments->result_fd, bytes, writer.size);
        if (r < 0)
            return error_set_errno(error, ERROR_FAILED, r, "cannot answer");
    }
    return 0;
}

int main(int argc, char **argv)
{
    Arguments arguments = { 0 };
    Error error = ERROR_INIT;

    fd_occupy_standard();
    if (parse(argc, argv, &arguments) < 0)
        return 2;
    int r = prepare_libcrypto(&error);
    if (r >= 0)
        r = enter_sandbox(&error);
    if (r >= 0)
        r = run(&arguments, &error);
    if (r < 0)
        (void)fprintf(stderr, ROLE ": %s\n", error_get_message(&error));
    error_clear(&error);
    return r < 0 ? 1 : 0;
}
