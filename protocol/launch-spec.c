/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/launch-spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/ckd.h"

static const char *const seccomp_action_names[SECCOMP_ACTION_MAX] = {
    [SECCOMP_KILL] = "kill",
    [SECCOMP_ERRNO] = "errno",
    [SECCOMP_LOG] = "log",
};

const char *launch_seccomp_action_to_string(LaunchSeccompAction action)
{
    return seccomp_action_names[action];
}

int launch_seccomp_action_from_string(const char *text, LaunchSeccompAction *ret_action)
{
    for (uint32_t action = 0; action < SECCOMP_ACTION_MAX; action++) {
        if (strcmp(text, seccomp_action_names[action]) == 0) {
            *ret_action = (LaunchSeccompAction)action;
            return 0;
        }
    }
    return -EINVAL;
}

void launch_spec_deinit(LaunchSpec *spec)
{
    for (size_t i = 0; i < spec->n_disks; i++)
        free(spec->disks[i].regions);
    free(spec->disks);
    free(spec->params);
    *spec = (LaunchSpec){ 0 };
}

static void put_disk(ByteWriter *writer, const LaunchDisk *disk)
{
    byte_writer_put_u8(writer, disk->writable);
    byte_writer_put_le16(writer, disk->n_regions);
    for (size_t i = 0; i < disk->n_regions; i++) {
        byte_writer_put_le16(writer, disk->regions[i].fd_index);
        byte_writer_put_le64(writer, disk->regions[i].file_offset);
        byte_writer_put_le64(writer, disk->regions[i].size);
    }
}

int launch_spec_encode(const LaunchSpec *spec, uint8_t **ret_bytes, size_t *ret_size)
{
    _cleanup_free_ uint8_t *bytes = malloc(LAUNCH_SPEC_SIZE_MAX);
    if (!bytes)
        return -ENOMEM;

    ByteWriter writer = byte_writer(bytes, LAUNCH_SPEC_SIZE_MAX);
    size_t params_length = strlen(spec->params);

    byte_writer_put_le32(&writer, LAUNCH_SPEC_MAGIC);
    byte_writer_put_le16(&writer, LAUNCH_SPEC_VERSION);
    byte_writer_put_bytes(&writer, spec->id, LAUNCH_SPEC_ID_SIZE);
    byte_writer_put_le32(&writer, spec->cid);
    byte_writer_put_le64(&writer, spec->memory_bytes);
    byte_writer_put_le32(&writer, spec->cpus);
    byte_writer_put_u8(&writer, (uint8_t)spec->accelerator);
    byte_writer_put_u8(&writer, (uint8_t)spec->seccomp_action);
    byte_writer_put_u8(&writer, spec->paused);
    byte_writer_put_u8(&writer, spec->balloon);
    byte_writer_put_u8(&writer, spec->has_instance);
    if (spec->has_instance)
        byte_writer_put_bytes(&writer, spec->instance_id, LAUNCH_SPEC_INSTANCE_ID_SIZE);
    byte_writer_put_le32(&writer, spec->payload_timeout_ms);
    byte_writer_put_le32(&writer, spec->orphan_timeout_ms);
    byte_writer_put_le32(&writer, spec->record_timeout_ms);
    byte_writer_put_le16(&writer, (uint16_t)params_length);
    byte_writer_put_bytes(&writer, spec->params, params_length);
    byte_writer_put_le16(&writer, spec->kernel);
    byte_writer_put_le16(&writer, spec->initrd);
    byte_writer_put_le16(&writer, spec->bootloader);
    byte_writer_put_le16(&writer, spec->console_out);
    byte_writer_put_le16(&writer, spec->console_in);
    byte_writer_put_le16(&writer, spec->log);
    byte_writer_put_le16(&writer, spec->payload_out);
    byte_writer_put_le16(&writer, spec->stub_socket);
    byte_writer_put_le16(&writer, spec->supervisor_socket);
    byte_writer_put_le16(&writer, spec->n_disks);
    for (size_t i = 0; i < spec->n_disks; i++)
        put_disk(&writer, &spec->disks[i]);

    int r = byte_writer_finish(&writer);
    if (r < 0)
        return r;

    *ret_bytes = TAKE_PTR(bytes);
    *ret_size = writer.size;
    return 0;
}

