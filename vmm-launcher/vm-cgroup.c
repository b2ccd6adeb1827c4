/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/vm-cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"
#include "vmm-launcher/layer.h"

/* All VMs' cgroups are in here. */
#define PARENT    "virtualizationd"
#define VM_PREFIX "vm-"

/* In a launcher's own cgroup. */
#define SUPERVISOR_LEAF "supervisor"
#define VM_LEAF         "vm"

#define CPU_PERIOD_USEC 100000

void vm_cgroup_deinit(VmCgroup *cgroup)
{
    cgroup->directory = fd_close(cgroup->directory);
    cgroup->kill = fd_close(cgroup->kill);
    cgroup->memory_events = fd_close(cgroup->memory_events);
}

void vm_cgroup_make_name(pid_t listener, uint64_t number, char name[static VM_CGROUP_NAME_SIZE])
{
    (void)snprintf(name, VM_CGROUP_NAME_SIZE, VM_PREFIX "%d-%" PRIu64, listener, number);
}

static int write_file(int directory, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, text, strlen(text));
}

/* Hands the directory's controllers on to those below it, each that it can: one that stays behind
 * is missing below, and counted as not there. Whoever made the directory may not have come to this
 * yet, and service managers take a controller away that no unit of theirs needs. */
static void delegate_controllers(int directory)
{
    unsigned set = cgroup_get_controllers(directory) & ~cgroup_get_delegated_controllers(directory);
    char text[16];

    for (unsigned bit = 1; bit <= CGROUP_IO; bit <<= 1) {
        if (!(set & bit))
            continue;
        (void)snprintf(text, sizeof(text), "+%s", cgroup_controller_to_string(bit));
        int r = write_file(directory, "cgroup.subtree_control", text);
        if (r < 0)
            log_debug("cgroup: no controller '%s': %s", text + 1, strerror(-r));
    }
}

