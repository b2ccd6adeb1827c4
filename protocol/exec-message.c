/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/exec-message.h"

#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"

#define EXIT_CODE_MAX 255
#define SIGNAL_MAX    64 /* SIGRTMAX */

/* What the body of a frame is: numbers of its own, then bytes. */
typedef struct FrameKind {
    ExecFrameType type;
    bool from_client;
    size_t head_size;          /* the numbers */
    size_t size_min, size_max; /* the bytes */
} FrameKind;

/* clang-format off */
static const FrameKind kinds[] = {
    { EXEC_REQUEST,     true,  0, 1, EXEC_REQUEST_SIZE_MAX },
    { EXEC_STDIN,       true,  0, 1, EXEC_DATA_MAX },
    { EXEC_STDIN_END,   true,  0, 0, 0 },
    { EXEC_WINDOW,      true,  4, 0, 0 },
    { EXEC_SIGNAL,      true,  4, 0, 0 },
    { EXEC_STDOUT,      false, 0, 1, EXEC_DATA_MAX },
    { EXEC_STDERR,      false, 0, 1, EXEC_DATA_MAX },
    { EXEC_STDIN_TAKEN, false, 4, 0, 0 },
    { EXEC_EXITED,      false, 8, 0, 0 },
    { EXEC_REFUSED,     false, 4, 0, EXEC_TEXT_MAX },
};
/* clang-format on */

static const FrameKind *find_kind(uint32_t type)
{
    for (size_t i = 0; i < ELEMENTS_OF(kinds); i++) {
        if ((uint32_t)kinds[i].type == type)
            return &kinds[i];
    }
    return NULL;
}

bool exec_frame_is_from_client(ExecFrameType type)
{
    const FrameKind *kind = find_kind((uint32_t)type);

    return kind && kind->from_client;
}

bool exec_signal_is_allowed(uint32_t number)
{
    static const uint32_t allowed[] = { 1, 2, 3, 15 };

    for (size_t i = 0; i < ELEMENTS_OF(allowed); i++) {
        if (allowed[i] == number)
            return true;
    }
    return false;
}

static bool frame_is_valid(const ExecFrame *frame)
{
    switch (frame->type) {
    case EXEC_SIGNAL:
        return exec_signal_is_allowed(frame->signal);
    case EXEC_STDIN_TAKEN:
        return frame->taken > 0 && frame->taken <= EXEC_STDIN_WINDOW;
    case EXEC_EXITED:
        return frame->signal == 0 ? frame->exit_code <= EXIT_CODE_MAX
                                  : frame->signal <= SIGNAL_MAX && frame->exit_code == 0;
    case EXEC_REFUSED:
        return frame->refusal > 0 && frame->refusal < EXEC_REFUSAL_MAX;
    case EXEC_REQUEST:
    case EXEC_STDIN:
    case EXEC_STDIN_END:
    case EXEC_WINDOW:
    case EXEC_STDOUT:
    case EXEC_STDERR:
        return true;
    }
    return false;
}

int exec_frame_encode(const ExecFrame *frame, uint8_t *bytes, size_t capacity)
{
    const FrameKind *kind = find_kind((uint32_t)frame->type);
    ByteWriter writer = byte_writer(bytes, capacity);

    if (!kind || frame->size < kind->size_min || frame->size > kind->size_max ||
        !frame_is_valid(frame))
        return -EINVAL;

    byte_writer_put_le32(&writer, (uint32_t)frame->type);
    byte_writer_put_le32(&writer, (uint32_t)(kind->head_size + frame->size));
    if (frame->type == EXEC_WINDOW) {
        byte_writer_put_le16(&writer, frame->window.rows);
        byte_writer_put_le16(&writer, frame->window.columns);
    } else if (frame->type == EXEC_SIGNAL) {
        byte_writer_put_le32(&writer, frame->signal);
    } else if (frame->type == EXEC_STDIN_TAKEN) {
        byte_writer_put_le32(&writer, frame->taken);
    } else if (frame->type == EXEC_EXITED) {
        byte_writer_put_le32(&writer, frame->exit_code);
        byte_writer_put_le32(&writer, frame->signal);
    } else if (frame->type == EXEC_REFUSED) {
        byte_writer_put_le32(&writer, (uint32_t)frame->refusal);
    }
    if (frame->size > 0)
        byte_writer_put_bytes(&writer, frame->bytes, frame->size);
    int r = byte_writer_finish(&writer);
    return r < 0 ? r : (int)writer.size;
}

/* Reads the numbers that a body of @frame's type begins with, which are there. */
static int read_head(ByteReader *reader, ExecFrame *frame)
{
    uint32_t refusal = 0;
    int r = 0;

    if (frame->type == EXEC_WINDOW) {
        r = byte_reader_get_le16(reader, &frame->window.rows);
        if (r >= 0)
            r = byte_reader_get_le16(reader, &frame->window.columns);
    } else if (frame->type == EXEC_SIGNAL) {
        r = byte_reader_get_le32(reader, &frame->signal);
    } else if (frame->type == EXEC_STDIN_TAKEN) {
        r = byte_reader_get_le32(reader, &frame->taken);
    } else if (frame->type == EXEC_EXITED) {
        r = byte_reader_get_le32(reader, &frame->exit_code);
        if (r >= 0)
            r = byte_reader_get_le32(reader, &frame->signal);
    } else if (frame->type == EXEC_REFUSED) {
        r = byte_reader_get_le32(reader, &refusal);
        frame->refusal = refusal < EXEC_REFUSAL_MAX ? (ExecRefusal)refusal : EXEC_REFUSAL_MAX;
    }
    return r;
}

