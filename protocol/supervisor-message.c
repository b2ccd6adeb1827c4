/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/supervisor-message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "common/text.h"
#include "protocol/console.h"

static void put_i32(ByteWriter *writer, int32_t value)
{
    byte_writer_put_le32(writer, (uint32_t)value);
}

static void put_bytes(ByteWriter *writer, const char *bytes, size_t size)
{
    byte_writer_put_le16(writer, (uint16_t)size);
    byte_writer_put_bytes(writer, bytes, size);
}

static void put_text(ByteWriter *writer, const char *text)
{
    put_bytes(writer, text, strlen(text));
}

static void put_record(ByteWriter *writer, const DeathRecord *record)
{
    byte_writer_put_le32(writer, record->reason);
    byte_writer_put_le32(writer, record->initiator);
    put_i32(writer, record->vmm_exit_code);
    put_i32(writer, record->vmm_signal);
    put_i32(writer, record->payload_exit_code);
    put_i32(writer, record->payload_signal);
    byte_writer_put_u8(writer, record->oom);
    put_text(writer, record->denied_process);
    put_text(writer, record->denied_call);
    put_text(writer, record->denied_layer);
    byte_writer_put_le64(writer, record->died_usec);
    byte_writer_put_le64(writer, record->console_dropped);
    byte_writer_put_le64(writer, record->payload_out_dropped);
    put_text(writer, record->message);
    put_text(writer, record->console_tail);
    put_text(writer, record->vmm_tail);
    byte_writer_put_le32(writer, record->stop_step);
    byte_writer_put_le64(writer, record->crash_report_dropped);
    put_bytes(writer, record->crash_report, record->crash_report_size);
}

size_t supervisor_message_encode(const SupervisorMessage *message,
                                 uint8_t bytes[static SUPERVISOR_MESSAGE_SIZE_MAX])
{
    ByteWriter writer = byte_writer(bytes, SUPERVISOR_MESSAGE_SIZE_MAX);

    byte_writer_put_le16(&writer, (uint16_t)message->type);
    switch (message->type) {
    case SUPERVISOR_LAUNCH:
        byte_writer_put_le32(&writer, message->version);
        byte_writer_put_le32(&writer, message->value);
        break;
    case SUPERVISOR_FILES:
    case SUPERVISOR_KILL:
    case SUPERVISOR_VERIFY_BOOT:
        byte_writer_put_le32(&writer, message->value);
        break;
    case SUPERVISOR_STOP:
        byte_writer_put_le32(&writer, message->stop.first);
        byte_writer_put_le64(&writer, message->stop.guest_timeout_usec);
        byte_writer_put_le64(&writer, message->stop.acpi_timeout_usec);
        byte_writer_put_u8(&writer, message->stop.kill);
        break;
    case SUPERVISOR_CONNECT:
    case SUPERVISOR_LISTEN_VSOCK:
    case SUPERVISOR_CAPTURE_VSOCK:
    case SUPERVISOR_OPEN_CONSOLE:
    case SUPERVISOR_OPEN_LOG:
    case SUPERVISOR_CONNECTED:
        byte_writer_put_le32(&writer, message->id);
        byte_writer_put_le32(&writer, message->value);
        break;
    case SUPERVISOR_SET_BALLOON:
        byte_writer_put_le64(&writer, message->size);
        break;
    case SUPERVISOR_INITIALIZE_PARTITION:
        byte_writer_put_le32(&writer, message->value);
        byte_writer_put_le64(&writer, message->size);
        break;
    case SUPERVISOR_REFUSED:
        byte_writer_put_le32(&writer, message->error_kind);
        put_text(&writer, message->text);
        break;
    case SUPERVISOR_RUNNING:
    case SUPERVISOR_STOP_STEP:
        byte_writer_put_le64(&writer, message->event_number);
        byte_writer_put_le32(&writer, message->value);
        byte_writer_put_le64(&writer, message->time_usec);
        break;
    case SUPERVISOR_EVENT:
        byte_writer_put_le64(&writer, message->event_number);
        byte_writer_put_le64(&writer, message->time_usec);
        byte_writer_put_le32(&writer, message->event);
        put_i32(&writer, message->exit_code);
        byte_writer_put_le32(&writer, message->error_code);
        put_text(&writer, message->text);
        break;
    case SUPERVISOR_DIED:
        byte_writer_put_le64(&writer, message->event_number);
        put_record(&writer, &message->record);
        break;
    case SUPERVISOR_ACKNOWLEDGE:
        byte_writer_put_le64(&writer, message->event_number);
        break;
    case SUPERVISOR_HELLO:
        byte_writer_put_le32(&writer, message->version);
        break;
    case SUPERVISOR_STATE:
        byte_writer_put_le64(&writer, message->event_number);
        byte_writer_put_le64(&writer, message->acknowledged);
        byte_writer_put_le32(&writer, message->state);
        byte_writer_put_le32(&writer, message->resume_to);
        byte_writer_put_le32(&writer, message->value);
        byte_writer_put_le64(&writer, message->time_usec);
        break;
    case SUPERVISOR_SUSPEND:
    case SUPERVISOR_RESUME:
    case SUPERVISOR_CREATE_IDSIG:
    case SUPERVISOR_ADOPT:
    case SUPERVISOR_ACCEPTED:
        break;
    }
    assert(byte_writer_finish(&writer) == 0); /* the texts are bounded, most by their arrays */
    return writer.size;
}