static int get_bool(ByteReader *reader, bool *ret_value)
{
    uint8_t value;

    if (byte_reader_get_u8(reader, &value) < 0 || value > 1)
        return -EBADMSG;

    *ret_value = value;
    return 0;
}

static int get_fd_index(ByteReader *reader, size_t n_fds, bool optional, uint16_t *ret_index)
{
    uint16_t index;

    if (byte_reader_get_le16(reader, &index) < 0)
        return -EBADMSG;
    if (index >= n_fds && !(optional && index == LAUNCH_SPEC_NO_FD))
        return -EBADMSG;

    *ret_index = index;
    return 0;
}

static int get_id(ByteReader *reader, char id[static LAUNCH_SPEC_ID_SIZE + 1])
{
    int r = byte_reader_get_bytes(reader, id, LAUNCH_SPEC_ID_SIZE);
    if (r < 0)
        return r;

    id[LAUNCH_SPEC_ID_SIZE] = '\0';
    return strspn(id, "0123456789abcdef") == LAUNCH_SPEC_ID_SIZE ? 0 : -EBADMSG;
}

static int get_instance(ByteReader *reader, LaunchSpec *spec)
{
    int r = get_bool(reader, &spec->has_instance);

    if (r < 0 || !spec->has_instance)
        return r;
    return byte_reader_get_bytes(reader, spec->instance_id, LAUNCH_SPEC_INSTANCE_ID_SIZE);
}

static int get_params(ByteReader *reader, char **ret_params)
{
    const uint8_t *view;
    uint16_t length;

    if (byte_reader_get_le16(reader, &length) < 0 || length > LAUNCH_SPEC_PARAMS_MAX ||
        byte_reader_get_view(reader, length, &view) < 0)
        return -EBADMSG;
    for (size_t i = 0; i < length; i++) {
        if (view[i] < 0x20 || view[i] == 0x7f)
            return -EBADMSG;
    }

    *ret_params = strndup((const char *)view, length);
    return *ret_params ? 0 : -ENOMEM;
}

static int get_region(ByteReader *reader, size_t n_fds, uint64_t *disk_size, LaunchRegion *region)
{
    uint64_t file_end;

    int r = get_fd_index(reader, n_fds, false, &region->fd_index);
    if (r < 0)
        return r;
    if (byte_reader_get_le64(reader, &region->file_offset) < 0 ||
        byte_reader_get_le64(reader, &region->size) < 0)
        return -EBADMSG;

    if (region->size == 0 || region->size % LAUNCH_SPEC_SECTOR_SIZE != 0 ||
        region->file_offset % LAUNCH_SPEC_SECTOR_SIZE != 0 ||
        ckd_add(&file_end, region->file_offset, region->size) || file_end > INT64_MAX ||
        ckd_add(disk_size, *disk_size, region->size) || *disk_size > INT64_MAX)
        return -EBADMSG;
    return 0;
}

