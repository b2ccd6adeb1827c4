/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of the integration tests: does what probe=MODE[:ARGUMENT] on the guest's kernel
 * command line asks for, and prints what it sees. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/reboot.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vm_payload.h>

#define INTERFACE "org.virtualizationd1.VirtualMachineService"

static unsigned own_cid(void)
{
    unsigned cid = 0;
    int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0)
        printf("no CID: %s\n", strerror(errno));
    return cid;
}

static int dial_host(unsigned port)
{
    struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = 2, .svm_port = port };
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        printf("dial %u: %s\n", port == own_cid() ? 0 : port, strerror(errno));
        return -1;
    }
    return fd;
}

/* Prints the reply, up to its NUL, as one line. */
static void print_reply(int fd, const char *what)
{
    char reply[2048];
    size_t size = 0;

    while (size < sizeof(reply) - 1) {
        ssize_t n = read(fd, reply + size, 1);
        if (n <= 0 || reply[size] == '\0')
            break;
        size++;
    }
    reply[size] = '\0';
    printf("%s: %s\n", what, *reply ? reply : "closed");
}

/* Sends @size bytes and prints what comes back. */
static void call(const char *what, const void *bytes, size_t size)
{
    int fd = dial_host(own_cid());

    if (fd < 0)
        return;
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    print_reply(fd, what);
    close(fd);
}

static void call_text(const char *what, const char *text)
{
    call(what, text, strlen(text) + 1);
}

static void report_error(const char *code)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "{\"method\":\"" INTERFACE
                   ".Error\",\"parameters\":{\"code\":\"%s\",\"message\":\"the probe's word\"}}",
                   code);
    call_text("error", text);
}

/* Sends @size bytes of a crash report, in which there is everything that could do harm, waits until
 * the host has them, and crashes. */
static void send_crash_report(unsigned long size)
{
    static const char line[] = "frame \x1b[31m in \xc3\xa4\\b\xff \x9b\x07\r\n";
    static const char open_stream[] =
        "{\"method\":\"" INTERFACE ".OpenStream\",\"parameters\":{\"name\":\"crash-report\"}}";
    int fd = dial_host(own_cid());
    char byte;

    if (fd < 0 || write(fd, open_stream, sizeof(open_stream)) != sizeof(open_stream))
        return;
    print_reply(fd, "crash-report");
    while (size > 0) {
        ssize_t n = write(fd, line, size < sizeof(line) - 1 ? size : sizeof(line) - 1);
        if (n <= 0)
            break;
        size -= (unsigned long)n;
    }
    (void)shutdown(fd, SHUT_WR);
    printf("the host has it: %s\n", read(fd, &byte, 1) == 0 ? "yes" : "no");
    raise(SIGSEGV);
}

/* Everything that the guest link has a limit for. */
static void abuse_link(void)
{
    static char big[1 << 20];
    static char deep[4096];
    int many[64];

    memset(big, 'x', sizeof(big));
    call("one MiB without NUL", big, sizeof(big));
    memset(deep, '[', sizeof(deep) - 1);
    call_text("deep", deep);
    call_text("no JSON", "hello");
    call_text("unknown method", "{\"method\":\"" INTERFACE ".Explode\"}");
    call_text("unknown key", "{\"method\":\"" INTERFACE ".PayloadReady\",\"x\":1}");
    call_text("exit code",
              "{\"method\":\"" INTERFACE ".PayloadFinished\",\"parameters\":{\"exit_code\":256}}");
    call_text("stream",
              "{\"method\":\"" INTERFACE ".OpenStream\",\"parameters\":{\"name\":\"secrets\"}}");
    call_text("backward", "{\"method\":\"" INTERFACE ".PayloadStarted\"}");
    call_text("ready", "{\"method\":\"" INTERFACE ".PayloadReady\"}");
    call_text("ready again", "{\"method\":\"" INTERFACE ".PayloadReady\"}");
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        many[i] = dial_host(own_cid());
    print_reply(many[63], "too many");
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        close(many[i]);
    (void)dial_host(4711);
    puts("abuse ends");
}