static int get_i32(ByteReader *reader, int32_t min, int32_t max, int32_t *ret_value)
{
    uint32_t value;

    if (byte_reader_get_le32(reader, &value) < 0 || (int32_t)value < min || (int32_t)value > max)
        return -EBADMSG;

    *ret_value = (int32_t)value;
    return 0;
}

static int get_u32(ByteReader *reader, uint32_t min, uint32_t max, uint32_t *ret_value)
{
    if (byte_reader_get_le32(reader, ret_value) < 0 || *ret_value < min || *ret_value > max)
        return -EBADMSG;
    return 0;
}

/* Reads text into @text, an array of @max + 1 bytes. */
static int get_text(ByteReader *reader, size_t max, char *text)
{
    uint16_t length;

    if (byte_reader_get_le16(reader, &length) < 0 || length > max ||
        byte_reader_get_bytes(reader, text, length) < 0)
        return -EBADMSG;

    text[length] = '\0';
    return text_is_printable(text, length) ? 0 : -EBADMSG;
}

/* The same for text that stays where it is. */
static int get_view(ByteReader *reader, size_t max, const char **ret_text, size_t *ret_size)
{
    const uint8_t *view;
    uint16_t size;

    if (byte_reader_get_le16(reader, &size) < 0 || size > max ||
        byte_reader_get_view(reader, size, &view) < 0 ||
        !text_is_printable((const char *)view, size))
        return -EBADMSG;

    *ret_text = (const char *)view;
    *ret_size = size;
    return 0;
}

