/* SPDX-License-Identifier: Apache-2.0 */
/* Rows 1 to 6, 8, 10, 19, 29 to 31, 35, 40 and 43: files and descriptors. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/escape/stand-in.h"

#define PATH_SIZE  512
#define FD_END     5000
#define HANDLE_MAX 128

static int open_path(const char *path, int flags)
{
    return result(openat(AT_FDCWD, path, flags));
}

/* The path that the test names by @key. */
static int open_named(const Plan *plan, const char *key, int flags)
{
    char path[PATH_SIZE];

    plan_get(plan, key, path, sizeof(path));
    return open_path(path, flags);
}

static int open_passwd(const Plan *plan)
{
    (void)plan;
    return open_path("/etc/passwd", O_RDONLY);
}

static int open_passwd_by_open(const Plan *plan)
{
    (void)plan;
    return result(syscall(SYS_open, "/etc/passwd", O_RDONLY));
}

static int open_passwd_by_openat2(const Plan *plan)
{
    struct open_how how = { .flags = O_RDONLY };

    (void)plan;
    return result(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof(how)));
}

static int open_shadow(const Plan *plan)
{
    (void)plan;
    return open_path("/etc/shadow", O_RDONLY);
}

static int open_home(const Plan *plan)
{
    return open_named(plan, "secret", O_RDONLY);
}

static int open_proc_self_mem(const Plan *plan)
{
    (void)plan;
    return open_path("/proc/self/mem", O_RDWR);
}

static int open_proc_root(const Plan *plan)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%ld/root/etc/passwd",
                   plan_get_number(plan, "others-pid"));
    return open_path(path, O_RDONLY);
}

static int open_sys(const Plan *plan)
{
    (void)plan;
    return open_path("/sys/devices/system/cpu/online", O_RDONLY);
}

static int open_memory_device(const Plan *plan)
{
    (void)plan;
    return open_path("/dev/mem", O_RDWR);
}

static int open_kmsg(const Plan *plan)
{
    (void)plan;
    return open_path("/dev/kmsg", O_RDWR);
}

static int open_kvm(const Plan *plan)
{
    (void)plan;
    return open_path("/dev/kvm", O_RDWR);
}

static int open_vhost_vsock(const Plan *plan)
{
    (void)plan;
    return open_path("/dev/vhost-vsock", O_RDWR);
}

static int open_vsock(const Plan *plan)
{
    (void)plan;
    return open_path("/dev/vsock", O_RDONLY);
}

/* --- by descriptors --- */

static int go_up_from_descriptor(const Plan *plan)
{
    int r = -EBADF;

    (void)plan;
    for (int fd = 0; fd < FD_END; fd++) {
        if (openat(fd, "..", O_RDONLY | O_DIRECTORY) >= 0)
            return 0;
        if (errno != EBADF)
            r = -errno;
    }
    return r;
}

static int link_descriptor(const Plan *plan)
{
    char path[PATH_SIZE];

    plan_get(plan, "link", path, sizeof(path));
    int r = result(linkat(plan->read_only, "", AT_FDCWD, path, AT_EMPTY_PATH));
    return r == -EXDEV ? 0 : r; /* it may, but the namespace has mounts of its own */
}

static int open_by_handle(const Plan *plan)
{
    union {
        struct file_handle handle;
        unsigned char bytes[sizeof(struct file_handle) + HANDLE_MAX];
    } room;
    char text[2 * HANDLE_MAX + 1];
    unsigned byte, size = 0;

    plan_get(plan, "handle", text, sizeof(text));
    while (size < HANDLE_MAX && sscanf(text + 2 * size, "%2x", &byte) == 1)
        room.bytes[offsetof(struct file_handle, f_handle) + size++] = (unsigned char)byte;
    room.handle.handle_bytes = size;
    room.handle.handle_type = (int)plan_get_number(plan, "handle-type");
    return result(open_by_handle_at(plan->read_only, &room.handle, O_RDONLY));
}

