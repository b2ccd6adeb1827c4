# SPDX-License-Identifier: Apache-2.0
"""Seccomp policies beside what programs really call.

A traced build directory has the programs of a build and policies that let everything go on and
tell of it. The VMM and vsock-device have a listener, the supervisor, which names each of their
calls once before the seal and once after it; of the other processes the kernel does, in its log.
"""
import contextlib
import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from harness import wait_until

POLICIES = os.path.join(os.environ['top_srcdir'], 'policy', 'seccomp')
LISTENED_TO = ('qemu-tcg', 'qemu-kvm', 'vsock-device')
# The supervisor is never without its first policy: the sealed one is on top of it.
UNHEARD = ('supervisor', 'supervisor-sealed', 'stub', 'disk-worker', 'virtualizationd')
# Between the filter and exec nobody listens yet: what is called there is allowed in a trace.
BEFORE_EXEC = ('sendmsg', 'close', 'execveat')

ALLOW, NOTIFY, ERRNO = 'SCMP_ACT_ALLOW', 'SCMP_ACT_NOTIFY', 'SCMP_ACT_ERRNO'
MARGIN = 'margin:'  # in a comment: no trace shows it, for the reason that follows
STEADY_MAX = 50     # names that QEMU may call once the guest runs

# Takes a name and puts on a filter of one instruction, SECCOMP_RET_LOG: its end is logged.
LOGGED_PROCESS = '''
import ctypes, struct, sys
set_name, set_seccomp, no_new_privs, filter_mode = 15, 22, 38, 2
libc = ctypes.CDLL(None, use_errno=True)
instruction = ctypes.create_string_buffer(struct.pack('=HBBI', 6, 0, 0, 0x7ffc0000))
program = ctypes.create_string_buffer(struct.pack('@HP', 1, ctypes.addressof(instruction)))
if (libc.prctl(set_name, sys.argv[1].encode(), 0, 0, 0) or
        libc.prctl(no_new_privs, 1, 0, 0, 0) or libc.prctl(set_seccomp, filter_mode, program)):
    sys.exit('no filter: errno %d' % ctypes.get_errno())
'''

KERNEL_LOG = '/dev/kmsg'
RATE_LIMIT = '/proc/sys/kernel/printk_ratelimit'


def read_policy(role):
    with open(f'{POLICIES}/{role}.json', encoding='utf-8') as file:
        return json.load(file)


def add_fragment(policy, fragment):
    """Adds what a fragment has, as seccomp-compile does: its entries take the place of others."""
    added = {name for entry in fragment['syscalls'] for name in entry['names']}
    for entry in policy['syscalls']:
        entry['names'] = [name for name in entry['names'] if name not in added]
    policy['syscalls'] = [entry for entry in policy['syscalls'] + fragment['syscalls']
                          if entry['names']]


def format_policy(policy):
    """A policy's text, as those in the tree are laid out."""
    lines = ['{']
    for key in ('defaultAction', 'architectures'):
        if key in policy:
            lines.append(f'    {json.dumps(key)}: {json.dumps(policy[key])},')
    lines.append('    "syscalls": [')
    for entry in policy['syscalls']:
        parts = []
        for key, value in entry.items():
            text = f'            {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}'
            if key == 'names' and len(text) >= 100:
                text = '            "names": [\n' + wrap(value) + '\n            ]'
            elif key == 'args':
                rows = [f'                {{ {json.dumps(row)[1:-1]} }}' for row in value]
                text = '            "args": [\n' + ',\n'.join(rows) + '\n            ]'
            parts.append(text)
        lines += ['        {', ',\n'.join(parts), '        },']
    lines[-1] = '        }'
    return '\n'.join(lines + ['    ]', '}', ''])


def wrap(names):
    lines = ['']
    for number, name in enumerate(names):
        word = json.dumps(name) + (',' if number < len(names) - 1 else '')
        if lines[-1] and len(lines[-1]) + len(word) + 1 > 99 - 16:
            lines.append('')
        lines[-1] += (' ' if lines[-1] else '') + word
    return '\n'.join(' ' * 16 + line for line in lines)


# --- traced programs ---

def write_kernels_trace(path):
    """A compiled policy whose one instruction lets each call through and has the kernel log it."""
    audit_arch_x86_64, return_constant, ret_log = 0xc000003e, 6, 0x7ffc0000
    with open(path, 'wb') as file:
        file.write(struct.pack('=8sIIII', b'SCMPBPF1', audit_arch_x86_64, 0, 1, 0))
        file.write(struct.pack('=HBBI', return_constant, 0, 0, ret_log))


