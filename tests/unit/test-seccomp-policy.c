/* SPDX-License-Identifier: Apache-2.0 */
#include "common/seccomp-policy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/helpers/test.h"

/* A file of @n_instructions "allow" and as many start-up rules as are asked for. */
typedef struct File {
    SeccompPolicyHeader header;
    struct sock_filter code[SECCOMP_POLICY_INSTRUCTIONS_MAX + 1];
    SeccompStartupRule rules[SECCOMP_POLICY_RULES_MAX + 1];
} File;

static File *make_file(uint32_t n_instructions, uint32_t n_rules)
{
    File *file = calloc(1, sizeof(*file));
    assert_non_null(file);
    memcpy(file->header.magic, SECCOMP_POLICY_MAGIC, SECCOMP_POLICY_MAGIC_SIZE);
    file->header.architecture = seccomp_policy_native_architecture();
    file->header.flags = SECCOMP_POLICY_LISTENER;
    file->header.n_instructions = n_instructions;
    file->header.n_startup_rules = n_rules;
    for (size_t i = 0; i <= SECCOMP_POLICY_INSTRUCTIONS_MAX; i++)
        file->code[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return file;
}

/* The bytes that @file is on disk. */
static size_t pack(const File *file, uint8_t *bytes)
{
    size_t code_size = file->header.n_instructions * sizeof(file->code[0]);
    size_t rules_size = file->header.n_startup_rules * sizeof(file->rules[0]);

    memcpy(bytes, &file->header, sizeof(file->header));
    memcpy(bytes + sizeof(file->header), file->code, code_size);
    memcpy(bytes + sizeof(file->header) + code_size, file->rules, rules_size);
    return sizeof(file->header) + code_size + rules_size;
}

static int decode(const File *file, SeccompPolicy **ret_policy)
{
    static uint8_t bytes[sizeof(File)];

    return seccomp_policy_decode(bytes, pack(file, bytes), ret_policy);
}

static int decode_and_free(const File *file)
{
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL;

    return decode(file, &policy);
}

static void files_are_taken_up_to_each_maximum(void **state)
{
    (void)state;
    _cleanup_free_ File *file =
        make_file(SECCOMP_POLICY_INSTRUCTIONS_MAX, SECCOMP_POLICY_RULES_MAX);

    assert_int_equal(decode_and_free(file), 0);
    file->header.n_instructions++;
    assert_int_equal(decode_and_free(file), -E2BIG);
    file->header.n_instructions = 1;
    file->header.n_startup_rules++;
    assert_int_equal(decode_and_free(file), -E2BIG);
    file->header.n_startup_rules = 0;
    assert_int_equal(decode_and_free(file), 0);
    file->header.n_instructions = 0;
    assert_int_equal(decode_and_free(file), -EBADMSG);
}

static void file_cut_off_anywhere_is_refused(void **state)
{
    (void)state;
    _cleanup_free_ File *file = make_file(2, 1);
    uint8_t bytes[256];

    size_t size = pack(file, bytes);
    for (size_t i = 0; i < size; i++) {
        SeccompPolicy *policy = NULL;
        _cleanup_free_ uint8_t *cut = malloc(i + 1); /* for the address sanitizer */

        memcpy(cut, bytes, i);
        assert_int_equal(seccomp_policy_decode(cut, i, &policy), -EBADMSG);
    }
}

static void file_with_more_behind_it_is_refused(void **state)
{
    (void)state;
    _cleanup_free_ File *file = make_file(2, 1);
    SeccompPolicy *policy = NULL;
    uint8_t bytes[256] = { 0 };

    assert_int_equal(seccomp_policy_decode(bytes, pack(file, bytes) + 1, &policy), -EBADMSG);
}

static void header_of_another_kind_is_refused(void **state)
{
    (void)state;
    _cleanup_free_ File *file = make_file(1, 0);

    file->header.magic[7]++;
    assert_int_equal(decode_and_free(file), -EBADMSG);
    file->header.magic[7]--;
    file->header.architecture ^= 1;
    assert_int_equal(decode_and_free(file), -ENOTSUP);
    file->header.architecture ^= 1;
    file->header.flags |= 2;
    assert_int_equal(decode_and_free(file), -EBADMSG);
    file->header.flags = 0;
    assert_int_equal(decode_and_free(file), 0);
    file->header.n_startup_rules = 1; /* and nobody listens */
    assert_int_equal(decode_and_free(file), -EBADMSG);
}

static void startup_rule_out_of_range_is_refused(void **state)
{
    (void)state;
    _cleanup_free_ File *file = make_file(1, 1);
    SeccompStartupRule *rule = &file->rules[0];

    rule->n_conditions = SECCOMP_POLICY_CONDITIONS_MAX;
    rule->conditions[3].argument = SECCOMP_POLICY_ARGUMENTS - 1;
    rule->conditions[3].operation = SECCOMP_OPERATION_MAX - 1;
    assert_int_equal(decode_and_free(file), 0);
    rule->conditions[3].argument++;
    assert_int_equal(decode_and_free(file), -EBADMSG);
    rule->conditions[3].argument = 0;
    rule->conditions[3].operation++;
    assert_int_equal(decode_and_free(file), -EBADMSG);
    rule->conditions[3].operation = 0;
    rule->n_conditions++;
    assert_int_equal(decode_and_free(file), -EBADMSG);
    rule->n_conditions = 0;
    rule->number = UINT32_C(1) << 31;
    assert_int_equal(decode_and_free(file), -EBADMSG);
}

static bool is_startup_call(SeccompOperation operation,
                            uint64_t mask,
                            uint64_t value,
                            uint64_t argument)
{
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL;
    _cleanup_free_ File *file = make_file(1, 1);
    const struct seccomp_data call = { .nr = 9,
                                       .arch = seccomp_policy_native_architecture(),
                                       .args = { [5] = argument } };

    file->rules[0] =
        (SeccompStartupRule){ .number = 9, .n_conditions = 1, .conditions = { { .argument = 5 } } };
    file->rules[0].conditions[0].operation = operation;
    file->rules[0].conditions[0].mask = mask;
    file->rules[0].conditions[0].value = value;
    assert_int_equal(decode(file, &policy), 0);
    return seccomp_policy_is_startup_call(policy, &call);
}

static void every_operation_compares_64_bits_without_sign(void **state)
{
    (void)state;
    const uint64_t middle = UINT64_C(0x8000000000000000);
    const struct {
        SeccompOperation operation;
        bool below, same, above;
    } cases[] = {
        { SECCOMP_EQ, false, true, false }, { SECCOMP_NE, true, false, true },
        { SECCOMP_LT, true, false, false }, { SECCOMP_LE, true, true, false },
        { SECCOMP_GE, false, true, true },  { SECCOMP_GT, false, false, true },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        SeccompOperation operation = cases[i].operation;

        assert_int_equal(is_startup_call(operation, UINT64_MAX, middle, middle - 1),
                         cases[i].below);
        assert_int_equal(is_startup_call(operation, UINT64_MAX, middle, middle), cases[i].same);
        assert_int_equal(is_startup_call(operation, UINT64_MAX, middle, middle + 1),
                         cases[i].above);
    }
    assert_false(is_startup_call(SECCOMP_EQ, UINT64_MAX, 1, UINT64_C(0x100000001)));
}

static void mask_leaves_out_the_other_bits(void **state)
{
    (void)state;

    assert_true(is_startup_call(SECCOMP_MASKED_EQ, 6, 4, 4));
    assert_true(is_startup_call(SECCOMP_MASKED_EQ, 6, 4, UINT64_MAX - 2));
    assert_false(is_startup_call(SECCOMP_MASKED_EQ, 6, 4, 6));
    assert_false(is_startup_call(SECCOMP_MASKED_EQ, 6, 4, 0));
}

static void startup_rule_needs_all_its_conditions_and_any_rule_will_do(void **state)
{
    (void)state;
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL;
    _cleanup_free_ File *file = make_file(1, 2);
    struct seccomp_data call = { .nr = 9, .arch = seccomp_policy_native_architecture() };

    file->rules[0] = (SeccompStartupRule){ .number = 9, .n_conditions = 2 };
    file->rules[0].conditions[0] = (SeccompCondition){ 0, SECCOMP_EQ, UINT64_MAX, 1 };
    file->rules[0].conditions[1] = (SeccompCondition){ 1, SECCOMP_EQ, UINT64_MAX, 2 };
    file->rules[1] = (SeccompStartupRule){ .number = 9, .n_conditions = 1 };
    file->rules[1].conditions[0] = (SeccompCondition){ 0, SECCOMP_EQ, UINT64_MAX, 7 };
    assert_int_equal(decode(file, &policy), 0);
    assert_true(seccomp_policy_needs_listener(policy));

    call.args[0] = 1;
    assert_false(seccomp_policy_is_startup_call(policy, &call));
    call.args[1] = 2;
    assert_true(seccomp_policy_is_startup_call(policy, &call));
    call.args[0] = 7;
    assert_true(seccomp_policy_is_startup_call(policy, &call));
    call.nr = 10;
    assert_false(seccomp_policy_is_startup_call(policy, &call));
    call.nr = -1;
    assert_false(seccomp_policy_is_startup_call(policy, &call));
    call.nr = 9;
    call.arch ^= 1;
    assert_false(seccomp_policy_is_startup_call(policy, &call));
}

/* --- files --- */

typedef struct Directory {
    char path[64];
    int fd;
} Directory;

static Directory make_directory(void)
{
    Directory directory = { .path = "/tmp/test-seccomp-policy-XXXXXX" };

    assert_non_null(mkdtemp(directory.path));
    directory.fd = open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory.fd >= 0);
    return directory;
}

