/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of microguest's tests: does what it is told by connections to vsock port 5000, each
 * of which carries one line, a command and its argument, and gets the answer as text. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm_payload.h"

#define PORT 5000

/* --- commands --- */

static void print_hex(FILE *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", bytes[i]);
    fputc('\n', out);
}

static void do_secret(FILE *out, const char *argument)
{
    uint8_t secret[32];

    AVmPayload_getVmInstanceSecret(argument, strlen(argument), secret, sizeof(secret));
    print_hex(out, secret, sizeof(secret));
}

static void do_new(FILE *out, const char *argument)
{
    (void)argument;
    fprintf(out, "%s\n", AVmPayload_isNewInstance() ? "yes" : "no");
}

static void do_paths(FILE *out, const char *argument)
{
    const char *storage = AVmPayload_getEncryptedStoragePath();

    (void)argument;
    fprintf(out, "%s %s\n", AVmPayload_getApkContentsPath(), storage ? storage : "none");
}

/* NAME TEXT */
static void do_write(FILE *out, const char *argument)
{
    const char *space = strchr(argument, ' ');
    char path[512];

    snprintf(path, sizeof(path), "%.*s", (int)(space ? space - argument : 0), argument);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    if (!space || fd < 0 || write(fd, space + 1, strlen(space + 1)) < 0 || fsync(fd) < 0)
        fprintf(out, "%s\n", strerror(errno));
    else
        fprintf(out, "written\n");
    if (fd >= 0)
        close(fd);
}

static void do_read(FILE *out, const char *path)
{
    char buffer[4096];
    ssize_t n;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(out, "%s\n", strerror(errno));
        return;
    }
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        fwrite(buffer, 1, (size_t)n, out);
    if (n < 0)
        fprintf(out, "\n%s\n", strerror(errno));
    close(fd);
}

/* How many bytes can be read, and a sum of them (FNV-1a). */
static void do_sum(FILE *out, const char *path)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325), size = 0;
    uint8_t buffer[65536];
    ssize_t n;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(out, "%s\n", strerror(errno));
        return;
    }
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            sum = (sum ^ buffer[i]) * UINT64_C(0x100000001b3);
        size += (uint64_t)n;
    }
    fprintf(out, "%llu %016llx %s\n", (unsigned long long)size, (unsigned long long)sum,
            n < 0 ? strerror(errno) : "whole");
    close(fd);
}

/* nftw(3) takes nothing along. */
static struct {
    uint64_t sum, n_files;
    int error;
} tree;

static int add_to_tree(const char *path, const struct stat *status, int type, struct FTW *where)
{
    uint8_t buffer[65536];
    ssize_t n;

    (void)status;
    (void)where;
    if (type != FTW_F)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0; /* what it may not read it is not handed either */
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            tree.sum = (tree.sum ^ buffer[i]) * UINT64_C(0x100000001b3);
    }
    if (n < 0)
        tree.error = errno;
    close(fd);
    tree.n_files++;
    return 0;
}

/* Of all that can be read of the file system below the path. */
static void do_sum_tree(FILE *out, const char *path)
{
    memset(&tree, 0, sizeof(tree));
    if (nftw(path, add_to_tree, 16, FTW_PHYS | FTW_MOUNT) < 0)
        tree.error = errno;
    fprintf(out, "%llu %016llx %s\n", (unsigned long long)tree.n_files,
            (unsigned long long)tree.sum, tree.error ? strerror(tree.error) : "whole");
}

static void do_list(FILE *out, const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;

    if (!directory) {
        fprintf(out, "%s\n", strerror(errno));
        return;
    }
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] != '.')
            fprintf(out, "%s\n", entry->d_name);
    }
    closedir(directory);
}

/* The exit status of a program. */
static void do_execute(FILE *out, const char *path)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        execl(path, path, (char *)NULL);
        _exit(100 + (errno & 0x1f));
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        fprintf(out, "%s\n", strerror(errno));
    else
        fprintf(out, "%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* What a payload may not do. */
static void do_escape(FILE *out, const char *argument)
{
    (void)argument;
    fprintf(out, "setuid: %s\n", setuid(0) < 0 ? strerror(errno) : "done");
    fprintf(out, "mount: %s\n",
            mount("none", "/tmp", "tmpfs", 0, NULL) < 0 ? strerror(errno) : "done");
    fprintf(out, "kill: %s\n", kill(1, SIGKILL) < 0 ? strerror(errno) : "done");
    fprintf(out, "root: %s\n",
            open("/etc/new", O_CREAT | O_WRONLY, 0600) < 0 ? strerror(errno) : "done");
    fprintf(out, "disk: %s\n", open("/dev/vda", O_RDONLY) < 0 ? strerror(errno) : "done");
    fprintf(out, "memory: %s\n", open("/proc/1/mem", O_RDONLY) < 0 ? strerror(errno) : "done");
}

static void do_write_rollback(FILE *out, const char *argument)
{
    char secret[32] = "";

    memcpy(secret, argument, strnlen(argument, sizeof(secret)));
    fprintf(out, "%d\n", AVmPayload_writeRollbackProtectedSecret(secret, sizeof(secret)));
}

static void do_read_rollback(FILE *out, const char *argument)
{
    char secret[33] = "";
    int n = AVmPayload_readRollbackProtectedSecret(secret, sizeof(secret) - 1);

    (void)argument;
    fprintf(out, "%d %s\n", n, secret);
}

static void do_crash(FILE *out, const char *argument)
{
    volatile int *nowhere = NULL;

    (void)out;
    (void)argument;
    *nowhere = 1;
}

static const struct {
    const char *name;
    void (*run)(FILE *out, const char *argument);
} commands[] = {
    { "secret", do_secret },
    { "new", do_new },
    { "paths", do_paths },
    { "write", do_write },
    { "read", do_read },
    { "sum", do_sum },
    { "sum-tree", do_sum_tree },
    { "list", do_list },
    { "execute", do_execute },
    { "escape", do_escape },
    { "write-rollback", do_write_rollback },
    { "read-rollback", do_read_rollback },
    { "crash", do_crash },
};

/* Returns the exit code when the line was "exit N", else -1. */
static int run_command(FILE *out, char *line)
{
    char *space = strchr(line, ' ');
    const char *argument = space ? space + 1 : "";

    if (space)
        *space = '\0';
    if (strcmp(line, "exit") == 0)
        return atoi(argument);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, line) == 0) {
            commands[i].run(out, argument);
            return -1;
        }
    }
    fprintf(out, "no command '%s'\n", line);
    return -1;
}

static int serve(int listener)
{
    for (;;) {
        char line[1024];

        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        FILE *stream = fdopen(fd, "r+");
        if (!stream || !fgets(line, sizeof(line), stream)) {
            close(fd);
            continue;
        }
        line[strcspn(line, "\n")] = '\0';
        fseek(stream, 0, SEEK_CUR); /* from reading to writing */
        int code = run_command(stream, line);
        fclose(stream);
        if (code >= 0)
            return code;
    }
}

int main(void)
{
    const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                         .svm_cid = VMADDR_CID_ANY,
                                         .svm_port = PORT };
    int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)signal(SIGPIPE, SIG_IGN);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 8) < 0) {
        perror("vsock");
        return 99;
    }
    printf("the probe runs\n");
    fflush(stdout);
    AVmPayload_notifyPayloadReady();
    return serve(listener);
}
