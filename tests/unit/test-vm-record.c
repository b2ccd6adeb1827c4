/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-record.h"

#include <errno.h>
#include <string.h>

#include "tests/helpers/test.h"

static VmRecordImage images[] = {
    { .key = (char[]){ "root.img" }, .mode = S_IFREG | 0600, .device = 8, .inode = UINT64_MAX },
    { .key = (char[]){ "/dev/sdb" }, .mode = S_IFBLK, .device = 5, .inode = 6, .rdevice = 7 },
};

static const VmRecord sample = {
    .id = "0123456789abcdef0123456789abcdef",
    .owner = 1000,
    .cid = LAUNCH_SPEC_CID_MAX,
    .cpus = 4,
    .memory_bytes = UINT64_C(1) << 40,
    .seccomp_action = SECCOMP_LOG,
    .created_usec = UINT64_MAX - 1,
    .name = (char[]){ "a name" },
    .client = (char[]){ ":1.42" },
    .bus = (char[]){ "00112233445566778899aabbccddeeff" },
    .config = (char[]){ "{\"kernel\": \"k\"}" },
    .n_images = ELEMENTS_OF(images),
    .images = images,
};

static void a_record_comes_back_from_its_encoding(void **state)
{
    (void)state;
    _cleanup_(vm_record_deinit) VmRecord decoded = { 0 };
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    assert_int_equal(vm_record_encode(&sample, &bytes, &size), 0);
    assert_int_equal(vm_record_decode(bytes, size, &decoded, NULL), 0);
    assert_string_equal(decoded.id, sample.id);
    assert_int_equal(decoded.owner, sample.owner);
    assert_int_equal(decoded.cid, sample.cid);
    assert_int_equal(decoded.cpus, sample.cpus);
    assert_true(decoded.memory_bytes == sample.memory_bytes);
    assert_int_equal(decoded.seccomp_action, sample.seccomp_action);
    assert_true(decoded.created_usec == sample.created_usec);
    assert_string_equal(decoded.name, sample.name);
    assert_string_equal(decoded.client, sample.client);
    assert_string_equal(decoded.bus, sample.bus);
    assert_string_equal(decoded.config, sample.config);
    assert_int_equal(decoded.n_images, sample.n_images);
    for (size_t i = 0; i < decoded.n_images; i++) {
        assert_string_equal(decoded.images[i].key, images[i].key);
        assert_int_equal(decoded.images[i].mode, images[i].mode);
        assert_true(decoded.images[i].device == images[i].device);
        assert_true(decoded.images[i].inode == images[i].inode);
        assert_true(decoded.images[i].rdevice == images[i].rdevice);
    }
}

static void every_truncation_and_a_byte_too_many_are_refused(void **state)
{
    (void)state;
    _cleanup_free_ uint8_t *bytes = NULL, *longer = NULL;
    VmRecord decoded;
    size_t size;

    assert_int_equal(vm_record_encode(&sample, &bytes, &size), 0);
    for (size_t cut = 0; cut < size; cut++)
        assert_true(vm_record_decode(bytes, cut, &decoded, NULL) < 0);
    longer = calloc(1, size + 1);
    assert_non_null(longer);
    memcpy(longer, bytes, size);
    assert_true(vm_record_decode(longer, size + 1, &decoded, NULL) < 0);
}

static void another_version_is_named_beside_ours(void **state)
{
    (void)state;
    _cleanup_(error_clear) Error error = ERROR_INIT;
    _cleanup_free_ uint8_t *bytes = NULL;
    VmRecord decoded;
    size_t size;

    assert_int_equal(vm_record_encode(&sample, &bytes, &size), 0);
    bytes[4] = VM_RECORD_VERSION + 6;
    assert_true(vm_record_decode(bytes, size, &decoded, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_SUPPORTED);
    assert_non_null(strstr(error_get_message(&error), "version 8"));
    assert_non_null(strstr(error_get_message(&error), "up to version 2"));
}

/* VMs that run when the daemon is replaced by a newer one have such records. */
static void a_record_of_version_1_is_read(void **state)
{
    const size_t memory_at = 4 + 2 + LAUNCH_SPEC_ID_SIZE + 3 * sizeof(uint32_t);
    (void)state;
    _cleanup_(vm_record_deinit) VmRecord decoded = { 0 };
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    assert_int_equal(vm_record_encode(&sample, &bytes, &size), 0);
    bytes[4] = 1;
    memmove(bytes + memory_at, bytes + memory_at + 8, size - memory_at - 8);
    assert_int_equal(vm_record_decode(bytes, size - 8, &decoded, NULL), 0);
    assert_int_equal(decoded.cpus, sample.cpus);
    assert_true(decoded.memory_bytes == 0);
    assert_true(decoded.created_usec == sample.created_usec);
    assert_string_equal(decoded.config, sample.config);
}

static void fill(EventHistory *history, bool with_death)
{
    const SupervisorMessage messages[] = {
        { .type = SUPERVISOR_EVENT, .event = VM_EVENT_START, .event_number = 2 },
        { .type = SUPERVISOR_RUNNING, .event_number = 3, .value = 7, .time_usec = 9 },
        { .type = SUPERVISOR_DIED,
          .event_number = 4,
          .record = { .reason = DEATH_OOM,
                      .initiator = INITIATOR_LIMIT,
                      .vmm_exit_code = -1,
                      .payload_exit_code = -1,
                      .crash_report = "signal 11\n",
                      .crash_report_size = 10,
                      .crash_report_dropped = 3 } },
    };

    for (size_t i = 0; i < ELEMENTS_OF(messages) - !with_death; i++)
        assert_int_equal(event_history_add(history, &messages[i]), 0);
}

static void the_events_of_a_dead_vm_come_back(void **state)
{
    (void)state;
    EventHistory history = { 0 }, decoded = { 0 };
    _cleanup_free_ uint8_t *bytes = NULL;
    SupervisorMessage message;
    size_t size;

    fill(&history, true);
    assert_int_equal(vm_record_encode_events(&history, &bytes, &size), 0);
    assert_int_equal(vm_record_decode_events(bytes, size, &decoded), 0);
    assert_int_equal(decoded.n_entries, 3);
    const EventHistoryEntry *last = event_history_find_after(&decoded, 3);
    assert_int_equal(supervisor_message_decode(last->bytes, last->size, &message), 0);
    assert_int_equal(message.record.reason, DEATH_OOM);
    assert_int_equal(message.record.crash_report_size, 10);
    assert_memory_equal(message.record.crash_report, "signal 11\n", 10);
    assert_int_equal(message.record.crash_report_dropped, 3);
    event_history_deinit(&decoded);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(vm_record_decode_events(bytes, cut, &decoded), -EBADMSG);
    event_history_deinit(&history);
}

static void events_without_a_death_are_none_of_a_dead_vm(void **state)
{
    (void)state;
    EventHistory history = { 0 }, decoded = { 0 };
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;

    fill(&history, false);
    assert_int_equal(vm_record_encode_events(&history, &bytes, &size), 0);
    assert_int_equal(vm_record_decode_events(bytes, size, &decoded), -EBADMSG);
    event_history_deinit(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_from_its_encoding),
        cmocka_unit_test(every_truncation_and_a_byte_too_many_are_refused),
        cmocka_unit_test(another_version_is_named_beside_ours),
        cmocka_unit_test(a_record_of_version_1_is_read),
        cmocka_unit_test(the_events_of_a_dead_vm_come_back),
        cmocka_unit_test(events_without_a_death_are_none_of_a_dead_vm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
