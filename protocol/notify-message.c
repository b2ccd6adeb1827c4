/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/notify-message.h"

#include <errno.h>
#include <string.h>

#include "common/text.h"

#define EXIT_STATUS_MAX 255

/* The value of the line when it is of that @name; else NULL. */
static const char *match(const char *line, size_t size, const char *name, size_t *ret_size)
{
    size_t length = strlen(name);

    if (size < length || memcmp(line, name, length) != 0)
        return NULL;
    *ret_size = size - length;
    return line + length;
}

static int take_exit_status(const char *value, size_t size, NotifyMessage *message)
{
    char digits[4];
    uint64_t number;

    if (size >= sizeof(digits))
        return -EBADMSG;
    memcpy(digits, value, size);
    digits[size] = '\0';
    if (text_parse_u64(digits, EXIT_STATUS_MAX, &number) < 0)
        return -EBADMSG;
    message->has_exit_status = true;
    message->exit_status = (int32_t)number;
    return 0;
}

static int take_line(const char *line, size_t size, NotifyMessage *message)
{
    size_t value_size;
    const char *value;

    if (!memchr(line, '=', size))
        return -EBADMSG;
    if ((value = match(line, size, "READY=", &value_size)))
        message->is_ready = message->is_ready || (value_size == 1 && *value == '1');
    else if ((value = match(line, size, "STATUS=", &value_size)))
        (void)text_escape(value, value_size, message->status, sizeof(message->status));
    else if ((value = match(line, size, "EXIT_STATUS=", &value_size)))
        return take_exit_status(value, value_size, message);
    return 0;
}

int notify_message_decode(const char *text, size_t size, NotifyMessage *ret_message)
{
    NotifyMessage message = { 0 };

    if (size == 0 || size > NOTIFY_MESSAGE_MAX || memchr(text, '\0', size))
        return -EBADMSG;
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t line_size = end ? (size_t)(end - text) : size;

        if (line_size > 0 && take_line(text, line_size, &message) < 0)
            return -EBADMSG;
        size_t used = line_size + (end != NULL);
        text += used;
        size -= used;
    }
    *ret_message = message;
    return 0;
}
