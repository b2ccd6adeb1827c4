/* SPDX-License-Identifier: Apache-2.0 */
/* The secret of the host, that of every instance is derived from. It is a credential of the service
 * manager's ("host-secret", see systemd.exec(5), LoadCredential=), or a file that only whoever runs
 * the launcher can read: one that the administrator names, or else one that is made, once, in the
 * launcher's own state directory. Whoever has it has all instances' secrets; a host that loses it
 * has lost what its guests have encrypted. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define HOST_SECRET_NAME     "host-secret"
#define HOST_SECRET_SIZE_MIN 32
#define HOST_SECRET_SIZE_MAX 4096
#define HOST_SECRET_NEW_SIZE 64

typedef struct HostSecretOptions {
    const char *credentials_dir; /* of the service manager; NULL without */
    const char *file;            /* NULL: "host-secret" in the state directory, made when missing */
    const char *state_dir;       /* made when missing; not one of the daemon's user */
} HostSecretOptions;

typedef struct HostSecret {
    uint8_t bytes[HOST_SECRET_SIZE_MAX];
    size_t size;
} HostSecret;

/* Reads it, after making it if need be. Several processes may do so at once. */
int host_secret_read(const HostSecretOptions *options, HostSecret *ret_secret, Error *error);

/* To be called as soon as the secret has been used, also after a failure. */
void host_secret_wipe(HostSecret *secret);