def write_supervisors_trace(build, role, path, with_refusals):
    """Compiles a policy of which the supervisor is told nearly everything. Calls that the role's
    own policy refuses are refused here too, or programs would go other ways, unless @with_refusals
    is false, which shows whether a program still tries them."""
    policy = read_policy(role)
    policy['syscalls'] = [entry for entry in policy['syscalls']
                          if entry['names'] == ['execveat'] or
                          with_refusals and entry['action'] == ERRNO]
    policy['syscalls'].append({'names': [name for name in BEFORE_EXEC if name != 'execveat'],
                               'action': ALLOW})
    with tempfile.NamedTemporaryFile('w', suffix='.json') as source:
        source.write(json.dumps(policy))
        source.flush()
        subprocess.run([f'{build}/programs/seccomp-compile', '--listener', source.name, path],
                       check=True)


@contextlib.contextmanager
def traced_build(build, roles, with_refusals=True):
    """The path of a build directory, for as long as it is wanted, in which @roles are traced."""
    build = os.path.abspath(build)
    directory = tempfile.mkdtemp(prefix='traced-', dir=build)
    try:
        os.chmod(directory, 0o755)
        os.mkdir(f'{directory}/programs')
        os.symlink(f'{build}/guest-image', f'{directory}/guest-image')
        os.symlink(f'{build}/Makefile', f'{directory}/Makefile')
        for name in os.listdir(f'{build}/programs'):
            path = f'{build}/programs/{name}'
            if os.path.isfile(path):
                shutil.copy2(path, f'{directory}/programs/{name}')
            elif name == 'seccomp':
                shutil.copytree(path, f'{directory}/programs/{name}')
            else:
                os.symlink(path, f'{directory}/programs/{name}')
        for role in roles:
            path = f'{directory}/programs/seccomp/{role}.policy'
            if role in LISTENED_TO:
                write_supervisors_trace(build, role, path, with_refusals)
            else:
                write_kernels_trace(path)
        yield directory
    finally:
        shutil.rmtree(directory)


class Trace:
    """Which calls were seen: role -> phase ('before' or 'after' the seal) -> names."""

    def __init__(self):
        self.calls = {}

    def add(self, role, phase, name):
        self.calls.setdefault(role, {'before': set(), 'after': set()})[phase].add(name)

    def seen(self, role, *phases):
        return set().union(*(self.calls.get(role, {}).get(phase, ()) for phase in phases))

    def add_supervisors_words(self, log, vmm_role):
        """Takes what the supervisors of VMs said; their VMM's role was @vmm_role."""
        for program, name, phase in re.findall(
                r'seccomp: (the VMM|vsock-device) makes a call that its policy lacks: '
                r'(\w+) \(\d+\), (before|after) the seal', log):
            self.add(vmm_role if program == 'the VMM' else program, phase, name)


def call_names(build):
    """Names by number, of this machine's architecture."""
    output = subprocess.run([f'{build}/programs/seccomp-compile', '--names'], check=True,
                            capture_output=True, encoding='ascii').stdout
    return {int(number): name for number, name in re.findall(r'\[(\d+)\] = "(\w+)"', output)}


