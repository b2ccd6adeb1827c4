/* SPDX-License-Identifier: Apache-2.0 */
/* Copies, not links or mounts: they cost some 50 MB of disk, once, and make a launch one mount
 * instead of sixty; an upgrade of a package changes no file under a running VM. Which libraries a
 * program needs is asked of its own loader (ld.so(8), --list), which is what will load them. */
#include "vmm-launcher/template-build.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/program-path.h"

#if defined(__x86_64__)
#    define MULTIARCH "x86_64-linux-gnu"
#else
#    error "name the library directory of this architecture"
#endif
#define LIBRARY_DIR "/usr/lib/" MULTIARCH
#define SHARED_DIR  "/usr/share/"

/* What QEMU's q35 machine loads besides its libraries: the list was found by tracing, and what a
 * version lacks it does without. */
static const char *const vmm_files[] = {
    "/usr/share/seabios/bios-256k.bin",      "/usr/share/qemu/bios-256k.bin",
    "/usr/share/qemu/kvmvapic.bin",          "/usr/share/qemu/linuxboot.bin",
    "/usr/share/qemu/linuxboot_dma.bin",     "/usr/share/qemu/multiboot.bin",
    "/usr/share/qemu/multiboot_dma.bin",     "/usr/share/qemu/pvh.bin",
    LIBRARY_DIR "/qemu/accel-tcg-x86_64.so",
};

static const struct {
    const char *name;
    bool has_listener; /* the supervisor */
} roles[] = {
    { "qemu-tcg", true },     { "qemu-kvm", true },           { "vsock-device", true },
    { "supervisor", false },  { "supervisor-sealed", false }, { "stub", false },
    { "disk-worker", false }, { "virtualizationd", false },
};

typedef struct Build {
    const TemplateOptions *options;
    int root;
    int policy;
    FILE *sources;
    Error *error;
} Build;

void template_describe_source(const char *path, char line[static TEMPLATE_LINE_MAX])
{
    struct stat status;

    if (stat(path, &status) < 0) {
        (void)snprintf(line, TEMPLATE_LINE_MAX, "absent %s\n", path);
        return;
    }
    (void)snprintf(line, TEMPLATE_LINE_MAX, "%ju:%ju:%jd:%jd.%09ld:%jd.%09ld %s\n",
                   (uintmax_t)status.st_dev, (uintmax_t)status.st_ino, (intmax_t)status.st_size,
                   (intmax_t)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                   (intmax_t)status.st_ctim.tv_sec, status.st_ctim.tv_nsec, path);
}

static void note_source(Build *build, const char *path)
{
    char line[TEMPLATE_LINE_MAX];

    template_describe_source(path, line);
    (void)fputs(line, build->sources); /* the caller's fclose() tells */
}

static int fail(Build *build, int error_number, const char *path)
{
    return error_set_errno(build->error, ERROR_START_FAILED, error_number,
                           "cannot put %s into the template root", path);
}

