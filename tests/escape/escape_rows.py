# SPDX-License-Identifier: Apache-2.0
"""The table of escape attempts: what a VMM that was taken over may try, and which layers stop it.

The letters are those of vmm-launcher/layer.h; D is logic of daemon and supervisor, K the kernel.
"""

# Row: the act, and what has to stop it.
ROWS = {
    1: ("open the host's files", 'MLUS'),
    2: ('open /proc, /sys, /dev', 'MS'),
    3: ('reach files by descriptors of others', 'FCS'),
    4: ('change the root directory', 'MLS'),
    5: ('write what the VM runs from', 'MUL'),
    6: ("reach another VM's things", 'UNM'),
    7: ('change the mounts', 'CS'),
    8: ('make and open devices', 'CMG'),
    9: ('make a user namespace', 'SN'),
    10: ('enter a namespace', 'SFM'),
    11: ('fork', 'S'),
    12: ('execute a program', 'SRML'),
    13: ('make code', 'S'),
    14: ('become root', 'CUS'),
    15: ('reach into processes', 'NUS'),
    16: ('signal processes', 'NUS'),
    17: ('use the network', 'NS'),
    18: ('open other sockets', 'S'),
    19: ("use the host's vsock", 'SMG'),
    20: ('connect to local sockets', 'MNS'),
    21: ('use System V IPC and queues', 'NRS'),
    22: ('use keys', 'DS'),
    23: ('use kernel interfaces with a history', 'SC'),
    24: ('administer the kernel', 'CS'),
    25: ('change clock, name, ports', 'CSN'),
    26: ('call as another architecture', 'S'),
    27: ('change filters and process flags', 'SK'),
    28: ('raise limits and priorities', 'CRS'),
    29: ('fill the host by a disk', 'R'),
    30: ('write a read-only disk', 'FMU'),
    31: ('misuse descriptors by ioctl and the like', 'SCU'),
    32: ('exhaust threads, descriptors, memory', 'RG'),
    33: ('spin, and storm the disk', 'G'),
    34: ('dump core', 'RD'),
    35: ('find descriptors', 'F'),
    36: ('outlive the launcher', 'DG'),
    37: ('lie and flood on QMP', 'D'),
    38: ('attack vsock-device', 'D'),
    39: ('flood console and log', 'D'),
    40: ('have a client swap files meanwhile', 'D'),
    41: ('use calls of the start-up late', 'S'),
    42: ('misuse KVM', 'SG'),
    43: ('leave the cgroup', 'NM'),
    44: ('attack the stub', 'NU'),
}

# Letters of a row that no attempt here can show, and why.
NOTES = {
    (3, 'F'): 'a disk is a descriptor that it has to have: linkat and handle are up to the others',
    (8, 'G'): 'whole-host VM: the device controller',
    (12, 'R'): 'for the number that may be executed from; what needs no number is up to the others',
    (14, 'U'): 'with C: with all capabilities every uid is root',
    (19, 'G'): 'whole-host VM: the device controller',
    (22, 'D'): 'the launcher joins a session of its own, whatever layers there are',
    (27, 'K'): 'the kernel refuses, whatever layers there are',
    (28, 'R'): 'who has CAP_SYS_RESOURCE raises a limit: R and C are one layer here',
    (30, 'F'): 'the launcher opens it read-only, whatever layers there are',
    (32, 'G'): 'whole-host VM: memory.max, pids.max',
    (33, 'G'): 'whole-host VM: cpu.max, io.max',
    (34, 'D'): 'dump-guest-core=off is on the command line',
    (36, 'G'): 'whole-host VM: cgroup.kill',
    (42, 'G'): 'whole-host VM: no VFIO device',
    (43, 'N'): 'it hides paths above its own cgroup, but a cgroup file system that is there stays',
}


class Attempt:
    """One act of the stand-in.

    layers: the letters that have to stop it alone; with keep on in any case, without which what is
    tried would mean nothing. For U that is C as well: with all capabilities every uid is root.
    start_up: before the seal, it is the VMM's own right. unsafe: not to be tried without a layer.
    late: only after the seal.
    """

    def __init__(self, name, layers, keep='', start_up=False, unsafe='', late=False):
        self.name = name
        self.row = int(name.split('.')[0])
        self.layers = layers
        self.keep = keep
        self.start_up = start_up
        self.unsafe = unsafe
        self.late = late

    def on_alone(self, letter):
        return frozenset(letter + self.keep + ('C' if letter == 'U' else ''))

    def on_without(self, letter):
        return frozenset(self.keep) - {letter}


def attempts(row, layers, names, **more):
    return [Attempt(f'{row}.{name}', layers, **more) for name in names.split()]


