/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/host-checks.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/fd.h"
#include "protocol/launch-spec.h"

#define TEXT_SIZE 256 /* of the files in /proc that are read */

/* What is found, in this order: a VM runs, it runs with less, none runs. */
typedef enum CheckResult {
    CHECK_OK,
    CHECK_WARNING,
    CHECK_FAILED,
} CheckResult;

/* --- looking --- */

static void read_text(const char *path, char text[static TEXT_SIZE])
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, TEXT_SIZE - 1) : 0;

    text[n > 0 ? n : 0] = '\0';
}

static bool has_user_namespaces(void)
{
    char text[TEXT_SIZE];

    if (access("/proc/self/ns/user", F_OK) < 0)
        return false;
    read_text("/proc/sys/user/max_user_namespaces", text);
    return text[0] != '\0' && text[0] != '0';
}

static bool has_seccomp_notifications(void)
{
    char text[TEXT_SIZE];

    read_text("/proc/sys/kernel/seccomp/actions_avail", text);
    return strstr(text, "user_notif") != NULL;
}

void host_facts_gather(HostFacts *facts)
{
    *facts = (HostFacts){
        .has_user_namespaces = has_user_namespaces(),
        .has_seccomp_notifications = has_seccomp_notifications(),
        .has_systemd = access("/run/systemd/system", F_OK) == 0,
        .has_polkit = access("/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service",
                             F_OK) == 0,
        .has_vmm = access(VMM_QEMU_PROGRAM, X_OK) == 0,
    };
}

/* --- telling --- */

static bool append_check(BusDictArray *checks,
                         const char *name,
                         CheckResult result,
                         const char *finding,
                         const char *remedy)
{
    static const char *const words[] = {
        [CHECK_OK] = "ok",
        [CHECK_WARNING] = "warning",
        [CHECK_FAILED] = "failed",
    };
    BusDict dict;

    return bus_dict_open(&dict, &checks->elements) && bus_dict_add_string(&dict, "name", name) &&
           bus_dict_add_string(&dict, "result", words[result]) &&
           bus_dict_add_string(&dict, "finding", finding) &&
           bus_dict_add_string(&dict, "remedy", result == CHECK_OK ? "" : remedy) &&
           bus_dict_close(&dict);
}

/* A check that is a fact of two findings. */
static bool append_fact(BusDictArray *checks,
                        const char *name,
                        bool fact,
                        CheckResult otherwise,
                        const char *if_true,
                        const char *if_false,
                        const char *remedy)
{
    return append_check(checks, name, fact ? CHECK_OK : otherwise, fact ? if_true : if_false,
                        remedy);
}

static bool append_cgroups(const Daemon *daemon, BusDictArray *checks)
{
    static const unsigned all = CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU;
    bool user = daemon->options->user && geteuid() != 0;

    if (user)
        return append_check(checks, "cgroups", CHECK_WARNING,
                            "a user's own VMs have no limits but those of the user",
                            "have the system's virtualizationd run them");
    return append_fact(checks, "cgroups", (daemon->cgroup_controllers & all) == all, CHECK_WARNING,
                       "memory, pids and cpu of cgroup v2 limit each VM",
                       "cgroup v2 lacks memory, pids or cpu: VMs have no such limits",
                       "boot with systemd.unified_cgroup_hierarchy=1");
}

bool host_checks_append(const Daemon *daemon, BusDict *dict)
{
    const HostFacts *facts = &daemon->facts;
    BusDictArray checks;

    return bus_dict_open_array(dict, "checks", &checks) &&
           append_check(&checks, "kvm", daemon->kvm_usable ? CHECK_OK : CHECK_WARNING,
                        daemon->kvm_reason,
                        "load kvm_intel or kvm_amd and switch virtualization on in the firmware; "
                        "until then guests are emulated, and slow") &&
           append_fact(&checks, "vmm", facts->has_vmm, CHECK_FAILED,
                       VMM_QEMU_PROGRAM " is installed", VMM_QEMU_PROGRAM " is not there",
                       "install QEMU for x86 (qemu-system-x86)") &&
           append_check(&checks, "vsock", CHECK_OK, "in user space: needs nothing of the host",
                        "") &&
           append_fact(&checks, "user-namespaces", facts->has_user_namespaces, CHECK_FAILED,
                       "the kernel has them, and lets them be made",
                       "the kernel has none, or lets none be made",
                       "set user.max_user_namespaces to more than 0") &&
           append_fact(&checks, "seccomp", facts->has_seccomp_notifications, CHECK_FAILED,
                       "the kernel has it, with notifications",
                       "the kernel has no seccomp with notifications",
                       "boot a kernel of at least 5.9 with CONFIG_SECCOMP_FILTER") &&
           append_fact(&checks, "landlock", daemon->has_landlock, CHECK_WARNING,
                       "the kernel has it", "the kernel has none: a layer of the sandbox less",
                       "boot a kernel of at least 5.13 with landlock among lsm=") &&
           append_cgroups(daemon, &checks) &&
           append_fact(&checks, "systemd", facts->has_systemd, CHECK_OK, "it runs this host",
                       "it does not run this host: the daemon starts its launchers itself", "") &&
           append_fact(&checks, "polkit", facts->has_polkit, CHECK_WARNING,
                       "it is installed, and decides about others' VMs",
                       "there is none: the group of the setting Group= has all rights",
                       "install polkit, or put administrators into that group") &&
           bus_dict_close_array(dict, &checks);
}