class KernelLog:
    """The kernel's log of the processes of a traced build, while in its context."""

    LINE = re.compile(r'type=1326 .* pid=(\d+) comm="([^"]*)" exe="([^"]*)" .* syscall=(\d+) .*'
                      r'code=0x7ffc0000')
    PROGRAMS = {'virtualizationd': 'virtualizationd', 'vm-stub': 'stub',
                'vm-supervisor': 'supervisor', 'disk-worker': 'disk-worker'}
    END = 'trace-end'  # the name of a process that is logged last

    def __init__(self, build, trace):
        self.build = os.path.realpath(build)
        self.trace = trace
        self.names = call_names(build)
        self.sealed = set()  # pids of supervisors
        self.output = tempfile.TemporaryFile('w+', errors='replace')

    def __enter__(self):
        self.lock = open('/run/lock/virtualizationd-trace', 'w', encoding='ascii')
        fcntl.flock(self.lock, fcntl.LOCK_EX)  # or one would restore the other's rate limit
        with open(RATE_LIMIT, 'r+', encoding='ascii') as file:
            self.rate_limit = file.read()
            file.seek(0)
            file.write('0')
        # The log may have room for some hundred lines: whoever reads it must be quick.
        with open(KERNEL_LOG, 'rb', buffering=0) as log:
            log.seek(0, os.SEEK_END)
            self.reader = subprocess.Popen(['cat'], stdin=log, stdout=self.output)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(self.reader.pid, os.SCHED_FIFO, os.sched_param(1))
        return self

    def __exit__(self, kind, *_):
        lines = self._read_to_end()
        overtaken = self.reader.poll() is not None
        self.reader.kill()
        self.reader.wait()
        with open(RATE_LIMIT, 'w', encoding='ascii') as file:
            file.write(self.rate_limit)
        self.lock.close()
        if kind is not None:
            return
        for line in lines:
            self._take(line)
        if overtaken or any('audit_lost=' in line for line in lines):
            raise RuntimeError('the kernel\'s log was overwritten before it was read')
        if not self.trace.calls:
            raise RuntimeError('the kernel\'s log tells of no call: its audit messages go '
                               'elsewhere, or it has none (CONFIG_AUDIT)')

    def _read_lines(self):
        self.output.seek(0)
        return self.output.read().splitlines()

    def _read_to_end(self):
        """The kernel queues what it logs: the last of all comes by the same way."""
        subprocess.run([sys.executable, '-c', LOGGED_PROCESS, self.END], check=True)
        wait_until(lambda: any(f'comm="{self.END}"' in line for line in self._read_lines()) or
                   self.reader.poll() is not None, 'the end of the kernel\'s log')
        return self._read_lines()

    def _take(self, line):
        match = self.LINE.search(line)
        if not match or not match[3].startswith(self.build + '/'):
            return
        pid, program, name = match[1], match[2], self.names.get(int(match[4]), match[4])
        role = self.PROGRAMS.get(program)
        if role == 'supervisor' and pid in self.sealed:
            self.trace.add('supervisor-sealed', 'after', name)
        if role:
            self.trace.add(role, 'after' if role == 'virtualizationd' or pid in self.sealed
                           else 'before', name)
        # The one seccomp(2) that is seen puts the sealed policy on.
        if role == 'supervisor' and name == 'seccomp':
            self.sealed.add(pid)
        elif name == 'exit_group':
            self.sealed.discard(pid)


# --- the judgement ---

def names_of(policy, action, margin=None):
    """Names of the entries with @action; only those of a margin, or only the others."""
    return {name for entry in policy['syscalls'] if entry['action'] == action
            and margin in (None, MARGIN in entry.get('comment', ''))
            for name in entry['names']}


def find_lacking(role, policy, trace):
    """(name, phase) of calls that were seen and that the policy does not cover."""
    always, startup = names_of(policy, ALLOW), names_of(policy, NOTIFY)
    refused = names_of(policy, ERRNO)
    if role not in LISTENED_TO:
        return {(name, 'throughout')
                for name in trace.seen(role, 'before', 'after') - always - refused}
    return ({(name, 'before') for name in trace.seen(role, 'before') - always - startup - refused} |
            {(name, 'after') for name in trace.seen(role, 'after') - always - refused})


def find_unused(role, policy, trace, probed):
    """(name, why) of calls that the policy lists, in an entry without a reason, and that were not
    seen. @probed is a trace without refusals: it shows which of them are tried."""
    def without(action, seen):
        return names_of(policy, action, margin=False) - seen

    everything = trace.seen(role, 'before', 'after')
    if role not in LISTENED_TO:
        return {(name, 'never seen') for name in without(ALLOW, everything) |
                without(ERRNO, everything)}
    unused = {(name, 'seen before the seal only' if name in everything else 'never seen')
              for name in without(ALLOW, trace.seen(role, 'after')) - set(BEFORE_EXEC)}
    unused |= {(name, 'not seen before the seal')
               for name in without(NOTIFY, trace.seen(role, 'before'))}
    return unused | {(name, 'not tried')
                     for name in without(ERRNO, probed.seen(role, 'before', 'after'))}


ASKED = 'traced; say what it is for, and under which conditions'


def bring_in_line(role, policy, lacking, unused):
    """Adds names that are lacking, and takes those out that are unused; args stay as they are."""
    actions = {'never seen': (ALLOW, ERRNO) if role not in LISTENED_TO else (ALLOW,),
               'seen before the seal only': (ALLOW,), 'not seen before the seal': (NOTIFY,),
               'not tried': (ERRNO,)}
    added = {ALLOW: {name for name, phase in lacking if phase != 'before'}}
    added[NOTIFY] = {name for name, phase in lacking if phase == 'before'}
    added[NOTIFY] |= {name for name, why in unused if why == 'seen before the seal only'}
    added[NOTIFY] -= added[ALLOW] | names_of(policy, NOTIFY)
    for name, why in unused:
        for entry in policy['syscalls']:
            if entry['action'] in actions[why] and MARGIN not in entry.get('comment', ''):
                entry['names'] = [other for other in entry['names'] if other != name]
    policy['syscalls'] = [entry for entry in policy['syscalls'] if entry['names']]
    for action, names in added.items():
        if names:
            policy['syscalls'].append({'comment': ASKED, 'names': sorted(names),
                                       'action': action})