/* Prints @megabytes MiB in lines of 64 bytes, each with its number. */
static void print_much(unsigned long megabytes)
{
    for (unsigned long line = 0; line < megabytes << 14; line++)
        printf("%062lu\n", line);
}

static _Noreturn void serve_echo(unsigned port)
{
    struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                   .svm_cid = VMADDR_CID_ANY,
                                   .svm_port = port };
    int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static char buffer[65536];

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 8) < 0) {
        printf("listen: %s\n", strerror(errno));
        exit(1);
    }
    AVmPayload_notifyPayloadReady();
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        ssize_t n;

        if (fd < 0)
            exit(1);
        if (fork() != 0) {
            close(fd);
            continue;
        }
        while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
            for (ssize_t done = 0; done < n;) {
                ssize_t m = write(fd, buffer + done, (size_t)(n - done));
                if (m <= 0)
                    exit(1);
                done += m;
            }
        }
        exit(0);
    }
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("%s: %s\n", path, strerror(errno));
}

/* Reads the second disk from end to end, and prints how long that took. */
static void read_whole_disk(void)
{
    static char buffer[1 << 20];
    struct timespec began, ended;
    uint64_t total = 0;
    ssize_t n;
    int fd = open("/dev/vdb", O_RDONLY | O_CLOEXEC);

    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        total += (uint64_t)n;
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("read %ju bytes in %ju us%s%s\n", (uintmax_t)total,
           (uintmax_t)((ended.tv_sec - began.tv_sec) * 1000000 +
                       (ended.tv_nsec - began.tv_nsec) / 1000),
           n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
    close(fd);
}

#define BLOCK     4096
#define N_READERS 4

/* Reads around the page cache, from several processes at once. */
static void read_disk(const char *path)
{
    void *block = aligned_alloc(BLOCK, BLOCK);
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

    if (fd < 0 || !block) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    for (int i = 0; i < N_READERS; i++) {
        if (fork() == 0)
            _exit(pread(fd, block, BLOCK, (off_t)i * BLOCK) == BLOCK ? 0 : 1);
    }
    for (int i = 0; i < N_READERS; i++) {
        int status = -1;
        if (wait(&status) < 0 || status != 0)
            printf("%s: a read failed\n", path);
    }
    close(fd);
    free(block);
}

/* Everything that a guest asks of a disk: a vectored write, a flush, zeros and a discard, some of
 * which not every disk takes. */
static void change_disk(const char *path)
{
    static _Alignas(BLOCK) char blocks[4][BLOCK];
    const uint64_t zeros[] = { (uint64_t)8 * BLOCK, (uint64_t)4 * BLOCK };
    const uint64_t unused[] = { (uint64_t)16 * BLOCK, (uint64_t)4 * BLOCK };
    /* In an order in which no two blocks lie together. */
    const struct iovec parts[] = {
        { blocks[2], BLOCK }, { blocks[0], BLOCK }, { blocks[3], BLOCK }, { blocks[1], BLOCK }
    };
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    memset(blocks, 'x', sizeof(blocks));
    if (fd < 0 || pwritev(fd, parts, 4, 0) != sizeof(blocks) ||
        pwrite(fd, blocks[0], BLOCK, 0) != BLOCK || fsync(fd) < 0)
        printf("%s: %s\n", path, strerror(errno));
    (void)ioctl(fd, BLKZEROOUT, zeros);
    (void)ioctl(fd, BLKDISCARD, unused);
    if (fsync(fd) < 0)
        printf("%s: %s\n", path, strerror(errno));
    close(fd);
}

static bool is_read_only(const char *path)
{
    int read_only = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, BLKROGET, &read_only) < 0)
        printf("%s: %s\n", path, strerror(errno));
    close(fd);
    return read_only != 0;
}

/* Uses the second disk, or its first partition; and again after @idle seconds. */
static void use_disk(unsigned idle)
{
    const char *path = access("/dev/vdb1", F_OK) == 0 ? "/dev/vdb1" : "/dev/vdb";
    bool read_only = is_read_only(path);

    for (int round = 0; round < 2; round++) {
        read_disk(path);
        if (!read_only)
            change_disk(path);
        read_disk(path);
        if (round == 0)
            sleep(idle);
    }
    printf("%s used, %s\n", path, read_only ? "read-only" : "writable");
}

