/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crash-core.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "tests/helpers/made-core.h"
#include "tests/helpers/test.h"

static CrashCore core;

static void crash_is_read_from_the_notes(void **state)
{
    MadeCore made;

    (void)state;
    made_core_init(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_int_equal(core.thread_id, MADE_CORE_TID);
    assert_int_equal(core.signal, 11);
    assert_true(core.has_details);
    assert_int_equal(core.code, 1);
    assert_int_equal(core.fault_address, 0x10);
    assert_string_equal(core.name, "made");
    assert_int_equal(core.registers[CRASH_R15], MADE_CORE_REGISTER(CRASH_R15));
    assert_int_equal(core.registers[CRASH_RIP], MADE_CORE_REGISTER(CRASH_RIP));
    assert_int_equal(core.registers[CRASH_GS], MADE_CORE_REGISTER(CRASH_GS));
}

static void first_thread_is_the_one_that_crashed(void **state)
{
    MadeCore made;

    (void)state;
    made_core_init(&made);
    made_core_put_status(&made, MADE_CORE_TID + 1, 6);
    made_core_finish(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_int_equal(core.thread_id, MADE_CORE_TID);
    assert_int_equal(core.signal, 11);
}

static void code_is_where_segments_are_executable(void **state)
{
    MadeCore made;

    (void)state;
    made_core_init(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_false(crash_core_is_code(&core, MADE_CORE_CODE - 1));
    assert_true(crash_core_is_code(&core, MADE_CORE_CODE));
    assert_true(crash_core_is_code(&core, MADE_CORE_CODE + MADE_CORE_CODE_SIZE - 1));
    assert_false(crash_core_is_code(&core, MADE_CORE_CODE + MADE_CORE_CODE_SIZE));
    assert_false(crash_core_is_code(&core, MADE_CORE_BASE)); /* mapped for reading */
    assert_false(crash_core_is_code(&core, 0));
}

static void module_has_path_and_base(void **state)
{
    MadeCore made;
    CrashModule module;

    (void)state;
    made_core_init(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);

    assert_true(crash_core_find_module(&core, MADE_CORE_CODE + 5, &module));
    assert_int_equal(module.base, MADE_CORE_BASE);
    assert_int_equal(module.path_size, strlen("/lib/made.so"));
    assert_memory_equal(module.path, "/lib/made.so", module.path_size);

    /* Mapped without its start: where it is mapped is all that is known. */
    assert_true(crash_core_find_module(&core, MADE_CORE_OTHER, &module));
    assert_int_equal(module.base, MADE_CORE_OTHER);
    assert_memory_equal(module.path, "/other", module.path_size);

    assert_false(crash_core_find_module(&core, 0, &module));
}

static void core_is_read_in_three_steps(void **state)
{
    MadeCore made;
    size_t end, headers_end;

    (void)state;
    made_core_init(&made);
    assert_int_equal(crash_core_get_end(NULL, 0, &end), 0);
    assert_int_equal(end, 64);
    assert_int_equal(crash_core_get_end(made.bytes, 63, &end), 0);
    assert_int_equal(end, 64);
    assert_int_equal(crash_core_get_end(made.bytes, 64, &headers_end), 0);
    assert_int_equal(headers_end, 64 + 3 * 56);
    assert_int_equal(crash_core_get_end(made.bytes, headers_end, &end), 0);
    assert_int_equal(end, made.size);
    assert_int_equal(crash_core_get_end(made.bytes, made.size, &end), 0);
    assert_int_equal(end, made.size);
}

static void end_is_bounded(void **state)
{
    MadeCore made;
    size_t end;

    (void)state;
    made_core_init(&made);
    memset(made.bytes + 64 + 32, 0xff, 8); /* the size of the notes */
    assert_int_equal(crash_core_get_end(made.bytes, made.size, &end), 0);
    assert_int_equal(end, CRASH_CORE_SIZE_MAX);
    /* They end with the bytes that there are. */
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);

    memset(made.bytes + 32, 0xff, 8); /* where the program headers are */
    assert_int_equal(crash_core_get_end(made.bytes, made.size, &end), 0);
    assert_int_equal(end, CRASH_CORE_SIZE_MAX);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), -EBADMSG);
}

