/* SPDX-License-Identifier: Apache-2.0 */
/* "LOOK what value" lines, which the test compares with what it allows. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/escape/stand-in.h"

#define FD_END    5000
#define DEPTH_MAX 8
#define PATH_SIZE 512

static void look_at_descriptors(void)
{
    struct stat status;

    for (int fd = 0; fd < FD_END; fd++) {
        if (fd == STDERR_FILENO || fstat(fd, &status) < 0)
            continue;
        const char *kind = S_ISSOCK(status.st_mode)   ? "socket"
                           : S_ISFIFO(status.st_mode) ? "pipe"
                           : S_ISCHR(status.st_mode)  ? "character"
                           : S_ISREG(status.st_mode)  ? "file"
                                                      : "other";
        static const char *const modes[] = { "r", "w", "rw", "?" };
        say("LOOK fd %d %s %s", fd, kind, modes[fcntl(fd, F_GETFL) & O_ACCMODE]);
    }
}

static void look_at_identity(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
    uid_t uid[3];
    gid_t gid[3];
    unsigned bounding = 0, ambient = 0;

    (void)syscall(SYS_getresuid, &uid[0], &uid[1], &uid[2]);
    (void)syscall(SYS_getresgid, &gid[0], &gid[1], &gid[2]);
    say("LOOK uid %u %u %u", uid[0], uid[1], uid[2]);
    say("LOOK gid %u %u %u", gid[0], gid[1], gid[2]);
    say("LOOK groups %d", getgroups(0, NULL));
    (void)syscall(SYS_capget, &header, data);
    say("LOOK capabilities %x %x %x %x %x %x", data[0].effective, data[1].effective,
        data[0].permitted, data[1].permitted, data[0].inheritable, data[1].inheritable);
    for (int capability = 0; capability < 64; capability++) {
        bounding += prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1;
        ambient += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1;
    }
    say("LOOK bounding %u ambient %u", bounding, ambient);
    say("LOOK securebits %x", (unsigned)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    say("LOOK no-new-privileges %d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("LOOK seccomp %d", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
}

static void look_at_limits(void)
{
    static const char *const names[RLIMIT_NLIMITS] = {
        "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
        "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime",
    };
    struct rlimit limit;

    for (int i = 0; i < RLIMIT_NLIMITS; i++) {
        if (syscall(SYS_prlimit64, 0, i, NULL, &limit) == 0)
            say("LOOK limit %s %lld %lld", names[i], (long long)limit.rlim_cur,
                (long long)limit.rlim_max);
    }
}

static void look_at_session(const Plan *plan)
{
    struct utsname name;
    sigset_t mask;

    for (char **variable = environ; *variable; variable++)
        say("LOOK environment %s", *variable);
    (void)uname(&name);
    say("LOOK host-name %s", name.nodename);
    say("LOOK pid %d parent %d session %d", getpid(), plan->parent, getsid(0));
    say("LOOK umask %o", (unsigned)umask(0077));
    (void)sigprocmask(SIG_SETMASK, NULL, &mask);
    int n_blocked = 0, n_ignored = 0;
    for (int number = 1; number < 65; number++) {
        struct sigaction action;

        n_blocked += sigismember(&mask, number) == 1;
        n_ignored += sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
    }
    say("LOOK signals blocked %d ignored %d", n_blocked, n_ignored);
    for (char **argument = plan->arguments; *argument; argument++) {
        if (strstr(*argument, "dump-guest-core=off"))
            say("LOOK argument dump-guest-core=off");
    }
}

static void look_at_namespaces(void)
{
    struct if_nameindex *interfaces = if_nameindex();

    for (struct if_nameindex *i = interfaces; i && i->if_index != 0; i++) {
        struct ifreq request = { 0 };
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", i->if_name);
        (void)ioctl(fd, SIOCGIFFLAGS, &request);
        say("LOOK interface %s %s", i->if_name, (request.ifr_flags & IFF_UP) ? "up" : "down");
        (void)close(fd);
    }
    for (pid_t pid = 1; pid < 400000; pid++) {
        if (syscall(SYS_kill, pid, 0) == 0 || errno != ESRCH)
            say("LOOK process %d", pid);
    }
}

/* Every entry below @directory, by statfs and lstat; there is no list of mounts to read. */
static void look_at_files(const char *directory, int depth)
{
    char path[PATH_SIZE];
    struct dirent *entry;
    struct stat status;
    struct statvfs system;

    DIR *stream = opendir(directory[0] == '\0' ? "/" : directory);
    if (!stream) {
        say("LOOK directory %s %s", directory, strerrorname_np(errno));
        return;
    }
    while ((entry = readdir(stream))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (lstat(path, &status) < 0 || statvfs(path, &system) < 0)
            memset(&system, 0, sizeof(system));
        say("LOOK entry %s %o %u %s%s%s%s", path, status.st_mode, status.st_uid,
            system.f_flag & ST_RDONLY ? "r" : "w", system.f_flag & ST_NOSUID ? "s" : "-",
            system.f_flag & 4 /* ST_NODEV */ ? "d" : "-",
            system.f_flag & 8 /* ST_NOEXEC */ ? "x" : "-");
        if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX)
            look_at_files(path, depth + 1);
    }
    (void)closedir(stream);
}

/* In parts, so that each test has its own. Many of these calls are outside the policy: it is looked
 * at without seccomp, which the supervisor has looked for by itself. */
void look_around(const Plan *plan)
{
    char part[32];

    plan_get(plan, "look", part, sizeof(part));
    (void)dup2(plan->console, STDERR_FILENO); /* what goes there is not cut off */
    if (strcmp(part, "descriptors") == 0)
        look_at_descriptors();
    else if (strcmp(part, "identity") == 0)
        look_at_identity();
    else if (strcmp(part, "limits") == 0)
        look_at_limits();
    else if (strcmp(part, "session") == 0)
        look_at_session(plan);
    else if (strcmp(part, "namespaces") == 0)
        look_at_namespaces();
    else
        look_at_files("", 0);
}