static void remove_directory(Directory *directory)
{
    (void)unlinkat(directory->fd, "role.policy", 0);
    (void)unlinkat(directory->fd, "other", 0);
    (void)fd_close(directory->fd);
    (void)rmdir(directory->path);
}

static void write_role(const Directory *directory, const File *file, mode_t mode, size_t surplus)
{
    static uint8_t bytes[sizeof(File) + 1];
    _cleanup_close_ int fd =
        openat(directory->fd, "role.policy", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, pack(file, bytes) + surplus), 0);
    assert_int_equal(fchmod(fd, mode), 0);
}

static int load(const Directory *directory, Error *error)
{
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL;

    return seccomp_policy_load(directory->fd, "role", &policy, error);
}

static void file_that_only_its_owner_may_write_is_loaded(void **state)
{
    (void)state;
    _cleanup_(remove_directory) Directory directory = make_directory();
    _cleanup_free_ File *file =
        make_file(SECCOMP_POLICY_INSTRUCTIONS_MAX, SECCOMP_POLICY_RULES_MAX);

    write_role(&directory, file, 0644, 0);
    assert_int_equal(load(&directory, NULL), 0);
    write_role(&directory, file, 0644, 1);
    assert_int_equal(load(&directory, NULL), -E2BIG);
}

static void file_that_others_may_write_is_refused(void **state)
{
    (void)state;
    _cleanup_(remove_directory) Directory directory = make_directory();
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_free_ File *file = make_file(1, 0);

    write_role(&directory, file, 0664, 0);
    assert_true(load(&directory, &error) < 0);
    assert_string_equal(error_get_message(&error),
                        "others than its owner may write the seccomp policy 'role'");
    write_role(&directory, file, 0646, 0);
    assert_true(load(&directory, NULL) < 0);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    _cleanup_(remove_directory) Directory directory = make_directory();
    _cleanup_free_ File *file = make_file(1, 0);

    assert_int_equal(load(&directory, NULL), -ENOENT);
    assert_int_equal(mkfifoat(directory.fd, "role.policy", 0600), 0);
    assert_true(load(&directory, NULL) < 0);
    assert_int_equal(unlinkat(directory.fd, "role.policy", 0), 0);
    write_role(&directory, file, 0644, 0);
    assert_int_equal(renameat(directory.fd, "role.policy", directory.fd, "other"), 0);
    assert_int_equal(symlinkat("other", directory.fd, "role.policy"), 0);
    assert_int_equal(load(&directory, NULL), -ELOOP);
}