#define LINE_SIZE 256

static bool find_partition_name(const char *device, char label[static LINE_SIZE])
{
    char path[64], line[LINE_SIZE] = "";
    bool found = false;

    (void)snprintf(path, sizeof(path), "/sys/class/block/%s/uevent", device);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "PARTNAME=", 9) == 0;
    }
    if (file)
        fclose(file);
    if (found)
        strcpy(label, line + 9);
    return found;
}

/* Mounts one partition and prints what its file "name" says; writes a file where it may. */
static void mount_partition(const char *device, const char *label)
{
    char path[64], text[256] = "";

    (void)snprintf(path, sizeof(path), "/dev/%s", device);
    bool read_only = is_read_only(path);
    (void)mkdir("/mounted", 0700);
    if (mount(path, "/mounted", "ext4", read_only ? MS_RDONLY : 0, NULL) < 0) {
        printf("%s: %s\n", label, strerror(errno));
        return;
    }
    FILE *file = fopen("/mounted/name", "re");
    if (file && fgets(text, sizeof(text), file))
        text[strcspn(text, "\n")] = '\0';
    if (file)
        fclose(file);
    if (!read_only)
        write_file("/mounted/written", label);
    printf("%s: %s, named %s\n", label, read_only ? "read-only" : "writable", text);
    if (umount("/mounted") < 0)
        printf("%s: %s\n", label, strerror(errno));
}

/* Mounts every partition of the disks behind the first. */
static void mount_all(void)
{
    for (char disk = 'b'; disk <= 'z'; disk++) {
        for (unsigned number = 1;; number++) {
            char device[32], label[LINE_SIZE];

            (void)snprintf(device, sizeof(device), "vd%c%u", disk, number);
            if (!find_partition_name(device, label))
                break;
            mount_partition(device, label);
        }
    }
}

/* Prints the number of bytes of a partition, and the first of them. */
static void print_partition(const char *device, const char *label)
{
    uint8_t bytes[32] = { 0 };
    char path[64];
    uint64_t size = 0;

    (void)snprintf(path, sizeof(path), "/dev/%s", device);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0 || read(fd, bytes, sizeof(bytes)) < 0)
        printf("%s: %s\n", path, strerror(errno));
    (void)close(fd);
    printf("%s %s %s %ju ", device, label, is_read_only(path) ? "ro" : "rw", (uintmax_t)size);
    for (size_t i = 0; i < sizeof(bytes); i++)
        printf("%02x", bytes[i]);
    putchar('\n');
}

/* Prints every partition there is. */
static void print_partitions(void)
{
    for (char disk = 'a'; disk <= 'z'; disk++) {
        for (unsigned number = 1;; number++) {
            char device[32], label[LINE_SIZE];

            (void)snprintf(device, sizeof(device), "vd%c%u", disk, number);
            if (!find_partition_name(device, label))
                break;
            print_partition(device, label);
        }
    }
}

/* Answers on the console what is typed there, a line each: "flood" with lines without end. */
static void serve_console(void)
{
    char line[LINE_SIZE];
    FILE *console = fopen("/dev/console", "r+e");

    if (!console) {
        printf("no console: %s\n", strerror(errno));
        return;
    }
    setlinebuf(console);
    (void)fprintf(console, "console is served\n");
    AVmPayload_notifyPayloadReady();
    while (fgets(line, sizeof(line), console)) {
        line[strcspn(line, "\r\n")] = '\0';
        (void)fprintf(console, "typed <%s>\n", line);
        for (unsigned i = 0; strcmp(line, "flood") == 0; i++)
            (void)fprintf(console, "%062u\n", i);
    }
}

/* Dials the host's port, says hello, and prints what it is told. */
static void greet(unsigned port)
{
    char text[LINE_SIZE];
    int fd = dial_host(port);

    if (fd < 0)
        return;
    if (write(fd, "hello from the guest", 20) != 20)
        printf("write: %s\n", strerror(errno));
    ssize_t n = read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    printf("told <%s>\n", text);
    (void)close(fd);
}

