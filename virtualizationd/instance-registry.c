/* SPDX-License-Identifier: Apache-2.0 */
/* A file holds magic, version, the owner's uid and when it became the owner's (CLOCK_REALTIME, µs):
 * u32, u16, u32, u64, little-endian. */
#include "virtualizationd/instance-registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/random.h"
#include "common/text.h"
#include "virtualizationd/state-file.h"

#define RECORD_MAGIC   0x314e4956U /* "VIN1" */
#define RECORD_VERSION 1
#define RECORD_SIZE    18
#define NAME_SIZE      (2 * INSTANCE_ID_SIZE + 1)

typedef struct Instance {
    uint8_t id[INSTANCE_ID_SIZE];
    uid_t owner;
} Instance;

struct InstanceRegistry {
    int directory;
    void *by_id; /* a tree of tsearch(3) */
    size_t n_instances;
};

/* What the walk over the tree counts. */
typedef struct Count {
    uid_t owner;
    size_t n;
} Count;

static int compare(const void *a, const void *b)
{
    return memcmp(((const Instance *)a)->id, ((const Instance *)b)->id, INSTANCE_ID_SIZE);
}

static Instance *find(const InstanceRegistry *registry, const uint8_t *id)
{
    Instance key;

    memcpy(key.id, id, sizeof(key.id));
    Instance *const *found = tfind(&key, &registry->by_id, compare);
    return found ? *found : NULL;
}

static int insert(InstanceRegistry *registry, const uint8_t *id, uid_t owner)
{
    Instance *instance = calloc(1, sizeof(*instance));

    if (!instance)
        return -ENOMEM;
    memcpy(instance->id, id, INSTANCE_ID_SIZE);
    instance->owner = owner;
    if (!tsearch(instance, &registry->by_id, compare)) {
        free(instance);
        return -ENOMEM;
    }
    registry->n_instances++;
    return 0;
}

static void count_one(const void *node, VISIT visit, void *closure)
{
    const Instance *instance = *(const Instance *const *)node;
    Count *count = closure;

    if ((visit == postorder || visit == leaf) && instance->owner == count->owner)
        count->n++;
}

static int check_limits(const InstanceRegistry *registry, uid_t owner, Error *error)
{
    Count count = { .owner = owner };

    twalk_r(registry->by_id, count_one, &count);
    if (count.n >= INSTANCES_OF_USER_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED,
                         "uid %u has %zu instances, which is the limit: remove one", owner,
                         count.n);
    if (registry->n_instances >= INSTANCES_MAX)
        return error_set(error, ERROR_LIMITS_EXCEEDED, "there are %d instances, which is the limit",
                         INSTANCES_MAX);
    return 0;
}

static int write_record(const InstanceRegistry *registry,
                        const uint8_t *id,
                        uid_t owner,
                        Error *error)
{
    uint8_t bytes[RECORD_SIZE];
    ByteWriter writer = byte_writer(bytes, sizeof(bytes));
    char name[NAME_SIZE];

    byte_writer_put_le32(&writer, RECORD_MAGIC);
    byte_writer_put_le16(&writer, RECORD_VERSION);
    byte_writer_put_le32(&writer, owner);
    byte_writer_put_le64(&writer, realtime_usec());
    text_hex(id, INSTANCE_ID_SIZE, name);
    int r = state_file_write(registry->directory, name, bytes, writer.size, true);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot keep the instance");
    return 0;
}

static int read_record(const InstanceRegistry *registry, const char *name, uid_t *ret_owner)
{
    _cleanup_free_ uint8_t *bytes = NULL;
    uint32_t magic, owner;
    uint16_t version;
    size_t size;

    int r = state_file_read(registry->directory, name, RECORD_SIZE, &bytes, &size);
    if (r < 0)
        return r;
    ByteReader reader = byte_reader(bytes, size);
    if (size != RECORD_SIZE || byte_reader_get_le32(&reader, &magic) < 0 || magic != RECORD_MAGIC ||
        byte_reader_get_le16(&reader, &version) < 0 || version != RECORD_VERSION ||
        byte_reader_get_le32(&reader, &owner) < 0)
        return -EBADMSG;
    *ret_owner = owner;
    return 0;
}