static int enter_inherited_namespace(const Plan *plan)
{
    int r = -EBADF;

    (void)plan;
    for (int fd = 3; fd < FD_END; fd++) {
        if (syscall(SYS_setns, fd, 0) == 0)
            return 0;
        if (errno != EBADF)
            r = -errno;
    }
    return r;
}

static int enter_opened_namespace(const Plan *plan)
{
    (void)plan;
    int fd = openat(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
    return fd < 0 ? -errno : result(syscall(SYS_setns, fd, 0));
}

static bool is_planned(const Plan *plan, int fd)
{
    bool planned =
        fd <= STDERR_FILENO || fd == plan->qmp || fd == plan->console || fd == plan->vsock;

    for (size_t i = 0; i < plan->n_files; i++)
        planned = planned || plan->files[i] == fd;
    return planned;
}

static int scan_descriptors(const Plan *plan)
{
    for (int fd = 0; fd < FD_END; fd++) {
        if (!is_planned(plan, fd) && fcntl(fd, F_GETFD) >= 0)
            return 0;
    }
    return -EBADF;
}

/* --- changes; in each directory that the test names --- */

typedef int (*ChangeDirectory)(const char *directory);

static int in_each_directory(const Plan *plan, ChangeDirectory change)
{
    char names[PATH_SIZE], *rest = NULL;
    int r = -ENOENT;

    plan_get(plan, "dirs", names, sizeof(names));
    for (char *name = strtok_r(names, ":", &rest); name; name = strtok_r(NULL, ":", &rest)) {
        int changed = change(name);
        if (changed >= 0)
            return changed;
        r = r == -ENOENT ? changed : r;
    }
    return r;
}

static int join(char path[PATH_SIZE], const char *directory, const char *name)
{
    return snprintf(path, PATH_SIZE, "%s/%s", directory, name) < PATH_SIZE ? 0 : -ENAMETOOLONG;
}

static int create_in(const char *directory)
{
    char path[PATH_SIZE];

    (void)join(path, directory, "new");
    if (openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600) < 0)
        return -errno;
    (void)unlink(path);
    return 0;
}

static int create_unnamed_in(const char *directory)
{
    return result(openat(AT_FDCWD, directory, O_WRONLY | O_TMPFILE, 0600));
}

static int make_directory_in(const char *directory)
{
    char path[PATH_SIZE];

    (void)join(path, directory, "new");
    if (mkdir(path, 0700) < 0)
        return -errno;
    (void)rmdir(path);
    return 0;
}

static int make_symlink_in(const char *directory)
{
    char path[PATH_SIZE];

    (void)join(path, directory, "new");
    if (symlink("/", path) < 0)
        return -errno;
    (void)unlink(path);
    return 0;
}

/* The names are those of the box's root, or of the test's own copy of it. */
static int rename_in(const char *directory)
{
    char path[PATH_SIZE], other[PATH_SIZE];

    (void)join(path, directory, "empty");
    (void)join(other, directory, "renamed");
    if (rename(path, other) < 0)
        return -errno;
    (void)rename(other, path);
    return 0;
}

static int remove_in(const char *directory)
{
    char path[PATH_SIZE];

    (void)join(path, directory, "lib64");
    return result(unlink(path));
}

static int change_mode_in(const char *directory)
{
    char path[PATH_SIZE];

    (void)join(path, directory, "empty");
    return result(chmod(path, 0777));
}

static int make_device_in(const char *directory, mode_t kind, dev_t device)
{
    char path[PATH_SIZE];

    (void)join(path, directory, "device");
    if (mknod(path, kind | 0600, device) < 0)
        return -errno;
    int r = open_path(path, O_RDONLY);
    (void)unlink(path);
    return r;
}

static int make_block_device_in(const char *directory)
{
    return make_device_in(directory, S_IFBLK, makedev(7, 0));
}

static int make_null_device_in(const char *directory)
{
    return make_device_in(directory, S_IFCHR, makedev(1, 3));
}

#define IN_EACH_DIRECTORY(name, change)           \
    static int name(const Plan *plan)             \
    {                                             \
        return in_each_directory(plan, (change)); \
    }