static int open_parent(int *ret_parent)
{
    _cleanup_close_ int root = -EBADF;

    int r = cgroup_open_root(&root);
    if (r < 0)
        return r;
    delegate_controllers(root);
    if (mkdirat(root, PARENT, 0755) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int parent = openat(root, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -errno;
    delegate_controllers(parent);
    *ret_parent = take_fd(&parent);
    return 0;
}

/* The cgroup that this process is in becomes the parent: it may have no process of its own if its
 * controllers are to be handed on. */
static int divide_own(int *ret_parent)
{
    _cleanup_close_ int own = -EBADF;

    int r = cgroup_open_own(&own);
    if (r < 0)
        return r;
    if (mkdirat(own, SUPERVISOR_LEAF, 0755) < 0 && errno != EEXIST)
        return -errno;
    r = write_file(own, SUPERVISOR_LEAF "/cgroup.procs", "0");
    if (r < 0)
        return r;
    delegate_controllers(own);
    *ret_parent = take_fd(&own);
    return 0;
}

static int set_limits(int directory, const VmCgroupLimits *limits, Error *error)
{
    unsigned set = cgroup_get_controllers(directory);
    char memory[32], pids[32], cpu[64];
    const struct {
        CgroupController controller;
        const char *file;
        const char *value;
    } values[] = {
        { CGROUP_MEMORY, "memory.max", memory },
        { CGROUP_MEMORY, "memory.swap.max", "0" },
        { CGROUP_MEMORY, "memory.oom.group", "1" },
        { CGROUP_PIDS, "pids.max", pids },
        { CGROUP_CPU, "cpu.max", cpu },
    };

    (void)snprintf(memory, sizeof(memory), "%" PRIu64, limits->memory_bytes);
    (void)snprintf(pids, sizeof(pids), "%" PRIu32, limits->pids);
    (void)snprintf(cpu, sizeof(cpu), "%" PRIu64 " %d", (uint64_t)limits->cpus * CPU_PERIOD_USEC,
                   CPU_PERIOD_USEC);
    for (size_t i = 0; i < ELEMENTS_OF(values); i++) {
        if (!(set & values[i].controller))
            continue;
        int r = write_file(directory, values[i].file, values[i].value);
        /* A kernel may be built without the accounting of swap. */
        if (r < 0 && !(r == -ENOENT && strcmp(values[i].file, "memory.swap.max") == 0))
            return error_set_errno(error, ERROR_START_FAILED, r, "cannot set %s to %s",
                                   values[i].file, values[i].value);
    }
    return 0;
}

/* Lets the cgroup open no device but the one. Which kernel has that, and for whom, only trying
 * tells; it is a second lock: in the box there is no other device to open. */
static int limit_devices(int directory, const VmCgroupLimits *limits)
{
    const int device_major = (int)major(limits->device), device_minor = (int)minor(limits->device);
    const struct bpf_insn nothing[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
        { .code = BPF_JMP | BPF_EXIT },
    };
    /* The context is struct bpf_cgroup_dev_ctx: access, major and minor number, 32 bits each. */
    const struct bpf_insn one_device[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
        { .code = BPF_LDX | BPF_MEM | BPF_W,
          .dst_reg = BPF_REG_2,
          .src_reg = BPF_REG_1,
          .off = offsetof(struct bpf_cgroup_dev_ctx, major) },
        { .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_2, .off = 3, .imm = device_major },
        { .code = BPF_LDX | BPF_MEM | BPF_W,
          .dst_reg = BPF_REG_2,
          .src_reg = BPF_REG_1,
          .off = offsetof(struct bpf_cgroup_dev_ctx, minor) },
        { .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_2, .off = 1, .imm = device_minor },
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr program = { 0 }, attachment = { 0 };

    program.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    program.insns = (uintptr_t)(limits->has_device ? one_device : nothing);
    program.insn_cnt = limits->has_device ? ELEMENTS_OF(one_device) : ELEMENTS_OF(nothing);
    program.license = (uintptr_t) "Apache-2.0";
    _cleanup_close_ int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof(program));
    if (fd < 0)
        return -errno;
    attachment.target_fd = (__u32)directory;
    attachment.attach_bpf_fd = (__u32)fd;
    attachment.attach_type = BPF_CGROUP_DEVICE;
    return syscall(SYS_bpf, BPF_PROG_ATTACH, &attachment, sizeof(attachment)) < 0 ? -errno : 0;
}

/* Logs what is none for this user, or on this host. */
static bool is_missing(int result)
{
    if (result != -ENOENT && result != -EACCES && result != -EPERM && result != -EROFS)
        return false;
    log_debug("no cgroup: %s", strerror(-result));
    return true;
}

static int make_directory(int parent, const char *name)
{
    /* One of this name was left by a listener that had the same pid: not ours to go on with. */
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return -errno;
    return mkdirat(parent, name, 0755) < 0 ? -errno : 0;
}

static int make(
    int parent, const char *name, const VmCgroupLimits *limits, VmCgroup *ret_cgroup, Error *error)
{
    _cleanup_(vm_cgroup_deinit) VmCgroup cgroup = VM_CGROUP_INIT;

    int r = make_directory(parent, name);
    if (is_missing(r))
        return 0;
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot make a cgroup");
    cgroup.directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup.directory < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot open the VM's cgroup");
    r = set_limits(cgroup.directory, limits, error);
    if (r < 0)
        return r;
    r = limit_devices(cgroup.directory, limits);
    if (r < 0)
        log_debug("no limit of devices by cgroup: %s", strerror(-r));
    /* Without the file, or the controller, there is nothing to be had from it. */
    cgroup.kill = openat(cgroup.directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    cgroup.memory_events = openat(cgroup.directory, "memory.events", O_RDONLY | O_CLOEXEC);
    if (cgroup.kill >= 0 && flock(cgroup.kill, LOCK_SH | LOCK_NB) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot lock the VM's cgroup");

    *ret_cgroup = cgroup;
    cgroup = (VmCgroup)VM_CGROUP_INIT;
    return 0;
}

int vm_cgroup_make(const char *name,
                   const VmCgroupLimits *limits,
                   VmCgroup *ret_cgroup,
                   Error *error)
{
    _cleanup_close_ int parent = -EBADF;

    if (!layer_is_on(LAYER_CGROUP))
        return 0;
    int r = open_parent(&parent);
    if (is_missing(r))
        return 0;
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot make a cgroup");
    return make(parent, name, limits, ret_cgroup, error);
}

int vm_cgroup_make_in_own(const VmCgroupLimits *limits, VmCgroup *ret_cgroup, Error *error)
{
    _cleanup_close_ int parent = -EBADF;

    if (!layer_is_on(LAYER_CGROUP))
        return 0;
    int r = divide_own(&parent);
    if (is_missing(r))
        return 0;
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot divide the launcher's cgroup");
    return make(parent, VM_LEAF, limits, ret_cgroup, error);
}

bool vm_cgroup_had_oom(int memory_events)
{
    char text[512];

    ssize_t size = memory_events < 0 ? -1 : pread(memory_events, text, sizeof(text) - 1, 0);
    if (size <= 0)
        return false;
    text[size] = '\0';
    const char *found = strstr(text, "oom_kill ");
    return found && atoi(found + strlen("oom_kill ")) > 0;
}

int vm_cgroup_remove(const char *name)
{
    _cleanup_close_ int root = -EBADF;

    int r = cgroup_open_root(&root);
    if (r < 0)
        return 0;
    _cleanup_close_ int parent = openat(root, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return 0;
    _cleanup_close_ int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return 0;
    (void)write_file(directory, "cgroup.kill", "1");
    return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* A VM outlives its listener: its supervisor holds the lock. */
static bool is_in_use(int parent, const char *name)
{
    _cleanup_close_ int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int lock =
        directory < 0 ? -EBADF : openat(directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);

    return lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

void vm_cgroup_remove_leftovers(void)
{
    _cleanup_close_ int root = -EBADF;
    struct dirent *entry;

    if (cgroup_open_root(&root) < 0)
        return;
    int parent = openat(root, PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = parent >= 0 ? fdopendir(parent) : NULL;
    if (!stream) {
        (void)fd_close(parent);
        return;
    }
    while ((entry = readdir(stream))) {
        if (strncmp(entry->d_name, VM_PREFIX, strlen(VM_PREFIX)) != 0)
            continue;
        pid_t listener = (pid_t)atoi(entry->d_name + strlen(VM_PREFIX));
        if (kill(listener, 0) < 0 && errno == ESRCH && !is_in_use(parent, entry->d_name))
            (void)vm_cgroup_remove(entry->d_name);
    }
    (void)closedir(stream);
    (void)unlinkat(root, PARENT, AT_REMOVEDIR); /* not while another listener's VMs are in it */
}
