/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/app-verification.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "guest/apk-verifier.h"
#include "guest/app-identity.h"

#define VERIFIER_PATH "/usr/lib/microguest/apk-verify"

static void keep_apk(InstanceApk *apk, const ApkIdentity *found)
{
    memcpy(apk->cert_hash, found->certificate_hash, sizeof(apk->cert_hash));
    memcpy(apk->package, found->package, sizeof(apk->package));
    apk->version = found->version;
}

static void keep_apex(InstanceApex *apex, const ApexIdentity *found)
{
    _Static_assert(sizeof(found->name) <= sizeof(apex->name), "any name fits");
    memcpy(apex->name, found->name, sizeof(found->name));
    memcpy(apex->public_key, found->public_key_hash, sizeof(apex->public_key));
    memcpy(apex->root_digest, found->root, sizeof(apex->root_digest));
    apex->version = found->version;
}

/* What is asked of the verifier, all of it in one run. */
typedef struct Questions {
    VerifierRequest requests[VERIFIER_REQUESTS_MAX]; /* their descriptors are owned */
    size_t indices[VERIFIER_REQUESTS_MAX];           /* among the APKs or the modules */
    size_t n;
} Questions;

static Questions *questions_free(Questions *questions)
{
    if (!questions)
        return NULL;
    for (size_t i = 0; i < questions->n; i++)
        (void)fd_close(questions->requests[i].fd);
    free(questions);
    return NULL;
}

DEFINE_CLEANUP(Questions, questions_free);

static int ask(Questions *questions,
               const char *path,
               const VerifierRequest *request,
               size_t index,
               Error *error)
{
    VerifierRequest *added = &questions->requests[questions->n];

    assert(questions->n < VERIFIER_REQUESTS_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot open %s", path);
    *added = *request;
    added->fd = fd;
    questions->indices[questions->n++] = index;
    return 0;
}

/* About the APKs that are not the recorded ones; of the others the record tells the rest. */
static int ask_of_apks(AppIdentity *identity,
                       const InstanceData *recorded,
                       Questions *questions,
                       Error *error)
{
    InstanceData *data = identity->data;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < data->n_apks; i++) {
        const ApkVerity *verity = &identity->apks[i];
        const VerifierRequest request = { .kind = VERDICT_APK,
                                          .idsig_header = verity->idsig_header,
                                          .idsig_header_size = verity->idsig_header_size };

        if (recorded && i < recorded->n_apks &&
            instance_apk_is_same(&recorded->apks[i], &data->apks[i]))
            data->apks[i] = recorded->apks[i];
        else
            r = ask(questions, verity->path, &request, i, error);
    }
    return r;
}

static int ask_of_apexes(const PartitionTable *partitions,
                         const AppIdentity *identity,
                         Questions *questions,
                         Error *error)
{
    const VerifierRequest request = { .kind = VERDICT_APEX };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < identity->data->n_apexes; i++) {
        char label[PAYLOAD_LABEL_SIZE];

        app_identity_get_apex_label(i, label);
        r = ask(questions, partition_table_find(partitions, label), &request, i, error);
    }
    return r;
}

static int take_verdict(AppIdentity *identity, size_t index, const Verdict *verdict, Error *error)
{
    InstanceData *data = identity->data;

    if (verdict->kind == VERDICT_APK) {
        keep_apk(&data->apks[index], &verdict->apk);
        return 0;
    }
    const char *name = identity->metadata->apexes[index].name;
    /* Which has a name only once. */
    if (strcmp(verdict->apex.name, name) != 0)
        return error_set(error, ERROR_IMAGE_INVALID,
                         "the module '%s' is named '%s' by the payload disk's metadata",
                         verdict->apex.name, name);
    identity->apexes[index] = verdict->apex;
    keep_apex(&data->apexes[index], &verdict->apex);
    return 0;
}

static int refuse(const AppIdentity *identity,
                  const VerifierRequest *request,
                  size_t index,
                  const char *reason,
                  Error *error)
{
    return request->kind == VERDICT_APK
               ? error_set(error, ERROR_IMAGE_INVALID, "APK %zu: %s", index, reason)
               : error_set(error, ERROR_IMAGE_INVALID, "the module '%s': %s",
                           identity->metadata->apexes[index].name, reason);
}

static int get_answers(AppIdentity *identity, const Questions *questions, Error *error)
{
    const VerifierOptions options = { .program = VERIFIER_PATH, .id = VERIFIER_UID };
    _cleanup_free_ Verdict *verdicts = calloc(questions->n, sizeof(*verdicts));

    if (!verdicts)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = apk_verifier_run(&options, questions->requests, questions->n, verdicts, error);
    for (size_t i = 0; r >= 0 && i < questions->n; i++) {
        size_t index = questions->indices[i];

        r = verdicts[i].kind == VERDICT_REFUSAL
                ? refuse(identity, &questions->requests[i], index, verdicts[i].reason, error)
                : take_verdict(identity, index, &verdicts[i], error);
    }
    return r;
}

int app_verification_run(const PartitionTable *partitions,
                         AppIdentity *identity,
                         const InstanceData *recorded,
                         Error *error)
{
    _cleanup_(questions_freep) Questions *questions = calloc(1, sizeof(*questions));

    if (!questions)
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    int r = ask_of_apks(identity, recorded, questions, error);
    if (r >= 0)
        r = ask_of_apexes(partitions, identity, questions, error);
    return r < 0 || questions->n == 0 ? r : get_answers(identity, questions, error);
}
