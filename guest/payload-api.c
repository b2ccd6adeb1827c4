/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/payload-api.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void AVmPayload_notifyPayloadReady(void)
{
    static const char message[] = "READY=1\n";
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = getenv("VIRTUALIZATIOND_READY_SOCKET");

    if (!path || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path) + 1);

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL | MSG_DONTWAIT,
                 (const struct sockaddr *)&address, sizeof(address));
    (void)close(fd);
}
