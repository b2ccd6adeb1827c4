/* SPDX-License-Identifier: Apache-2.0 */
/* payload-launcher: runs a payload that is a shared library by calling its AVmPayload_main(). Its
 * messages are those of AVF's launcher, which people look for. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef int PayloadMain(void);

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "Usage: payload-launcher LIBRARY\n");
        return EXIT_FAILURE;
    }
    const char *path = argv[1];
    /* Standard output is a pipe to the host: lines show when they are printed. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);

    /* The library stays loaded until the process ends: its threads may outlive its main function.
     */
    void *library = dlopen(path, RTLD_NOW);
    if (!library) {
        (void)fprintf(stderr, "Failed to dlopen %s: %s\n", path, dlerror());
        return EXIT_FAILURE;
    }
    PayloadMain *payload_main = (PayloadMain *)dlsym(library, "AVmPayload_main");
    if (!payload_main) {
        (void)fprintf(stderr, "Failed to find entrypoint AVmPayload_main in %s\n", path);
        return EXIT_FAILURE;
    }
    return payload_main();
}
