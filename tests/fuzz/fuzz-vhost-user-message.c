/* SPDX-License-Identifier: Apache-2.0 */
/* A front-end that says anything. Input: messages as on the socket, each after one byte that tells
 * of its descriptors: how many (low four bits) and of what kind (the next two). */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/fd.h"
#include "vhost-user/vhost-user-device.h"

#define MEMORY_SIZE  65536
#define MESSAGES_MAX 64

static int make_fd(unsigned kind)
{
    if (kind == 0)
        return eventfd(0, EFD_CLOEXEC);
    if (kind == 3)
        return open("/dev/null", O_RDWR | O_CLOEXEC);

    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, MEMORY_SIZE) < 0 ||
        (kind == 1 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0))
        abort();
    return fd;
}

/* What the device would do next with rings that came to life. */
static void use_rings(VhostUserDevice *device)
{
    for (size_t i = 0; i < device->n_rings; i++) {
        Virtqueue *queue = vhost_user_device_find_live_queue(device, i);
        VirtqueueChain chain;

        if (!queue)
            continue;
        (void)virtqueue_request_kick(queue);
        int r = virtqueue_peek(queue, &chain);
        if (r > 0)
            virtqueue_complete(queue, &chain, 0);
        if (r < 0)
            vhost_user_device_break_ring(device, i);
        else
            vhost_user_device_notify(device, i);
    }
}

static int run_message(VhostUserDevice *device, ByteReader *reader)
{
    uint8_t plan;
    const uint8_t *bytes, *payload;
    VhostUserHeader header;
    VhostUserRequest request;
    VhostUserResult result;
    int fds[VHOST_USER_FDS_MAX];

    if (byte_reader_get_u8(reader, &plan) < 0 ||
        byte_reader_get_view(reader, VHOST_USER_HEADER_SIZE, &bytes) < 0)
        return -ENODATA;
    int r = vhost_user_header_decode(bytes, &header, NULL);
    if (r < 0)
        return r;
    if (byte_reader_get_view(reader, header.payload_size, &payload) < 0)
        return -ENODATA;

    size_t n_fds = plan & 0xf;
    if (n_fds > VHOST_USER_FDS_MAX)
        n_fds = VHOST_USER_FDS_MAX;
    for (size_t i = 0; i < n_fds; i++)
        fds[i] = make_fd(plan >> 4 & 3);
    r = vhost_user_request_decode(&header, payload, fds, n_fds, &request, NULL);
    if (r < 0)
        return r;

    r = vhost_user_device_handle(device, &request, &result, NULL);
    vhost_user_request_deinit(&request);
    use_rings(device);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t config[8] = { 3 };
    ByteReader reader = byte_reader(data, size);
    VhostUserDevice device;
    int r = 0;

    vhost_user_device_init(&device, UINT64_C(7) << 28 | UINT64_C(1) << 32, 2, config, 8);
    /* A violation ends a real connection; here it does not, so that more is reached. */
    for (unsigned n = 0; n < MESSAGES_MAX && r != -ENODATA; n++)
        r = run_message(&device, &reader);
    vhost_user_device_deinit(&device);
    return 0;
}