/* Dials a port that nobody listens on, and one that somebody does. */
static void dial_listeners(unsigned port)
{
    AVmPayload_notifyPayloadReady();
    greet(port + 1);
    greet(port);
    printf("dialled\n");
    pause();
}

static unsigned long read_free_mib(void)
{
    unsigned long kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof(line), file) && sscanf(line, "MemFree: %lu", &kib) != 1)
        continue;
    if (file)
        (void)fclose(file);
    return kib / 1024;
}

/* Prints how much memory is free, each time that it has changed by much. */
static void watch_memory(void)
{
    const struct timespec interval = { .tv_nsec = 50000000 };
    unsigned long last = 0;

    AVmPayload_notifyPayloadReady();
    for (;;) {
        unsigned long now = read_free_mib();
        if (now > last + 4 || now + 4 < last) {
            printf("free %lu\n", now);
            last = now;
        }
        (void)nanosleep(&interval, NULL);
    }
}

/* Prints what the root directory has from the host before the initrd: who may read it, and what is
 * in it. */
static void print_secret(void)
{
    const char *path = "/instance-secret";
    unsigned char bytes[256];
    struct stat status;

    if (stat(path, &status) < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    printf("mode %o uid %u gid %u size %jd time %jd\n", status.st_mode, status.st_uid,
           status.st_gid, (intmax_t)status.st_size, (intmax_t)status.st_mtime);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    ssize_t n = read(fd, bytes, sizeof(bytes));
    printf("secret ");
    for (ssize_t i = 0; i < n; i++)
        printf("%02x", bytes[i]);
    puts("");
    close(fd);
}

static bool find_mode(char *mode, size_t size)
{
    static char line[4096];
    FILE *file = fopen("/proc/cmdline", "re");
    char *found = NULL;

    if (file && fgets(line, sizeof(line), file))
        found = strstr(line, "probe=");
    if (file)
        fclose(file);
    if (!found)
        return false;
    snprintf(mode, size, "%s", found + strlen("probe="));
    mode[strcspn(mode, " \n")] = '\0';
    return true;
}

int main(void)
{
    char mode[256] = "exit";

    setlinebuf(stdout);
    (void)find_mode(mode, sizeof(mode));
    char *argument = strchr(mode, ':');
    if (argument)
        *argument++ = '\0';
    unsigned long number = argument ? strtoul(argument, NULL, 10) : 0;

    if (strcmp(mode, "exit") == 0)
        return (int)number;
    if (strcmp(mode, "signal") == 0)
        raise((int)number);
    else if (strcmp(mode, "answer") == 0)
        printf("answer %s\n", argument);
    else if (strcmp(mode, "panic") == 0)
        write_file("/proc/sysrq-trigger", "c");
    else if (strcmp(mode, "reboot") == 0)
        syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART,
                NULL);
    else if (strcmp(mode, "link") == 0)
        abuse_link();
    else if (strcmp(mode, "much") == 0)
        print_much(number);
    else if (strcmp(mode, "read") == 0)
        read_whole_disk();
    else if (strcmp(mode, "disk") == 0)
        use_disk((unsigned)number);
    else if (strcmp(mode, "mount") == 0)
        mount_all();
    else if (strcmp(mode, "partitions") == 0)
        print_partitions();
    else if (strcmp(mode, "echo") == 0)
        serve_echo((unsigned)number);
    else if (strcmp(mode, "console") == 0)
        serve_console();
    else if (strcmp(mode, "greet") == 0)
        dial_listeners((unsigned)number);
    else if (strcmp(mode, "crash") == 0)
        send_crash_report(number);
    else if (strcmp(mode, "error") == 0)
        report_error(argument);
    else if (strcmp(mode, "secret") == 0)
        print_secret();
    else if (strcmp(mode, "memory") == 0)
        watch_memory();
    else if (strcmp(mode, "wait") == 0 || strcmp(mode, "deaf") == 0) {
        if (strcmp(mode, "deaf") == 0)
            (void)signal(SIGTERM, SIG_IGN);
        AVmPayload_notifyPayloadReady();
        for (;;)
            pause();
    } else {
        printf("no mode '%s'\n", mode);
    }
    return 0;
}