IN_EACH_DIRECTORY(create, create_in)
IN_EACH_DIRECTORY(create_unnamed, create_unnamed_in)
IN_EACH_DIRECTORY(make_directory, make_directory_in)
IN_EACH_DIRECTORY(make_symlink, make_symlink_in)
IN_EACH_DIRECTORY(rename_entry, rename_in)
IN_EACH_DIRECTORY(remove_entry, remove_in)
IN_EACH_DIRECTORY(change_mode, change_mode_in)
IN_EACH_DIRECTORY(make_block_device, make_block_device_in)
IN_EACH_DIRECTORY(make_null_device, make_null_device_in)

/* --- what the VM runs from, and what is others' --- */

static int write_firmware(const Plan *plan)
{
    return open_named(plan, "firmware", O_WRONLY);
}

static int write_kernel(const Plan *plan)
{
    return open_named(plan, "kernel", O_WRONLY);
}

static int write_initrd(const Plan *plan)
{
    return open_named(plan, "initrd", O_WRONLY);
}

static int replace_program(const Plan *plan)
{
    char path[PATH_SIZE], other[PATH_SIZE + 2];

    plan_get(plan, "program", path, sizeof(path));
    (void)snprintf(other, sizeof(other), "%s~", path);
    if (rename(path, other) < 0)
        return -errno;
    (void)rename(other, path);
    return 0;
}

static int open_others_disk(const Plan *plan)
{
    return open_named(plan, "others-disk", O_RDONLY);
}

static int open_others_memory(const Plan *plan)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%ld/mem", plan_get_number(plan, "others-pid"));
    return open_path(path, O_RDWR);
}

static int open_uid_lock(const Plan *plan)
{
    (void)plan;
    return open_path("/run/virtualizationd-uids/lock", O_RDWR);
}

static int write_cgroup(const Plan *plan)
{
    return open_named(plan, "cgroup", O_WRONLY);
}

/* --- disks --- */

static int enlarge(const Plan *plan)
{
    return result(ftruncate(plan->writable, plan_get_number(plan, "limit") + 4096));
}

static int write_past_limit(const Plan *plan)
{
    return result(pwrite(plan->writable, "x", 1, plan_get_number(plan, "limit") + 4096));
}

static int allocate_past_limit(const Plan *plan)
{
    return result(fallocate(plan->writable, 0, plan_get_number(plan, "limit"), 4096));
}

static int write_read_only(const Plan *plan)
{
    return result(pwrite(plan->read_only, "x", 1, 0));
}

static int make_writable(const Plan *plan)
{
    if (fcntl(plan->read_only, F_SETFL, O_RDWR) < 0)
        return -errno;
    return write_read_only(plan);
}

static int map_read_only(const Plan *plan)
{
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, plan->read_only, 0);

    return map == MAP_FAILED ? -errno : 0;
}

static int reopen_read_only(const Plan *plan)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", plan->read_only);
    return open_path(path, O_RDWR);
}

/* FITHAW is checked like FIFREEZE, and harms no file system when it is let through. */
static int thaw(const Plan *plan)
{
    int r = result(syscall(SYS_ioctl, plan->writable, FITHAW, 0));

    return r == -EINVAL ? 0 : r;
}

static int set_flags(const Plan *plan)
{
    int flags = FS_NODUMP_FL;

    return result(syscall(SYS_ioctl, plan->writable, FS_IOC_SETFLAGS, &flags));
}

