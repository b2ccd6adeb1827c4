/* SPDX-License-Identifier: Apache-2.0 */
/* libvmpayload: what a payload may ask of the virtual machine that it runs in. The functions have
 * the names and meanings of Android's vm_payload.h; those about binder and attestation are left
 * out.
 *
 * A payload can do nothing about a machine that does not serve it, so most functions have no way to
 * fail: on misuse, or when the machine does not answer, they print a message to standard error and
 * abort(3). All may be called by any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm_main.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Why a rollback-protected secret was neither read nor written. */
typedef enum AVmAccessRollbackProtectedSecretStatus {
    /* Never written by this instance, or lost since. */
    AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_ENTRY_NOT_FOUND = -1,
    /* The size is not the one that is supported. */
    AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_BAD_SIZE = -2,
    /* This machine has no such storage, or it did not work. */
    AVMACCESSROLLBACKPROTECTEDSECRETSTATUS_ACCESS_FAILED = -3,
} AVmAccessRollbackProtectedSecretStatus;

/* Tells the host that the payload can serve. May be called again, to no effect. Without a listener
 * there is nobody to tell, so this one does not abort. */
void AVmPayload_notifyPayloadReady(void);

/* Gets the first @size bytes, at most 32, of a secret that belongs to this instance and this
 * identifier: the same each time the instance runs, another one for another identifier or instance.
 * The identifier is at most 4096 bytes of any kind and need not be secret. For a new instance (see
 * AVmPayload_isNewInstance()) the secrets are new, too: what older ones encrypted is lost. */
void AVmPayload_getVmInstanceSecret(const void *identifier,
                                    size_t identifier_size,
                                    void *secret,
                                    size_t size);

/* The directory with the files of the payload's archive, read-only. Not to be freed. */
const char *AVmPayload_getApkContentsPath(void);

/* A directory whose files outlive the payload, encrypted by a key that only this instance has; NULL
 * when the machine has none. The host cannot read them, but may delete them or bring back older
 * ones. Not to be freed. */
const char *AVmPayload_getEncryptedStoragePath(void);

/* Stores @size bytes, which must be 32, in place of those that were stored before; they are on the
 * disk when this returns, and no loss of power brings back the former ones. The host cannot read
 * them. Whoever can write the instance image can bring back older ones, with all else that it holds
 * or alone: where that matters, they are to be compared with something outside the host. Returns
 * the number of bytes written, or a negative AVmAccessRollbackProtectedSecretStatus. */
int32_t AVmPayload_writeRollbackProtectedSecret(const void *data, size_t size);

/* Reads back what AVmPayload_writeRollbackProtectedSecret() stored last, in this run of the
 * instance or an earlier one. @size must be 32. Returns the number of bytes read, or a negative
 * AVmAccessRollbackProtectedSecretStatus. */
int32_t AVmPayload_readRollbackProtectedSecret(void *data, size_t size);

/* Whether this is the first run of the instance: there is nothing yet to be decrypted, and what
 * looks as if there was is not this instance's. */
bool AVmPayload_isNewInstance(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