int exec_frame_decode(const uint8_t *bytes, size_t size, ExecFrame *ret_frame)
{
    ByteReader reader = byte_reader(bytes, size);
    ExecFrame frame = { 0 };
    uint32_t type, body_size;

    if (byte_reader_get_le32(&reader, &type) < 0)
        return 0;
    const FrameKind *kind = find_kind(type);
    if (!kind)
        return -EBADMSG;
    if (byte_reader_get_le32(&reader, &body_size) < 0)
        return 0;
    if (body_size < kind->head_size + kind->size_min ||
        body_size > kind->head_size + kind->size_max)
        return -EBADMSG;
    if (reader.size < body_size)
        return 0;

    frame.type = kind->type;
    frame.size = body_size - kind->head_size;
    if (read_head(&reader, &frame) < 0 ||
        byte_reader_get_view(&reader, frame.size, &frame.bytes) < 0 || !frame_is_valid(&frame))
        return -EBADMSG;
    *ret_frame = frame;
    return (int)(EXEC_FRAME_HEADER_SIZE + body_size);
}

/* --- the request --- */

static bool request_is_valid(const ExecRequest *request)
{
    if (request->n_arguments == 0 || request->n_arguments > EXEC_ARGUMENTS_MAX ||
        request->n_variables > EXEC_VARIABLES_MAX || request->arguments[0][0] == '\0' ||
        (request->terminals & ~(unsigned)EXEC_TERMINAL_ALL) != 0)
        return false;
    for (size_t i = 0; i < request->n_variables; i++) {
        if (strcspn(request->variables[i], "=") == 0 || !strchr(request->variables[i], '='))
            return false;
    }
    return true;
}

static void put_strings(ByteWriter *writer, const char *const *strings, size_t n_strings)
{
    for (size_t i = 0; i < n_strings; i++)
        byte_writer_put_bytes(writer, strings[i], strlen(strings[i]) + 1);
}

int exec_request_encode(const ExecRequest *request, uint8_t bytes[static EXEC_REQUEST_SIZE_MAX])
{
    ByteWriter writer = byte_writer(bytes, EXEC_REQUEST_SIZE_MAX);

    if (!request_is_valid(request))
        return -EINVAL;
    byte_writer_put_le32(&writer, EXEC_VERSION);
    byte_writer_put_le32(&writer, request->terminals);
    byte_writer_put_le16(&writer, request->window.rows);
    byte_writer_put_le16(&writer, request->window.columns);
    byte_writer_put_le32(&writer, (uint32_t)request->n_arguments);
    byte_writer_put_le32(&writer, (uint32_t)request->n_variables);
    put_strings(&writer, request->arguments, request->n_arguments);
    put_strings(&writer, request->variables, request->n_variables);
    int r = byte_writer_finish(&writer);
    return r < 0 ? r : (int)writer.size;
}

/* Lends @n_strings strings, each ended by a NUL. */
static int read_strings(ByteReader *reader, size_t n_strings, const char **ret_strings)
{
    for (size_t i = 0; i < n_strings; i++) {
        size_t length = strnlen((const char *)reader->data, reader->size);
        const uint8_t *string;

        if (byte_reader_get_view(reader, length + 1, &string) < 0)
            return -EBADMSG;
        ret_strings[i] = (const char *)string;
    }
    ret_strings[n_strings] = NULL;
    return 0;
}

int exec_request_decode(const uint8_t *bytes, size_t size, ExecRequest *ret_request)
{
    ByteReader reader = byte_reader(bytes, size);
    ExecRequest request = { 0 };
    uint32_t version, terminals, n_arguments, n_variables;

    if (size > EXEC_REQUEST_SIZE_MAX || byte_reader_get_le32(&reader, &version) < 0)
        return -EBADMSG;
    if (version != EXEC_VERSION)
        return -EPROTONOSUPPORT;
    if (byte_reader_get_le32(&reader, &terminals) < 0 ||
        byte_reader_get_le16(&reader, &request.window.rows) < 0 ||
        byte_reader_get_le16(&reader, &request.window.columns) < 0 ||
        byte_reader_get_le32(&reader, &n_arguments) < 0 ||
        byte_reader_get_le32(&reader, &n_variables) < 0 || n_arguments == 0 ||
        n_arguments > EXEC_ARGUMENTS_MAX || n_variables > EXEC_VARIABLES_MAX)
        return -EBADMSG;
    request.terminals = terminals;
    request.n_arguments = n_arguments;
    request.n_variables = n_variables;
    if (read_strings(&reader, n_arguments, request.arguments) < 0 ||
        read_strings(&reader, n_variables, request.variables) < 0 || reader.size > 0 ||
        !request_is_valid(&request))
        return -EBADMSG;

    *ret_request = request;
    return 0;
}