static int get_disk(ByteReader *reader, size_t n_fds, LaunchDisk *disk)
{
    uint64_t disk_size = 0;
    uint16_t n_regions;

    if (get_bool(reader, &disk->writable) < 0 || byte_reader_get_le16(reader, &n_regions) < 0 ||
        n_regions == 0 || n_regions > LAUNCH_SPEC_REGIONS_MAX)
        return -EBADMSG;

    disk->regions = calloc(n_regions, sizeof(*disk->regions));
    if (!disk->regions)
        return -ENOMEM;
    for (disk->n_regions = 0; disk->n_regions < n_regions; disk->n_regions++) {
        int r = get_region(reader, n_fds, &disk_size, &disk->regions[disk->n_regions]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int get_disks(ByteReader *reader, size_t n_fds, LaunchSpec *spec)
{
    uint16_t n_disks;

    if (byte_reader_get_le16(reader, &n_disks) < 0 || n_disks > LAUNCH_SPEC_DISKS_MAX)
        return -EBADMSG;
    if (n_disks == 0)
        return 0;

    spec->disks = calloc(n_disks, sizeof(*spec->disks));
    if (!spec->disks)
        return -ENOMEM;
    while (spec->n_disks < n_disks) {
        LaunchDisk *disk = &spec->disks[spec->n_disks++];

        int r = get_disk(reader, n_fds, disk);
        if (r < 0)
            return r;
    }
    return 0;
}

static int get_machine(ByteReader *reader, LaunchSpec *spec)
{
    uint8_t accelerator, seccomp_action;

    if (get_id(reader, spec->id) < 0 || byte_reader_get_le32(reader, &spec->cid) < 0 ||
        byte_reader_get_le64(reader, &spec->memory_bytes) < 0 ||
        byte_reader_get_le32(reader, &spec->cpus) < 0 ||
        byte_reader_get_u8(reader, &accelerator) < 0 ||
        byte_reader_get_u8(reader, &seccomp_action) < 0 || get_bool(reader, &spec->paused) < 0 ||
        get_bool(reader, &spec->balloon) < 0 || get_instance(reader, spec) < 0 ||
        byte_reader_get_le32(reader, &spec->payload_timeout_ms) < 0 ||
        byte_reader_get_le32(reader, &spec->orphan_timeout_ms) < 0 ||
        byte_reader_get_le32(reader, &spec->record_timeout_ms) < 0)
        return -EBADMSG;

    if (spec->cid < LAUNCH_SPEC_CID_MIN || spec->cid > LAUNCH_SPEC_CID_MAX ||
        spec->memory_bytes < LAUNCH_SPEC_MEMORY_MIN || spec->memory_bytes % (1U << 20) != 0 ||
        spec->memory_bytes > INT64_MAX || spec->cpus == 0 || spec->cpus > LAUNCH_SPEC_CPUS_MAX ||
        accelerator >= ACCELERATOR_MAX || seccomp_action >= SECCOMP_ACTION_MAX ||
        spec->payload_timeout_ms > LAUNCH_SPEC_TIMEOUT_MS_MAX ||
        spec->orphan_timeout_ms > LAUNCH_SPEC_TIMEOUT_MS_MAX ||
        spec->record_timeout_ms > LAUNCH_SPEC_TIMEOUT_MS_MAX)
        return -EBADMSG;

    spec->accelerator = (LaunchAccelerator)accelerator;
    spec->seccomp_action = (LaunchSeccompAction)seccomp_action;
    return 0;
}

static int get_files(ByteReader *reader, size_t n_fds, LaunchSpec *spec)
{
    uint16_t *const indexes[] = {
        &spec->kernel,      &spec->initrd,      &spec->bootloader,
        &spec->console_out, &spec->console_in,  &spec->log,
        &spec->payload_out, &spec->stub_socket, &spec->supervisor_socket,
    };

    for (size_t i = 0; i < ELEMENTS_OF(indexes); i++) {
        int r = get_fd_index(reader, n_fds, true, indexes[i]);
        if (r < 0)
            return r;
    }
    bool has_kernel = spec->kernel != LAUNCH_SPEC_NO_FD;
    bool has_bootloader = spec->bootloader != LAUNCH_SPEC_NO_FD;
    bool has_initrd = spec->initrd != LAUNCH_SPEC_NO_FD;
    if (has_kernel == has_bootloader || (has_initrd && !has_kernel) ||
        (spec->has_instance && !has_initrd))
        return -EBADMSG;
    return 0;
}

static int get_spec(ByteReader *reader, size_t n_fds, LaunchSpec *spec)
{
    uint32_t magic;
    uint16_t version;

    if (byte_reader_get_le32(reader, &magic) < 0 || magic != LAUNCH_SPEC_MAGIC ||
        byte_reader_get_le16(reader, &version) < 0 || version != LAUNCH_SPEC_VERSION)
        return -EBADMSG;

    int r = get_machine(reader, spec);
    if (r < 0)
        return r;
    r = get_params(reader, &spec->params);
    if (r < 0)
        return r;
    r = get_files(reader, n_fds, spec);
    if (r < 0)
        return r;
    r = get_disks(reader, n_fds, spec);
    if (r < 0)
        return r;
    return reader->size == 0 ? 0 : -EBADMSG;
}

int launch_spec_decode(const uint8_t *bytes, size_t size, size_t n_fds, LaunchSpec *ret_spec)
{
    LaunchSpec spec = { 0 };

    if (size > LAUNCH_SPEC_SIZE_MAX || n_fds > LAUNCH_SPEC_FDS_MAX)
        return -EBADMSG;

    ByteReader reader = byte_reader(bytes, size);
    int r = get_spec(&reader, n_fds, &spec);
    if (r < 0) {
        launch_spec_deinit(&spec);
        return r;
    }

    *ret_spec = spec;
    return 0;
}