static int get_record(ByteReader *reader, DeathRecord *record)
{
    uint32_t reason, initiator, stop_step;
    uint8_t oom;

    if (get_u32(reader, 0, DEATH_REASON_MAX - 1, &reason) < 0 ||
        get_u32(reader, INITIATOR_GUEST, INITIATOR_MAX - 1, &initiator) < 0 ||
        get_i32(reader, -1, 255, &record->vmm_exit_code) < 0 ||
        get_i32(reader, 0, 64, &record->vmm_signal) < 0 ||
        get_i32(reader, -1, 255, &record->payload_exit_code) < 0 ||
        get_i32(reader, 0, 64, &record->payload_signal) < 0 ||
        byte_reader_get_u8(reader, &oom) < 0 || oom > 1 ||
        get_text(reader, SUPERVISOR_NAME_MAX, record->denied_process) < 0 ||
        get_text(reader, SUPERVISOR_NAME_MAX, record->denied_call) < 0 ||
        get_text(reader, SUPERVISOR_NAME_MAX, record->denied_layer) < 0 ||
        byte_reader_get_le64(reader, &record->died_usec) < 0 ||
        byte_reader_get_le64(reader, &record->console_dropped) < 0 ||
        byte_reader_get_le64(reader, &record->payload_out_dropped) < 0 ||
        get_text(reader, SUPERVISOR_TEXT_MAX, record->message) < 0 ||
        get_text(reader, SUPERVISOR_TAIL_MAX, record->console_tail) < 0 ||
        get_text(reader, SUPERVISOR_TAIL_MAX, record->vmm_tail) < 0 ||
        get_u32(reader, STOP_STEP_NONE, STOP_STEP_MAX - 1, &stop_step) < 0 ||
        byte_reader_get_le64(reader, &record->crash_report_dropped) < 0 ||
        get_view(reader, SUPERVISOR_CRASH_REPORT_MAX, &record->crash_report,
                 &record->crash_report_size) < 0)
        return -EBADMSG;

    record->reason = (DeathReason)reason;
    record->initiator = (DeathInitiator)initiator;
    record->oom = oom;
    record->stop_step = (StopStep)stop_step;
    /* The numbers of AVF's enum have gaps. */
    return death_reason_to_string(record->reason) ? 0 : -EBADMSG;
}

static int get_event(ByteReader *reader, SupervisorMessage *message)
{
    uint32_t event, error_code;

    if (byte_reader_get_le64(reader, &message->event_number) < 0 ||
        byte_reader_get_le64(reader, &message->time_usec) < 0 ||
        get_u32(reader, VM_EVENT_START, VM_EVENT_STOP, &event) < 0 ||
        get_i32(reader, 0, 255, &message->exit_code) < 0 ||
        get_u32(reader, 0, GUEST_ERROR_CODE_MAX - 1, &error_code) < 0 ||
        get_text(reader, SUPERVISOR_TEXT_MAX, message->text) < 0)
        return -EBADMSG;

    message->event = (VmEvent)event;
    message->error_code = (GuestErrorCode)error_code;
    return 0;
}

static int get_state(ByteReader *reader, SupervisorMessage *message)
{
    uint32_t state, resume_to;

    if (byte_reader_get_le64(reader, &message->event_number) < 0 ||
        byte_reader_get_le64(reader, &message->acknowledged) < 0 ||
        message->acknowledged > message->event_number ||
        get_u32(reader, VM_STARTING, VM_DEAD, &state) < 0 ||
        get_u32(reader, 0, VM_STATE_MAX - 1, &resume_to) < 0 ||
        (state == VM_SUSPENDED && (resume_to < VM_STARTING || resume_to > VM_FINISHED)) ||
        byte_reader_get_le32(reader, &message->value) < 0 ||
        byte_reader_get_le64(reader, &message->time_usec) < 0)
        return -EBADMSG;

    message->state = (VmState)state;
    message->resume_to = (VmState)resume_to;
    return 0;
}

static int get_stop(ByteReader *reader, StopPlan *plan)
{
    uint32_t first;
    uint8_t kill;

    if (get_u32(reader, STOP_STEP_GUEST, STOP_STEP_MAX - 1, &first) < 0 ||
        byte_reader_get_le64(reader, &plan->guest_timeout_usec) < 0 ||
        plan->guest_timeout_usec > STOP_TIMEOUT_USEC_MAX ||
        byte_reader_get_le64(reader, &plan->acpi_timeout_usec) < 0 ||
        plan->acpi_timeout_usec > STOP_TIMEOUT_USEC_MAX || byte_reader_get_u8(reader, &kill) < 0 ||
        kill > 1)
        return -EBADMSG;

    plan->first = (StopStep)first;
    plan->kill = kill;
    return 0;
}

