/* SPDX-License-Identifier: Apache-2.0 */
#include "vmctl/detach-key.h"

#include <stdio.h>
#include <string.h>

#define CONTROL(letter) ((uint8_t)((letter) ^ 0x40))

int detach_key_init(DetachKey *detach, const char *text, Error *error)
{
    *detach = (DetachKey){ .key = CONTROL(']'), .n_needed = DETACH_KEY_PRESSES };
    if (!text)
        return 0;

    size_t length = strlen(text);
    detach->n_needed = 1;
    if (length == 1 && text[0] > ' ' && text[0] < 0x7f)
        detach->key = (uint8_t)text[0];
    else if (length == 2 && text[0] == '^' && text[1] >= 'a' && text[1] <= 'z')
        detach->key = CONTROL(text[1] - 'a' + 'A');
    else if (length == 2 && text[0] == '^' && text[1] >= '@' && text[1] <= '_')
        detach->key = CONTROL(text[1]);
    else
        return error_set(error, ERROR_INVALID_ARGUMENT,
                         "option '--escape' takes a key as '^]' or '~', not '%s'", text);
    return 0;
}

const char *detach_key_describe(const DetachKey *detach, char text[static 64])
{
    bool is_control = detach->key < ' ';

    (void)snprintf(text, 64, "%s%c%s", is_control ? "Ctrl+" : "",
                   is_control ? CONTROL(detach->key) : detach->key,
                   detach->n_needed > 1 ? " three times within a second" : "");
    return text;
}

size_t detach_key_inspect(DetachKey *detach, const uint8_t *bytes, size_t size, uint64_t now_usec)
{
    uint64_t *pressed = detach->pressed_usec;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != detach->key) {
            detach->n_pressed = 0;
            continue;
        }
        if (detach->n_pressed == detach->n_needed) {
            memmove(pressed, pressed + 1, (detach->n_needed - 1) * sizeof(*pressed));
            detach->n_pressed--;
        }
        pressed[detach->n_pressed++] = now_usec;
        if (detach->n_pressed == detach->n_needed && now_usec - pressed[0] <= DETACH_KEY_USEC_MAX)
            return i;
    }
    return size;
}