static int load(InstanceRegistry *registry, const char *name)
{
    uint8_t id[INSTANCE_ID_SIZE];
    uid_t owner;

    int r = strlen(name) == NAME_SIZE - 1 ? text_parse_hex(name, sizeof(id), id) : -EBADMSG;
    if (r >= 0)
        r = read_record(registry, name, &owner);
    return r < 0 ? r : insert(registry, id, owner);
}

static int load_all(InstanceRegistry *registry)
{
    const struct dirent *entry;
    int fd = fcntl(registry->directory, F_DUPFD_CLOEXEC, 0);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (!directory) {
        int r = -errno;
        (void)fd_close(fd);
        return r;
    }
    while ((entry = readdir(directory))) {
        int r = entry->d_name[0] == '.' ? 0 : load(registry, entry->d_name);
        if (r < 0)
            log_warning("the instance %.16s... is left alone: %s", entry->d_name, strerror(-r));
    }
    (void)closedir(directory); /* only read */
    return 0;
}

int instance_registry_new(int directory, InstanceRegistry **ret_registry, Error *error)
{
    _cleanup_(instance_registry_freep) InstanceRegistry *registry = calloc(1, sizeof(*registry));
    if (!registry) {
        (void)fd_close(directory);
        return error_set(error, ERROR_NO_MEMORY, "out of memory");
    }

    registry->directory = directory;
    int r = load_all(registry);
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "cannot read the instances");
    *ret_registry = TAKE_PTR(registry);
    return 0;
}

InstanceRegistry *instance_registry_free(InstanceRegistry *registry)
{
    if (!registry)
        return NULL;

    tdestroy(registry->by_id, free);
    (void)fd_close(registry->directory);
    free(registry);
    return NULL;
}

/* Writes it down, then knows it. */
static int add(InstanceRegistry *registry, const uint8_t *id, uid_t owner, Error *error)
{
    int r = check_limits(registry, owner, error);

    if (r >= 0)
        r = write_record(registry, id, owner, error);
    if (r < 0)
        return r;
    return insert(registry, id, owner) < 0 ? error_set(error, ERROR_NO_MEMORY, "out of memory") : 0;
}

int instance_registry_allocate(InstanceRegistry *registry,
                               uid_t owner,
                               uint8_t ret_id[static INSTANCE_ID_SIZE],
                               Error *error)
{
    uint8_t id[INSTANCE_ID_SIZE];

    int r = random_fill(id, sizeof(id));
    if (r < 0)
        return error_set_errno(error, ERROR_FAILED, r, "no random numbers");
    r = add(registry, id, owner, error);
    if (r >= 0)
        memcpy(ret_id, id, sizeof(id));
    return r;
}

int instance_registry_claim(InstanceRegistry *registry,
                            const uint8_t id[static INSTANCE_ID_SIZE],
                            uid_t owner,
                            bool force,
                            Error *error)
{
    Instance *instance = find(registry, id);

    if (!instance)
        return add(registry, id, owner, error);
    if (instance->owner == owner)
        return 0;
    if (!force)
        return error_set(error, ERROR_ACCESS_DENIED, "the instance is another user's");
    int r = check_limits(registry, owner, error);
    if (r >= 0)
        r = write_record(registry, id, owner, error);
    if (r >= 0)
        instance->owner = owner;
    return r;
}

bool instance_registry_has(const InstanceRegistry *registry,
                           const uint8_t id[static INSTANCE_ID_SIZE],
                           uid_t owner)
{
    const Instance *instance = find(registry, id);

    return instance && instance->owner == owner;
}

int instance_registry_remove(InstanceRegistry *registry,
                             const uint8_t id[static INSTANCE_ID_SIZE],
                             uid_t owner,
                             bool force,
                             Error *error)
{
    Instance *instance = find(registry, id);
    char name[NAME_SIZE];

    if (!instance || (instance->owner != owner && !force))
        return error_set(error, ERROR_NO_SUCH_INSTANCE, "you have no such instance");
    text_hex(id, INSTANCE_ID_SIZE, name);
    if ((unlinkat(registry->directory, name, 0) < 0 && errno != ENOENT) ||
        fsync(registry->directory) < 0)
        return error_set_errno(error, ERROR_FAILED, errno, "cannot forget the instance");
    (void)tdelete(instance, &registry->by_id, compare);
    free(instance);
    registry->n_instances--;
    return 0;
}
