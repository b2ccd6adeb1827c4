/* SPDX-License-Identifier: Apache-2.0 */
/* Which virtio devices the guest has. */
#pragma once

#include <stdbool.h>

/* Source: Virtual I/O Device (VIRTIO) Version 1.2, 5 "Device Types". */
#define VIRTIO_DEVICE_BALLOON 5U

/* Whether a device of this type is on the virtio bus, whose driver is loaded already. */
bool virtio_device_is_there(unsigned type);
