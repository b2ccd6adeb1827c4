/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that counts how often its instance has run, in a file that the host keeps and cannot
 * forge, and can neither put back to an older state nor give to another instance unnoticed:
 *
 * - The file is in the encrypted storage, where the host cannot read it.
 * - Beside the count it has a seal: the instance's secret for that very count. Only the instance
 * can get it, so a file with the right seal is the instance's own.
 * - An older file has the right seal, too. So the seal of the newest file is kept as the
 *   rollback-protected secret. The file is written first: a payload that ends in between finds the
 *   seal of the count before.
 *
 * All of it is done with what libvmpayload has. Much data would get a key from
 * AVmPayload_getVmInstanceSecret(), and a cipher. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vm_payload.h>

#define SEAL_SIZE 32

typedef struct State {
    uint64_t count;
    uint8_t seal[SEAL_SIZE];
} State;

static void make_seal(uint64_t count, uint8_t *ret_seal)
{
    char identifier[64];
    int length = snprintf(identifier, sizeof(identifier), "sealed-counter %" PRIu64, count);

    AVmPayload_getVmInstanceSecret(identifier, (size_t)length, ret_seal, SEAL_SIZE);
}

static bool has_seal_of(const uint8_t *seal, uint64_t count)
{
    uint8_t expected[SEAL_SIZE];

    make_seal(count, expected);
    return memcmp(seal, expected, SEAL_SIZE) == 0;
}

/* Whether there is a file that this instance wrote. */
static bool read_state(const char *path, State *ret_state)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, ret_state, sizeof(*ret_state));
    close(fd);
    return n == sizeof(*ret_state) && has_seal_of(ret_state->seal, ret_state->count);
}

/* Replaces the file: after a crash there is the old one or the new one. */
static bool write_state(const char *path, const State *state)
{
    char temporary[512];

    snprintf(temporary, sizeof(temporary), "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, state, sizeof(*state)) == sizeof(*state) && fsync(fd) == 0;
    close(fd);
    return ok && rename(temporary, path) == 0;
}

/* Whether the file, or that there is none, is what the instance left last. */
static bool is_newest(bool found, const State *state)
{
    uint8_t newest[SEAL_SIZE];
    int32_t r = AVmPayload_readRollbackProtectedSecret(newest, sizeof(newest));

    if (r == AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_ENTRY_NOT_FOUND)
        return !found || state->count == 1; /* ended before the first one was kept */
    if (r < 0) {
        printf("This machine does not protect against rollback\n");
        return true;
    }
    return found && (has_seal_of(newest, state->count) || has_seal_of(newest, state->count - 1));
}

int AVmPayload_main(void)
{
    const char *storage = AVmPayload_getEncryptedStoragePath();
    State state = { 0 };
    char path[256];

    if (!storage) {
        fprintf(stderr, "The VM has no encrypted storage\n");
        return 1;
    }
    snprintf(path, sizeof(path), "%s/count", storage);

    /* Of a new instance there is nothing: what is there was another's, with other secrets. */
    bool found = !AVmPayload_isNewInstance() && read_state(path, &state);
    if (!AVmPayload_isNewInstance() && !is_newest(found, &state)) {
        fprintf(stderr, "The storage is not what this instance left there\n");
        return 2;
    }

    state.count = found ? state.count + 1 : 1;
    make_seal(state.count, state.seal);
    if (!write_state(path, &state)) {
        fprintf(stderr, "Cannot write %s: %s\n", path, strerror(errno));
        return 1;
    }
    (void)AVmPayload_writeRollbackProtectedSecret(state.seal, SEAL_SIZE); /* said above if not */

    printf("This is run %" PRIu64 " of the instance\n", state.count);
    AVmPayload_notifyPayloadReady();
    return 0;
}
