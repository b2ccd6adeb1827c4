/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm-launcher/box.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/landlock.h"
#include "vmm-launcher/layer.h"

#define FUSE_SUPER_MAGIC 0x65735546 /* include/uapi/linux/magic.h, since Linux 6.2 */

#define DEVICE_PATH TEMPLATE_VM_FILES "/kvm"

void box_deinit(Box *box)
{
    for (size_t i = 0; i < box->n_binds; i++)
        box->binds[i].tree = fd_close(box->binds[i].tree);
    box->n_binds = 0;
    box->files = fd_close(box->files);
    box->root_tree = fd_close(box->root_tree);
    box->template_directory = fd_close(box->template_directory);
}

/* --- outside --- */

static int set_attributes(int tree, uint64_t set, uint64_t clear)
{
    struct mount_attr attributes = { .attr_set = set,
                                     .attr_clr = clear,
                                     .propagation = MS_PRIVATE };

    return mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0 ? -errno : 0;
}

/* A file system in memory for the VM's files. */
static int make_files(bool with_device, int *ret_mount)
{
    unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;

    if (!with_device)
        attributes |= MOUNT_ATTR_NODEV;
    _cleanup_close_ int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
        fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", "16", 0) < 0 ||
        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    *ret_mount = fsmount(context, FSMOUNT_CLOEXEC, attributes);
    return *ret_mount < 0 ? -errno : 0;
}

