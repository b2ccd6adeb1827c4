/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the rings; what they carry is in test-virtqueue.c and test-vsock-device.c. */
#include "vhost-user/vhost-user-device.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/helpers/test.h"

#include "common/fd.h"

#define OFFERED     (UINT64_C(1) << 32)
#define MEMORY_SIZE 65536

static const uint8_t config[8] = { 3 };

static void init(VhostUserDevice *device)
{
    vhost_user_device_init(device, OFFERED, 2, config, sizeof(config));
}

static int handle(VhostUserDevice *device, VhostUserRequest request, VhostUserResult *ret_result)
{
    VhostUserResult result;

    int r = vhost_user_device_handle(device, &request, ret_result ? ret_result : &result, NULL);
    vhost_user_request_deinit(&request);
    return r;
}

static void share_memory(VhostUserDevice *device)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(fd, MEMORY_SIZE), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(handle(device,
                            (VhostUserRequest){ .type = VHOST_USER_SET_MEM_TABLE,
                                                .n_regions = 1,
                                                .regions = { { .size = MEMORY_SIZE } },
                                                .fds = { fd },
                                                .n_fds = 1 },
                            NULL),
                     0);
}

static int set_number(VhostUserDevice *device,
                      VhostUserRequestType type,
                      uint32_t ring,
                      uint32_t number,
                      VhostUserResult *ret_result)
{
    return handle(device, (VhostUserRequest){ .type = type, .ring = ring, .number = number },
                  ret_result);
}

static void start(VhostUserDevice *device, uint32_t ring, uint32_t size)
{
    VhostUserResult result;
    static const VirtqueueAddresses addresses = { .descriptors = 0,
                                                  .available = 4096,
                                                  .used = 8192 };

    assert_int_equal(set_number(device, VHOST_USER_SET_VRING_NUM, ring, size, NULL), 0);
    assert_int_equal(handle(device,
                            (VhostUserRequest){ .type = VHOST_USER_SET_VRING_ADDR,
                                                .ring = ring,
                                                .addresses = addresses },
                            NULL),
                     0);
    assert_int_equal(handle(device,
                            (VhostUserRequest){ .type = VHOST_USER_SET_VRING_KICK,
                                                .ring = ring,
                                                .fds = { eventfd(0, EFD_CLOEXEC) },
                                                .n_fds = 1 },
                            &result),
                     0);
    assert_int_equal(result.changed_kicks, 1U << ring);
}

static void ring_is_live_between_enable_and_stop(void **state)
{
    (void)state;
    VhostUserDevice device;
    VhostUserResult result;

    init(&device);
    share_memory(&device);
    assert_int_equal(set_number(&device, VHOST_USER_SET_VRING_BASE, 1, 5, &result), 0);
    assert_true(result.driver_changed);
    start(&device, 1, 16);
    assert_null(vhost_user_device_find_live_queue(&device, 1));
    assert_int_equal(set_number(&device, VHOST_USER_SET_VRING_ENABLE, 1, 1, NULL), 0);
    assert_non_null(vhost_user_device_find_live_queue(&device, 1));
    assert_null(vhost_user_device_find_live_queue(&device, 0));
    assert_true(set_number(&device, VHOST_USER_SET_VRING_NUM, 1, 32, NULL) < 0);

    assert_int_equal(set_number(&device, VHOST_USER_GET_VRING_BASE, 1, 0, &result), 0);
    assert_int_equal(result.reply.bytes[16], 5);
    assert_int_equal(device.rings[1].kick_fd, -EBADF);
    assert_null(vhost_user_device_find_live_queue(&device, 1));
    assert_int_equal(set_number(&device, VHOST_USER_SET_VRING_BASE, 1, 5, &result), 0);
    assert_false(result.driver_changed);
    assert_int_equal(set_number(&device, VHOST_USER_SET_VRING_BASE, 1, 0, &result), 0);
    assert_true(result.driver_changed);
    vhost_user_device_deinit(&device);
}

static void ring_the_guest_laid_out_wrong_is_broken_not_refused(void **state)
{
    (void)state;
    VhostUserDevice device;

    init(&device);
    start(&device, 0, 16); /* no memory yet */
    assert_int_equal(device.rings[0].state, VHOST_USER_RING_BROKEN);
    share_memory(&device);
    start(&device, 0, 15);
    assert_int_equal(device.rings[0].state, VHOST_USER_RING_BROKEN);
    start(&device, 0, 16);
    assert_int_equal(device.rings[0].state, VHOST_USER_RING_STARTED);
    vhost_user_device_deinit(&device);
}

static void running_ring_follows_a_new_memory_table(void **state)
{
    (void)state;
    VhostUserDevice device;

    init(&device);
    share_memory(&device);
    start(&device, 0, 16);
    share_memory(&device);
    assert_int_equal(device.rings[0].state, VHOST_USER_RING_STARTED);
    assert_ptr_equal(device.rings[0].queue.descriptors, device.memory.regions[0].data);
    vhost_user_device_deinit(&device);
}

static void what_was_not_offered_is_refused(void **state)
{
    (void)state;
    VhostUserDevice device;
    VhostUserResult result;

    init(&device);
    assert_true(handle(&device,
                       (VhostUserRequest){ .type = VHOST_USER_SET_FEATURES, .features = 2 },
                       NULL) < 0);
    assert_true(
        handle(&device,
               (VhostUserRequest){ .type = VHOST_USER_SET_PROTOCOL_FEATURES, .features = 1 },
               NULL) < 0);
    assert_true(set_number(&device, VHOST_USER_SET_VRING_NUM, 2, 16, NULL) < 0);
    assert_true(set_number(&device, VHOST_USER_SET_VRING_BASE, 0, 65536, NULL) < 0);
    assert_true(set_number(&device, VHOST_USER_SET_VRING_ENABLE, 0, 2, NULL) < 0);
    assert_int_equal(handle(&device,
                            (VhostUserRequest){ .type = VHOST_USER_GET_CONFIG,
                                                .config_offset = 1,
                                                .config_size = 8 },
                            &result),
                     0);
    assert_int_equal(result.reply.size, VHOST_USER_HEADER_SIZE);
    vhost_user_device_deinit(&device);
}

static void rings_need_no_enable_without_protocol_features(void **state)
{
    (void)state;
    VhostUserDevice device;

    init(&device);
    share_memory(&device);
    assert_int_equal(
        handle(&device, (VhostUserRequest){ .type = VHOST_USER_SET_FEATURES, .features = OFFERED },
               NULL),
        0);
    start(&device, 0, 16);
    assert_non_null(vhost_user_device_find_live_queue(&device, 0));
    vhost_user_device_deinit(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_is_live_between_enable_and_stop),
        cmocka_unit_test(ring_the_guest_laid_out_wrong_is_broken_not_refused),
        cmocka_unit_test(running_ring_follows_a_new_memory_table),
        cmocka_unit_test(what_was_not_offered_is_refused),
        cmocka_unit_test(rings_need_no_enable_without_protocol_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