ATTEMPTS = [
    *attempts(1, 'MLS', 'passwd open openat2'),
    *attempts(1, 'MLUS', 'shadow home'),
    *attempts(2, 'MS', 'self-mem root sys dev-mem kmsg'),
    *attempts(3, 'FS', 'dotdot'),
    *attempts(3, 'CS', 'linkat handle'),
    *attempts(4, 'MLS', 'create tmpfile mkdir symlink rename unlink'),
    *attempts(4, 'MS', 'chmod'),  # Landlock has no right for it
    *attempts(5, 'MUL', 'firmware kernel initrd replace'),
    *attempts(6, 'UM', 'disk uid-lock stub memory'),
    *attempts(6, 'UN', 'memory-read signal shm'),
    *attempts(7, 'CS', 'chroot pivot_root mount remount umount open_tree fsopen fspick fsmount '
              'move_mount mount_setattr'),
    *attempts(8, 'CM', 'block character'),
    *attempts(9, 'SN', 'unshare unshare-all clone clone3'),
    *attempts(10, 'SF', 'inherited'),
    *attempts(10, 'SM', 'opened'),
    *attempts(11, 'S', 'fork vfork clone clone-files clone-parent clone3'),
    *attempts(12, 'S', 'vmm memfd'),  # the mounts let the box's own programs be executed
    *attempts(12, 'SML', 'host script'),
    *attempts(12, 'SM', 'kernel'),
    *attempts(12, 'SL', 'disk'),
    *attempts(12, 'SR', 'dup2 dupfd'),
    *attempts(12, '', 'again'),
    *attempts(13, 'S', 'mmap shared disk memfd data heap stack', start_up=True),
    *attempts(13, 'S', 'pkey shm personality'),
    *attempts(14, 'CUS', 'setuid setreuid setresuid setgid setresgid setgroups capset securebits',
              keep='U'),
    *attempts(14, 'CUS', 'set-uid', keep='U'),
    *attempts(14, 'CS', 'ambient', keep='U'),
    *attempts(15, 'NUS', 'ptrace readv writev getfd kcmp'),
    *attempts(15, 'NS', 'pidfd'),
    *attempts(15, 'S', 'sibling-ptrace sibling-readv', keep='N'),
    *attempts(16, 'NUS', 'kill tgkill sigqueue'),
    *attempts(16, 'NS', 'setown'),  # the uid counts when the signal is sent
    *attempts(16, 'S', 'kill-all', unsafe='it would reach every process of the host'),
    *attempts(17, 'NS', 'inet inet6 lan metadata'),
    *attempts(18, 'S', 'netlink packet alg xdp bluetooth key tipc can rds unix vsock'),
    *attempts(19, 'S', 'connect'),
    *attempts(19, 'SM', 'vhost vsock'),
    *attempts(20, 'MS', 'path bus launcher'),
    *attempts(20, 'NS', 'abstract'),
    *attempts(21, 'NS', 'shm sem msg mq-open'),
    *attempts(21, 'RS', 'mq-create'),
    *attempts(22, 'S', 'search request add join'),
    *attempts(23, 'SC', 'bpf perf userfaultfd fanotify'),
    *attempts(23, 'S', 'io_uring memfd_secret'),
    *attempts(24, 'CS', 'init_module finit_module delete_module kexec_load kexec_file_load reboot '
              'swapon swapoff acct'),
    *attempts(24, 'S', 'quotactl'),
    *attempts(25, 'CS', 'clock_settime settimeofday adjtimex syslog iopl ioperm vhangup'),
    *attempts(25, 'CSN', 'sethostname setdomainname'),
    *attempts(25, 'S', 'modify_ldt'),
    *attempts(26, 'S', 'int80 x32'),
    *attempts(27, 'S', 'listener prctl-filter dumpable set-mm ptracer'),
    *attempts(27, 'S', 'filter', start_up=True),  # QEMU's own; it can only take rights away
    *attempts(27, 'SK', 'new-privileges', keep='C'),
    *attempts(28, 'CS', 'nofile setrlimit rtprio fifo setpriority ioprio'),
    *attempts(28, 'S', 'affinity prlimit-other'),
    *attempts(29, 'R', 'ftruncate pwrite fallocate'),
    *attempts(30, '', 'write setfl mmap'),
    *attempts(30, 'MU', 'reopen'),
    *attempts(31, 'SC', 'freeze'),
    *attempts(31, 'SU', 'setflags setxattr fchmod lease'),
    *attempts(31, 'SCU', 'fchown'),
    *attempts(31, 'S', 'clone flush tiocsti'),
    *attempts(32, 'R', 'threads mlock', keep='UC'),
    *attempts(32, 'R', 'files memfd signals'),
    *attempts(34, 'R', 'core'),
    *attempts(35, 'F', 'scan'),
    *attempts(36, 'S', 'deathsig stop setsid'),
    *attempts(41, 'S', 'dup kvm access arch_prctl openat prlimit64 set_tid_address fchdir fstatfs '
              'statfs getdents64 readlink sysinfo sched_getaffinity getppid getpeername '
              'getsockname getsockopt setsockopt epoll_create1 signalfd4 rt_sigaction '
              'memfd_create ftruncate socketpair seccomp fcntl-add-seals fcntl-get-seals '
              'madvise-dontfork madvise-mergeable prctl-name mmap-exec', late=True),
    *attempts(42, 'S', 'create-vm create-device guest-memfd vfio vhost'),
    *attempts(43, 'M', 'procs'),
    *attempts(43, 'SC', 'mount'),
    *attempts(44, 'N', 'kill', unsafe="it would be the machine's own process 1"),
    *attempts(44, 'NU', 'ptrace readv'),
]