/* --- the filter itself --- */

static int apply_and_exit(SeccompPolicy *policy)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_policy_apply(policy, NULL) < 0)
            _exit(2);
        (void)syscall(SYS_getppid);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void applied_filter_is_in_force(void **state)
{
    (void)state;
    _cleanup_(seccomp_policy_freep) SeccompPolicy *policy = NULL, *open_policy = NULL;
    _cleanup_free_ File *file = make_file(4, 0);

    file->header.flags = 0;
    assert_int_equal(decode(file, &open_policy), 0);
    file->code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0); /* the number */
    file->code[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1);
    file->code[2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(decode(file, &policy), 0);
    assert_false(seccomp_policy_needs_listener(policy));

    int status = apply_and_exit(open_policy);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = apply_and_exit(policy);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_taken_up_to_each_maximum),
        cmocka_unit_test(file_cut_off_anywhere_is_refused),
        cmocka_unit_test(file_with_more_behind_it_is_refused),
        cmocka_unit_test(header_of_another_kind_is_refused),
        cmocka_unit_test(startup_rule_out_of_range_is_refused),
        cmocka_unit_test(every_operation_compares_64_bits_without_sign),
        cmocka_unit_test(mask_leaves_out_the_other_bits),
        cmocka_unit_test(startup_rule_needs_all_its_conditions_and_any_rule_will_do),
        cmocka_unit_test(file_that_only_its_owner_may_write_is_loaded),
        cmocka_unit_test(file_that_others_may_write_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(applied_filter_is_in_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