static int get_body(ByteReader *reader, SupervisorMessage *message)
{
    uint32_t kind;

    switch (message->type) {
    case SUPERVISOR_LAUNCH:
        if (byte_reader_get_le32(reader, &message->version) < 0)
            return -EBADMSG;
        return byte_reader_get_le32(reader, &message->value);
    case SUPERVISOR_FILES:
        return byte_reader_get_le32(reader, &message->value);
    case SUPERVISOR_STOP:
        return get_stop(reader, &message->stop);
    case SUPERVISOR_STOP_STEP:
        if (byte_reader_get_le64(reader, &message->event_number) < 0 ||
            get_u32(reader, STOP_STEP_NONE, STOP_STEP_MAX - 1, &message->value) < 0)
            return -EBADMSG;
        return byte_reader_get_le64(reader, &message->time_usec);
    case SUPERVISOR_KILL:
        return get_u32(reader, INITIATOR_GUEST, INITIATOR_MAX - 1, &message->value);
    case SUPERVISOR_CONNECT:
    case SUPERVISOR_LISTEN_VSOCK:
    case SUPERVISOR_CAPTURE_VSOCK:
    case SUPERVISOR_CONNECTED:
        if (byte_reader_get_le32(reader, &message->id) < 0)
            return -EBADMSG;
        return byte_reader_get_le32(reader, &message->value);
    case SUPERVISOR_OPEN_CONSOLE:
        if (byte_reader_get_le32(reader, &message->id) < 0)
            return -EBADMSG;
        return get_u32(reader, 0, CONSOLE_MODE_MAX - 1, &message->value);
    case SUPERVISOR_OPEN_LOG:
        if (byte_reader_get_le32(reader, &message->id) < 0)
            return -EBADMSG;
        return get_u32(reader, 0, LOG_KIND_MAX - 1, &message->value);
    case SUPERVISOR_SET_BALLOON:
        return byte_reader_get_le64(reader, &message->size);
    case SUPERVISOR_VERIFY_BOOT:
        return byte_reader_get_le32(reader, &message->value);
    case SUPERVISOR_INITIALIZE_PARTITION:
        if (byte_reader_get_le32(reader, &message->value) < 0)
            return -EBADMSG;
        return byte_reader_get_le64(reader, &message->size);
    case SUPERVISOR_REFUSED:
        if (get_u32(reader, ERROR_FAILED, ERROR_KIND_MAX - 1, &kind) < 0)
            return -EBADMSG;
        message->error_kind = (ErrorKind)kind;
        return get_text(reader, SUPERVISOR_TEXT_MAX, message->text);
    case SUPERVISOR_RUNNING:
        if (byte_reader_get_le64(reader, &message->event_number) < 0 ||
            byte_reader_get_le32(reader, &message->value) < 0)
            return -EBADMSG;
        return byte_reader_get_le64(reader, &message->time_usec);
    case SUPERVISOR_EVENT:
        return get_event(reader, message);
    case SUPERVISOR_DIED:
        if (byte_reader_get_le64(reader, &message->event_number) < 0)
            return -EBADMSG;
        return get_record(reader, &message->record);
    case SUPERVISOR_ACKNOWLEDGE:
        return byte_reader_get_le64(reader, &message->event_number);
    case SUPERVISOR_HELLO:
        return byte_reader_get_le32(reader, &message->version);
    case SUPERVISOR_STATE:
        return get_state(reader, message);
    case SUPERVISOR_SUSPEND:
    case SUPERVISOR_RESUME:
    case SUPERVISOR_CREATE_IDSIG:
    case SUPERVISOR_ADOPT:
    case SUPERVISOR_ACCEPTED:
        return 0;
    }
    return -EBADMSG;
}

int supervisor_message_decode(const uint8_t *bytes, size_t size, SupervisorMessage *ret_message)
{
    ByteReader reader = byte_reader(bytes, size);
    SupervisorMessage message = { 0 };
    uint16_t type;

    if (byte_reader_get_le16(&reader, &type) < 0)
        return -EBADMSG;

    message.type = (SupervisorMessageType)type;
    int r = get_body(&reader, &message);
    if (r < 0)
        return r;
    if (reader.size != 0)
        return -EBADMSG;

    *ret_message = message;
    return 0;
}