/* Takes a directory of the template as the root. */
static int take_root(Box *box, const TemplateOptions *options, const char *path, Error *error)
{
    int r = template_root_open(options, &box->template_directory, error);
    if (r < 0)
        return r;
    box->root_tree = open_tree(box->template_directory, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (box->root_tree < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot take the template root");
    r = set_attributes(box->root_tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                       MOUNT_ATTR_NOEXEC);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot protect the template root");
    return 0;
}

int box_prepare(Box *box, const TemplateOptions *options, bool with_device, Error *error)
{
    int r = take_root(box, options, "root", error);
    if (r < 0)
        return r;
    r = make_files(with_device, &box->files);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot make a place for files");
    box->has_device = with_device;
    return 0;
}

int box_prepare_empty(Box *box, const TemplateOptions *options, Error *error)
{
    return take_root(box, options, "root" TEMPLATE_EMPTY, error);
}

/* Whether nobody but root can change the bytes of the file, and everybody may read them. A file
 * system in user space says what its owner wants. */
static bool is_roots_own(int fd)
{
    struct stat status;
    struct statfs system;

    return fstat(fd, &status) == 0 && fstatfs(fd, &system) == 0 && S_ISREG(status.st_mode) &&
           status.st_uid == 0 && (status.st_mode & 0022) == 0 && (status.st_mode & 0004) != 0 &&
           system.f_type != FUSE_SUPER_MAGIC;
}

/* Has the file behind @fd itself mounted at /vm/@name, less what @attributes forbid; fails for one
 * of another mount namespace, or of none. */
static int bind_file(Box *box, const char *name, int fd, uint64_t attributes)
{
    if (box->n_binds == BOX_BINDS_MAX)
        return -E2BIG;
    _cleanup_close_ int tree =
        open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0)
        return -errno;
    int r = set_attributes(tree, attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
    if (r < 0)
        return r;
    box->binds[box->n_binds].name = name;
    box->binds[box->n_binds++].tree = take_fd(&tree);
    return 0;
}

static int make_place(const Box *box, const char *name, int *ret_file, Error *error)
{
    _cleanup_close_ int file =
        openat(box->files, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (file < 0 || fchmod(file, 0444) < 0)
        return error_set_errno(error, ERROR_START_FAILED, errno, "cannot make a place for the %s",
                               name);
    *ret_file = take_fd(&file);
    return 0;
}

static int take_over(const char *name, int fd, uint64_t size_max, int file, Error *error)
{
    int r = fd_copy_all(fd, size_max, file);

    if (r < 0)
        return error_set_errno(error, ERROR_INVALID_FILE, r, "cannot take over the %s", name);
    return 0;
}

int box_add_file(Box *box, const char *name, int fd, uint64_t size_max, Error *error)
{
    _cleanup_close_ int file = -EBADF;

    int r = make_place(box, name, &file, error);
    if (r < 0)
        return r;
    if (is_roots_own(fd) && bind_file(box, name, fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV) >= 0)
        return 0;
    return take_over(name, fd, size_max, file, error);
}

int box_add_file_with_head(Box *box,
                           const char *name,
                           const void *head,
                           size_t head_size,
                           int fd,
                           uint64_t size_max,
                           Error *error)
{
    _cleanup_close_ int file = -EBADF;

    int r = make_place(box, name, &file, error);
    if (r < 0)
        return r;
    r = fd_write_all(file, head, head_size);
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot write the %s", name);
    return take_over(name, fd, size_max, file, error);
}

/* A user namespace has no device of its own: the host's is mounted, whose owner and mode decide. */
static int bind_device(Box *box, const char *name, const char *path)
{
    _cleanup_close_ int place = openat(box->files, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
    _cleanup_close_ int device = open(path, O_PATH | O_CLOEXEC);

    if (place < 0 || device < 0)
        return -errno;
    return bind_file(box, name, device, 0);
}

int box_add_device(Box *box, const char *name, const char *path, uid_t uid, Error *error)
{
    struct stat status;
    int r = 0;

    if (box->unprivileged)
        r = bind_device(box, name, path);
    else if (stat(path, &status) < 0 ||
             mknodat(box->files, name, S_IFCHR | 0600, status.st_rdev) < 0 ||
             fchownat(box->files, name, uid, (gid_t)uid, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot make the device %s", path);
    return 0;
}

int box_close_files(Box *box, Error *error)
{
    int r = set_attributes(box->files, MOUNT_ATTR_RDONLY, 0);

    if (r < 0)
        return error_set_errno(error, ERROR_START_FAILED, r, "cannot protect the VM's files");
    return 0;
}

static int write_map(pid_t pid, const char *name, const char *text)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name); /* of our pid namespace */
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, text, strlen(text));
}

int box_map_ids(pid_t pid, uid_t uid, gid_t gid)
{
    char text[64];

    int r = write_map(pid, "setgroups", "deny");
    if (r < 0)
        return r;
    (void)snprintf(text, sizeof(text), "%u %u 1", uid, uid);
    r = write_map(pid, "uid_map", text);
    if (r < 0)
        return r;
    (void)snprintf(text, sizeof(text), "%u %u 1", gid, gid);
    return write_map(pid, "gid_map", text);
}

int box_gain_privilege(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return -errno;
    return box_map_ids(getpid(), uid, gid);
}

/* --- inside --- */

static int enter_session(void)
{
    static const char host_name[] = "vm";

    if (setsid() < 0)
        return -errno;
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
        return -errno;
    if (layer_is_on(LAYER_NAMESPACES) && sethostname(host_name, strlen(host_name)) < 0)
        return -errno;
    (void)umask(0077);
    return 0;
}

/* The sysctls of whoever reads them, wherever the host's /proc may be mounted, and how. */
static int open_sysctls(int *ret_fd)
{
    _cleanup_close_ int context = fsopen("proc", FSOPEN_CLOEXEC);
    if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    _cleanup_close_ int proc =
        fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    /* In a user namespace the kernel gives none where something of the host's /proc is covered. */
    *ret_fd = proc < 0 ? open("/proc/sys/user", O_PATH | O_DIRECTORY | O_CLOEXEC)
                       : openat(proc, "sys/user", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

static int enter_root(const Box *box, int *ret_sysctl_fd)
{
    char path[64];

    int r = open_sysctls(ret_sysctl_fd);
    if (r < 0)
        return r;
    /* Nothing of what follows may reach the host. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    if (!layer_is_on(LAYER_MOUNTS))
        return 0;
    if (move_mount(box->root_tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
        fchdir(box->root_tree) < 0 ||
        (box->files >= 0 &&
         move_mount(box->files, "", AT_FDCWD, &TEMPLATE_VM_FILES[1], MOVE_MOUNT_F_EMPTY_PATH) < 0))
        return -errno;
    for (size_t i = 0; i < box->n_binds; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", &TEMPLATE_VM_FILES[1], box->binds[i].name);
        if (move_mount(box->binds[i].tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return -errno;
    }
    /* pivot_root(2), NOTES: with both arguments ".", the old root lies on the new one. */
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int enter_user_namespace(const Box *box)
{
    if (!box->unprivileged && setgroups(0, NULL) < 0)
        return -errno;
    return layer_is_on(LAYER_NAMESPACES) && unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

static int forbid_namespaces(int sysctl_fd)
{
    if (!layer_is_on(LAYER_NAMESPACES))
        return 0;
    _cleanup_close_ int fd = openat(sysctl_fd, "max_user_namespaces", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, "0", 1);
}

int box_set_limits(const BoxLimit *limits, size_t n_limits)
{
    for (size_t i = 0; layer_is_on(LAYER_LIMITS) && i < n_limits; i++) {
        const struct rlimit limit = { limits[i].value, limits[i].value };

        if (setrlimit(limits[i].resource, &limit) < 0)
            return -errno;
    }
    return 0;
}

/* Those that all who are in a box have in common. */
static int set_common_limits(void)
{
    static const BoxLimit limits[] = {
        { RLIMIT_CORE, 0 },   { RLIMIT_MEMLOCK, 0 }, { RLIMIT_MSGQUEUE, 0 },
        { RLIMIT_RTPRIO, 0 }, { RLIMIT_NICE, 0 },    { RLIMIT_SIGPENDING, 64 },
    };

    return box_set_limits(limits, ELEMENTS_OF(limits));
}

static int restrict_paths(const Box *box)
{
    const LandlockRule rules[] = {
        { "/", false },
        { box->has_device ? DEVICE_PATH : NULL, true },
        { NULL, false },
    };
    char root[64];
    const LandlockRule rules_without_mounts[] = {
        { root, false },
        { "/usr/lib", false }, /* where the loader and the libraries are then taken from */
        { NULL, false },
    };

    (void)snprintf(root, sizeof(root), "/proc/self/fd/%d/root", box->template_directory);
    if (layer_is_on(LAYER_LANDLOCK) && !layer_is_on(LAYER_MOUNTS))
        return landlock_restrict(rules_without_mounts);
    return layer_is_on(LAYER_LANDLOCK) ? landlock_restrict(rules) : 0;
}

const char *box_step_to_string(BoxStep step)
{
    static const char *const names[BOX_STEP_MAX] = {
        [BOX_SESSION] = "make a session",
        [BOX_ROOT] = "change the root directory",
        [BOX_USER_NAMESPACE] = "enter a user namespace",
        [BOX_MAP_IDS] = "map its uid",
        [BOX_FORBID_NAMESPACES] = "forbid user namespaces",
        [BOX_LIMITS] = "set the limits",
        [BOX_DROP] = "drop privileges",
        [BOX_LANDLOCK] = "set Landlock's rules",
    };

    return names[step];
}

static int drop(const Box *box, uid_t uid)
{
    int r = box->unprivileged ? drop_capabilities() : layer_drop_privileges(uid);
    if (r < 0)
        return r;
    /* After the change of uid, which clears it. A parent that has died before is for the caller to
     * notice. */
    return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

int box_enter(
    const Box *box, uid_t uid, BoxWaitForMap wait_for_map, void *userdata, BoxStep *ret_step)
{
    _cleanup_close_ int sysctl_fd = -EBADF;
    int r = 0;

    for (BoxStep step = 0; r >= 0 && step < BOX_STEP_MAX; step++) {
        *ret_step = step;
        switch (step) {
        case BOX_SESSION:
            r = enter_session();
            break;
        case BOX_ROOT:
            r = enter_root(box, &sysctl_fd);
            break;
        case BOX_USER_NAMESPACE:
            r = enter_user_namespace(box);
            break;
        case BOX_MAP_IDS:
            r = wait_for_map(userdata);
            break;
        case BOX_FORBID_NAMESPACES:
            r = forbid_namespaces(sysctl_fd);
            break;
        case BOX_LIMITS:
            r = set_common_limits();
            break;
        case BOX_DROP:
            r = drop(box, uid);
            break;
        case BOX_LANDLOCK:
            r = restrict_paths(box);
            break;
        case BOX_STEP_MAX:
            break;
        }
        layer_kill_point();
    }
    return r;
}

int box_open_program(const Box *box, const char *path)
{
    char outside[64];
    int fd;

    if (layer_is_on(LAYER_MOUNTS)) {
        fd = open(path, O_PATH | O_CLOEXEC);
    } else {
        (void)snprintf(outside, sizeof(outside), "root%s", path);
        fd = openat(box->template_directory, outside, O_PATH | O_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}