static int make_parents(int directory, const char *path)
{
    char part[PATH_MAX];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t length = (size_t)(slash - path);

        if (length >= sizeof(part))
            return -ENAMETOOLONG;
        memcpy(part, path, length);
        part[length] = '\0';
        if (mkdirat(directory, part, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int copy_bytes(int source, int destination)
{
    for (;;) {
        ssize_t n = copy_file_range(source, NULL, destination, NULL, SSIZE_MAX & ~0xfff, 0);
        if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
            n = sendfile(destination, source, NULL, 1 << 30);
        if (n <= 0)
            return n < 0 ? -errno : 0;
    }
}

/* Copies @path to @name, relative to @directory. One that is there already is the same. */
static int copy_file(Build *build, const char *path, int directory, const char *name, mode_t mode)
{
    note_source(build, path);
    _cleanup_close_ int source = open(path, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return fail(build, errno, path);
    int r = make_parents(directory, name);
    if (r < 0)
        return fail(build, r, path);
    _cleanup_close_ int copy =
        openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (copy < 0)
        return errno == EEXIST ? 0 : fail(build, errno, path);
    r = copy_bytes(source, copy);
    if (r < 0)
        return fail(build, r, path);
    return fchmod(copy, mode) < 0 ? fail(build, errno, path) : 0;
}

/* --- libraries --- */

/* The program's loader, "" for a static one. */
static int read_loader(const char *program, char loader[static PATH_MAX])
{
    Elf64_Ehdr header;
    Elf64_Phdr part;

    _cleanup_close_ int fd = open(program, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof(part))
        return -ENOEXEC;

    loader[0] = '\0';
    for (unsigned i = 0; i < header.e_phnum; i++) {
        off_t offset = (off_t)(header.e_phoff + i * sizeof(part));

        if (pread(fd, &part, sizeof(part), offset) != sizeof(part))
            return -ENOEXEC;
        if (part.p_type != PT_INTERP)
            continue;
        if (part.p_filesz == 0 || part.p_filesz > PATH_MAX ||
            pread(fd, loader, part.p_filesz, (off_t)part.p_offset) != (ssize_t)part.p_filesz ||
            loader[part.p_filesz - 1] != '\0')
            return -ENOEXEC;
        return 0;
    }
    return 0;
}

/* Runs a program with nothing of our environment, its output to @output if that is one. */
static int run(char *const *arguments, int output, int *ret_status)
{
    char *const environment[] = { (char[]){ "LC_ALL=C" }, NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid;

    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    if (output >= 0)
        r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0)
        return -r;
    return waitpid(pid, ret_status, 0) < 0 ? -errno : 0;
}

/* One line of the loader: "NAME => PATH (ADDRESS)" or "PATH (ADDRESS)". */
static int copy_library(Build *build, char *line, const char *program)
{
    char name[PATH_MAX];
    char *arrow = strstr(line, " => ");
    char *path = arrow ? arrow + strlen(" => ") : line + strspn(line, " \t");
    char *end = strstr(path, " (0x");

    if (arrow && strncmp(path, "not found", strlen("not found")) == 0)
        return error_set(build->error, ERROR_START_FAILED, "a library of %s is missing:%.*s",
                         program, (int)(arrow - line), line);
    if (path[0] != '/' || !end)
        return 0; /* the kernel's own */
    *end = '\0';
    const char *base = strrchr(path, '/') + 1;
    bool is_loader = !arrow;
    if (is_loader)
        (void)snprintf(name, sizeof(name), "usr/lib64/%s", base);
    else
        (void)snprintf(name, sizeof(name), "%s/%s", &LIBRARY_DIR[1], base);
    return copy_file(build, path, build->root, name, 0555);
}

static int copy_libraries(Build *build, const char *program)
{
    char loader[PATH_MAX], library_path[2 * PATH_MAX];
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;
    int status;

    int r = read_loader(program, loader);
    if (r < 0 || loader[0] == '\0')
        return r < 0 ? fail(build, r, program) : 0;

    _cleanup_fclose_ FILE *output = tmpfile();
    if (!output)
        return fail(build, errno, program);
    (void)snprintf(library_path, sizeof(library_path), "%s/usr/lib/%s:%s/lib/%s",
                   build->options->vmm_prefix, MULTIARCH, build->options->vmm_prefix, MULTIARCH);
    char *const arguments[] = { loader,
                                (char[]){ "--library-path" },
                                library_path,
                                (char[]){ "--list" },
                                (char *)(uintptr_t)program,
                                NULL };
    r = run(arguments, fileno(output), &status);
    if (r < 0 || status != 0)
        return fail(build, r < 0 ? r : ENOEXEC, program);

    rewind(output);
    while (r >= 0 && getline(&line, &capacity, output) > 0)
        r = copy_library(build, line, program);
    return r;
}

static int copy_program(Build *build, const char *path, const char *destination)
{
    int r = copy_file(build, path, build->root, destination + 1, 0555);

    return r < 0 ? r : copy_libraries(build, path);
}

/* --- the rest --- */

static int copy_vmm(Build *build)
{
    const char *prefix = build->options->vmm_prefix;
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s%s", prefix, TEMPLATE_VMM);
    int r = copy_program(build, path, TEMPLATE_VMM);
    for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(vmm_files); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", prefix, vmm_files[i]);
        /* The firmware is a package of its own, which both may share; modules are the VMM's. */
        if (access(path, F_OK) < 0 && prefix[0] != '\0' &&
            strncmp(vmm_files[i], SHARED_DIR, strlen(SHARED_DIR)) == 0)
            (void)snprintf(path, sizeof(path), "%s", vmm_files[i]);
        if (access(path, F_OK) < 0)
            note_source(build, path);
        else
            r = copy_file(build, path, build->root, vmm_files[i] + 1, 0444);
    }
    return r;
}

static int make_skeleton(Build *build)
{
    static const char *const directories[] = {
        "usr", "usr/bin", "usr/lib", "usr/lib64", "dev", &TEMPLATE_VM_FILES[1], &TEMPLATE_EMPTY[1]
    };
    static const struct {
        const char *target, *name;
    } links[] = {
        { "usr/bin", "bin" },
        { "usr/lib", "lib" },
        { "usr/lib64", "lib64" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(directories); i++) {
        if (mkdirat(build->root, directories[i], 0755) < 0)
            return fail(build, errno, directories[i]);
    }
    for (size_t i = 0; i < ELEMENTS_OF(links); i++) {
        if (symlinkat(links[i].target, build->root, links[i].name) < 0)
            return fail(build, errno, links[i].name);
    }
    /* The VMM opens it by path; where there is one, it is among the VM's files. */
    if (symlinkat(TEMPLATE_VM_FILES "/kvm", build->root, "dev/kvm") < 0)
        return fail(build, errno, "dev/kvm");
    return 0;
}

/* The administrator's own policy of a role goes before the one that came with the program. */
static int add_policy(Build *build, const char *role, bool has_listener)
{
    _cleanup_free_ char *compiler = NULL, *compiled = NULL;
    char source[PATH_MAX], name[64], output[PATH_MAX];
    int status;

    (void)snprintf(source, sizeof(source), "%s/%s.json", build->options->policy_dir, role);
    (void)snprintf(name, sizeof(name), "seccomp/%s.policy", role);
    int r = program_dup_sibling_path("seccomp-compile", &compiler);
    if (r >= 0)
        r = program_dup_sibling_path(name, &compiled);
    if (r < 0)
        return fail(build, r, role);
    note_source(build, source);
    if (access(source, F_OK) < 0)
        return copy_file(build, compiled, build->policy, name + strlen("seccomp/"), 0444);

    (void)snprintf(output, sizeof(output), "/proc/self/fd/%d/%s.policy", build->policy, role);
    char *const plain[] = { compiler, source, output, NULL };
    char *const listened_to[] = { compiler, (char[]){ "--listener" }, source, output, NULL };
    r = run(has_listener ? listened_to : plain, -EBADF, &status);
    if (r >= 0 && status != 0)
        return error_set(build->error, ERROR_START_FAILED, "%s is no seccomp policy", source);
    return r < 0 ? fail(build, r, source) : 0;
}

static int open_subdirectory(int directory, const char *name, int *ret_fd)
{
    if (mkdirat(directory, name, 0755) < 0)
        return -errno;
    *ret_fd = openat(directory, name, O_RDONLY | O_DIRECTORY); /* the policy compiler needs it */
    return *ret_fd < 0 ? -errno : 0;
}

int template_build(const TemplateOptions *options, int directory, FILE *sources, Error *error)
{
    Build build = { .options = options, .sources = sources, .error = error };
    _cleanup_close_ int root = -EBADF;
    _cleanup_close_ int policy = -EBADF;
    _cleanup_free_ char *vsock_device = NULL;

    mode_t mask = umask(0022);
    int r = open_subdirectory(directory, "root", &root);
    if (r >= 0)
        r = open_subdirectory(directory, "policy", &policy);
    if (r >= 0)
        r = program_dup_sibling_path("vsock-device", &vsock_device);
    if (r < 0) {
        r = fail(&build, r, "a directory");
    } else {
        build.root = root;
        build.policy = policy;
        r = make_skeleton(&build);
        if (r >= 0)
            r = copy_vmm(&build);
        if (r >= 0)
            r = copy_program(&build, vsock_device, TEMPLATE_VSOCK_DEVICE);
        for (size_t i = 0; r >= 0 && i < ELEMENTS_OF(roles); i++)
            r = add_policy(&build, roles[i].name, roles[i].has_listener);
    }
    (void)umask(mask);
    return r;
}
