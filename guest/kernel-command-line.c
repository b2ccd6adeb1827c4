/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/kernel-command-line.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

/* COMMAND_LINE_SIZE of x86 and arm64. */
#define LINE_SIZE_MAX 2048

#define SPACES " \t\n"

bool kernel_command_line_has(const char *line, const char *word)
{
    for (line += strspn(line, SPACES); *line; line += strspn(line, SPACES)) {
        size_t size = strcspn(line, SPACES);

        if (size == strlen(word) && memcmp(line, word, size) == 0)
            return true;
        line += size;
    }
    return false;
}

bool kernel_command_line_of_boot_has(const char *word)
{
    char line[LINE_SIZE_MAX + 1];

    _cleanup_close_ int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, line, sizeof(line) - 1);
    if (size < 0)
        return false;
    line[size] = '\0';
    return kernel_command_line_has(line, word);
}
