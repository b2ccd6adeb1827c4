/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon itself knows of a started VM and must not ask its supervisor, who may have been
 * taken over: whose it is, what it was made of, how long it may live. It is written before the
 * launcher hears of the VM, and read by the next daemon. And what is left of a VM that has died:
 * its events, the last of which is the death record.
 *
 * Format: magic, version, then the fields of VmRecord in order, integers little-endian, texts as
 * u32 length and bytes, lists as u16 count and elements; nothing may be left over. Version 1 has no
 * memory_bytes. The file of a
 * death: each event as u32 length and a message of supervisor-message.h. */
#pragma once

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "protocol/event-history.h"
#include "protocol/launch-spec.h"

#define VM_RECORD_MAGIC    0x31524d56U /* "VMR1" */
#define VM_RECORD_VERSION  2
#define VM_RECORD_SIZE_MAX (UINT32_C(16) << 20) /* 2048 images with keys as long as a path */

/* An image of the VM, to tell others by. */
typedef struct VmRecordImage {
    char *key;
    uint32_t mode; /* as st_mode */
    uint64_t device, inode, rdevice;
} VmRecordImage;

typedef struct VmRecord {
    char id[LAUNCH_SPEC_ID_SIZE + 1];
    uint32_t owner;
    uint32_t cid;
    uint32_t cpus;
    uint64_t memory_bytes; /* 0: what the configuration says */
    LaunchSeccompAction seccomp_action;
    uint64_t created_usec; /* CLOCK_REALTIME */
    char *name;
    char *client; /* unique bus name, "": detached */
    char *bus;    /* the GUID of the client's bus */
    char *config; /* JSON */
    uint16_t n_images;
    VmRecordImage *images;
} VmRecord;

void vm_record_deinit(VmRecord *record);

/* Encodes into a new buffer that the caller frees. -ENOMEM. */
int vm_record_encode(const VmRecord *record, uint8_t **ret_bytes, size_t *ret_size);

/* ERROR_NOT_SUPPORTED names both versions where the record is of another one; ERROR_FAILED for
 * anything that is no record. The result is released with vm_record_deinit(). */
int vm_record_decode(const uint8_t *bytes, size_t size, VmRecord *ret_record, Error *error);

/* The same for the events of a VM that has died. @ret_history has at least its death. */
int vm_record_encode_events(const EventHistory *history, uint8_t **ret_bytes, size_t *ret_size);
int vm_record_decode_events(const uint8_t *bytes, size_t size, EventHistory *ret_history);