/* Whatever is missing at the end: the crash itself comes first and is needed. */
static void core_that_is_cut_off_is_read_as_far_as_it_goes(void **state)
{
    MadeCore made;
    bool was_core = false;

    (void)state;
    made_core_init(&made);
    for (size_t size = 0; size <= made.size; size++) {
        int r = crash_core_parse(made.bytes, size, &core);
        assert_true(r == 0 || (r == -EBADMSG && !was_core));
        was_core = r == 0;
        if (was_core)
            assert_int_equal(core.registers[CRASH_GS], MADE_CORE_REGISTER(CRASH_GS));
    }
    assert_true(was_core);
}

static void what_is_no_core_is_refused(void **state)
{
    static const struct {
        size_t offset;
        uint8_t byte;
    } changes[] = {
        { 0, 'X' },               /* magic */
        { EI_CLASS, 1 },          /* 32 bits */
        { EI_DATA, 2 },           /* big-endian */
        { 16, ET_EXEC },          /* type */
        { 18, EM_AARCH64 & 255 }, /* machine */
        { 54, 32 },               /* size of a program header */
        { 56, 0 },                /* number of program headers */
    };
    MadeCore made;

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        made_core_init(&made);
        made.bytes[changes[i].offset] = changes[i].byte;
        assert_int_equal(crash_core_parse(made.bytes, made.size, &core), -EBADMSG);
    }
}

static void status_that_is_too_short_is_refused(void **state)
{
    MadeCore made;

    (void)state;
    made_core_init_empty(&made);
    made_core_put_note(&made, NT_PRSTATUS, (uint8_t[112 + 27 * 8 - 1]){ 0 }, 112 + 27 * 8 - 1);
    made_core_finish(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), -EBADMSG);
}

static void more_code_than_the_limit_is_left_out(void **state)
{
    static MadeCore made;

    (void)state;
    made_core_init(&made);
    made_core_add_code_segments(&made, CRASH_CORE_CODE_MAX);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_int_equal(core.n_code_ranges, CRASH_CORE_CODE_MAX);
}

static void list_of_files_with_a_wrong_count_has_none(void **state)
{
    uint8_t list[16 + 24 + 2] = { 2, [8] = 1, [24] = 0xff, [40] = 'x' };
    MadeCore made;
    CrashModule module;

    (void)state;
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 11);
    made_core_put_note(&made, NT_FILE, list, sizeof(list));
    made_core_finish(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_false(crash_core_find_module(&core, 5, &module));

    memset(list, 0xff, 8);
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 11);
    made_core_put_note(&made, NT_FILE, list, sizeof(list));
    made_core_finish(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_false(crash_core_find_module(&core, 5, &module));

    memset(list, 0, 8);
    list[0] = 1;
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 11);
    made_core_put_note(&made, NT_FILE, list, sizeof(list));
    made_core_finish(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_true(crash_core_find_module(&core, 5, &module));

    list[41] = 'x'; /* no NUL behind the name */
    made_core_init_empty(&made);
    made_core_put_status(&made, 1, 11);
    made_core_put_note(&made, NT_FILE, list, sizeof(list));
    made_core_finish(&made);
    assert_int_equal(crash_core_parse(made.bytes, made.size, &core), 0);
    assert_false(crash_core_find_module(&core, 5, &module));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crash_is_read_from_the_notes),
        cmocka_unit_test(first_thread_is_the_one_that_crashed),
        cmocka_unit_test(code_is_where_segments_are_executable),
        cmocka_unit_test(module_has_path_and_base),
        cmocka_unit_test(core_is_read_in_three_steps),
        cmocka_unit_test(end_is_bounded),
        cmocka_unit_test(core_that_is_cut_off_is_read_as_far_as_it_goes),
        cmocka_unit_test(what_is_no_core_is_refused),
        cmocka_unit_test(status_that_is_too_short_is_refused),
        cmocka_unit_test(more_code_than_the_limit_is_left_out),
        cmocka_unit_test(list_of_files_with_a_wrong_count_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