static int clone_file(const Plan *plan)
{
    int r = result(syscall(SYS_ioctl, plan->writable, FICLONE, plan->read_only));

    return r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

static int flush_buffers(const Plan *plan)
{
    int r = result(syscall(SYS_ioctl, plan->writable, BLKFLSBUF, 0));

    return r == -ENOTTY ? 0 : r;
}

static int type_into_terminal(const Plan *plan)
{
    char byte = 'x';
    int r = result(syscall(SYS_ioctl, plan->console, 0x5412 /* TIOCSTI */, &byte));

    return r == -ENOTTY ? 0 : r;
}

static int set_attribute(const Plan *plan)
{
    return result(syscall(SYS_fsetxattr, plan->writable, "user.escape", "x", 1, 0));
}

static int change_descriptors_mode(const Plan *plan)
{
    return result(fchmod(plan->writable, 0666));
}

static int change_descriptors_owner(const Plan *plan)
{
    return result(fchown(plan->writable, 1, 1));
}

static int take_lease(const Plan *plan)
{
    int r = result(syscall(SYS_fcntl, plan->read_only, F_SETLEASE, F_RDLCK));

    return r == -EAGAIN ? 0 : r;
}

/* --- a file that a client changes meanwhile --- */

/* Reads the kernel's first bytes, waits for the test, and reads them again. */
static int watch_kernel_change(const Plan *plan)
{
    char path[PATH_SIZE], before[16] = "", after[16] = "", byte;

    plan_get(plan, "kernel", path, sizeof(path));
    int fd = openat(AT_FDCWD, path, O_RDONLY);
    if (fd < 0 || pread(fd, before, sizeof(before), 0) < 0)
        return -errno;
    if (write(plan->console, "swap\n", 5) < 0 || read(plan->console, &byte, 1) < 0)
        return -errno;
    int again = openat(AT_FDCWD, path, O_RDONLY);
    if (again < 0 || pread(fd, after, sizeof(after), 0) < 0 ||
        memcmp(before, after, sizeof(after)) != 0)
        return 0;
    if (pread(again, after, sizeof(after), 0) < 0 || memcmp(before, after, sizeof(after)) != 0)
        return 0;
    return -EROFS; /* it stayed as it was */
}

const Attempt file_attempts[] = {
    { "1.passwd", open_passwd },
    { "1.open", open_passwd_by_open },
    { "1.openat2", open_passwd_by_openat2 },
    { "1.shadow", open_shadow },
    { "1.home", open_home },
    { "2.self-mem", open_proc_self_mem },
    { "2.root", open_proc_root },
    { "2.sys", open_sys },
    { "2.dev-mem", open_memory_device },
    { "2.kmsg", open_kmsg },
    { "3.dotdot", go_up_from_descriptor },
    { "3.linkat", link_descriptor },
    { "3.handle", open_by_handle },
    { "4.create", create },
    { "4.tmpfile", create_unnamed },
    { "4.mkdir", make_directory },
    { "4.symlink", make_symlink },
    { "4.rename", rename_entry },
    { "4.unlink", remove_entry },
    { "4.chmod", change_mode },
    { "5.firmware", write_firmware },
    { "5.kernel", write_kernel },
    { "5.initrd", write_initrd },
    { "5.replace", replace_program },
    { "6.disk", open_others_disk },
    { "6.memory", open_others_memory },
    { "6.uid-lock", open_uid_lock },
    { "8.block", make_block_device },
    { "8.character", make_null_device },
    { "10.inherited", enter_inherited_namespace },
    { "10.opened", enter_opened_namespace },
    { "19.vhost", open_vhost_vsock },
    { "19.vsock", open_vsock },
    { "29.ftruncate", enlarge },
    { "29.pwrite", write_past_limit },
    { "29.fallocate", allocate_past_limit },
    { "30.write", write_read_only },
    { "30.setfl", make_writable },
    { "30.mmap", map_read_only },
    { "30.reopen", reopen_read_only },
    { "31.freeze", thaw },
    { "31.setflags", set_flags },
    { "31.clone", clone_file },
    { "31.flush", flush_buffers },
    { "31.tiocsti", type_into_terminal },
    { "31.setxattr", set_attribute },
    { "31.fchmod", change_descriptors_mode },
    { "31.fchown", change_descriptors_owner },
    { "31.lease", take_lease },
    { "35.scan", scan_descriptors },
    { "40.swap", watch_kernel_change },
    { "41.kvm", open_kvm },
    { "43.procs", write_cgroup },
    { NULL, NULL },
};
