#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A VMM that was taken over tries to get out, through the real daemon and the real launcher.

Each attempt is made by a program in QEMU's place (stand-in.c), first in the whole box, before and
after the seal; and then with one layer alone: the launcher for tests leaves all others out, also
those that the row of the table does not name, so that nothing else can have stopped it. That the
layer did is known from the same launch without it: there the attempt has to succeed, or nothing is
shown, and the table says so. For seccomp it is enough that the death record names the call.

ESCAPE_PLACE names the machine in the table, and ESCAPE_LETTERS adds layers that are there to test.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from canaries import Canaries  # noqa: E402
from escape_rows import ATTEMPTS, NOTES, ROWS  # noqa: E402
from harness import Host, Suite, UID_COUNT, UID_MIN, processes, wait_until  # noqa: E402

LETTERS = 'SMUCNRLF' + os.environ.get('ESCAPE_LETTERS', '')
PLACE = os.environ.get('ESCAPE_PLACE', 'here')
ELSEWHERE = ''.join(letter for letter in 'G' if letter not in LETTERS)
IN_FLIGHT = 4
MEMORY_MIB = 64


class World:
    """What all tests share: the canaries, and a prefix with the stand-in in QEMU's place."""

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.stand_in = f'{self.build}/programs/escape/stand-in'
        self.canaries = Canaries(self.stand_in)
        self.prefix = f'{self.canaries.directory}/prefix'
        os.makedirs(f'{self.prefix}/usr/bin')
        shutil.copy(self.stand_in, f'{self.prefix}/usr/bin/qemu-system-x86_64')
        self.cache = f'{self.canaries.directory}/cache'

    def host(self, letters=None, options=()):
        """With the real launcher, or the one for tests and these layers only."""
        launcher = 'vmm-launcher'
        if letters is not None or options:
            launcher = 'vmm-launcher-for-tests'
        if letters is not None:
            without = ''.join(letter for letter in LETTERS if letter not in letters)
            options = [f'--without-layers={without}', '--leak=/', '--leak=/proc/self/ns/net',
                       *options]
        return Host(self.build, launcher=launcher, cache_dir=self.cache,
                    launcher_options=[f'--vmm-prefix={self.prefix}', *options])

    def config(self, host, words, in_box=True):
        scratch = self.canaries.scratch()
        config = {'kernel': 'kernel', 'initrd': 'initrd', 'memory_mib': MEMORY_MIB,
                  'platform_version': '~1.0', 'accelerator': 'tcg',
                  'disks': [{'image': 'disk', 'writable': True}, {'image': 'read-only'}],
                  'params': self.canaries.words(host, scratch, in_box) + ' ' + words}
        disk = os.open(f'{scratch}/disk', os.O_RDWR | os.O_CLOEXEC)
        files = {'kernel': self.canaries.kernel, 'initrd': self.canaries.initrd, 'disk': disk,
                 'read-only': self.canaries.read_only}
        return config, files, disk

    def start(self, host, words, in_box=True, more_files=None, others_pid=None, **more):
        config, files, disk = self.config(host, words, in_box)
        if others_pid:
            config['params'] = re.sub(r'others-pid=\d+', f'others-pid={others_pid}',
                                      config['params'])
        try:
            return host.create(dict(config, **more), dict(files, **(more_files or {})), start=True)
        finally:
            os.close(disk)

    def close(self):
        self.canaries.close()


def the_world(suite):
    if not hasattr(suite, 'world'):
        suite.world = World(suite.build)
    return suite.world


def living_vm(world, host, words='turn-on=nobody', **more):
    """A VM that has done what it is told and goes on."""
    vm = world.start(host, words, **more)
    wait_until(lambda: vm.find('Died') or b'TURNED' in vm.output['console-out'], 'a VM that lives')
    assert not vm.find('Died'), vm.death()
    return vm


def end(vm):
    if not vm.find('Died'):
        try:
            vm.methods.Kill()
        except dbus.DBusException as problem:  # it was sooner
            assert problem.get_dbus_name().endswith('InvalidState'), problem
    return vm.death()


def own_processes(world):
    """pid -> (name, uid) of the VMs of this suite: those that say so, and the others of their uids.
    Other suites may be running on the machine."""
    found = {pid: value for pid, value in processes().items()
             if UID_MIN <= value[0] < UID_MIN + UID_COUNT and value[1] not in 'ZX'}
    uids = {uid for uid, _, command in found.values() if world.canaries.directory in command}
    own = {}
    for pid, (uid, _, _) in found.items():
        try:
            with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                if uid in uids:
                    own[pid] = (file.read().strip(), uid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return own


def find_process(world, name):
    pids = [pid for pid, (found, _) in own_processes(world).items() if found.startswith(name)]
    assert len(pids) == 1, own_processes(world)
    return pids[0]


def close(host):
    status, left = host.close()
    assert not left, left
    assert status == 0, status


class Outcome:
    """How one attempt ended: success, or what stopped it."""

    def __init__(self, name, record):
        tail = record['vmm-tail']
        self.success = 'SUCCESS' in tail
        self.denied = ''
        self.detail = 'unclear'
        stopped = re.search(rf'STOPPED {re.escape(name)} (\w+)', tail)
        if self.success:
            self.detail = 'success'
        elif record['reason'] == 'sandbox-violation':
            self.denied = str(record.get('denied-call', '')) or 'signal'
            self.detail = f'denied {self.denied}'
        elif stopped:
            self.detail = stopped.group(1)
        elif record.get('vmm-signal', 0) in (signal.SIGSYS, signal.SIGXFSZ) or \
                (name == '26.int80' and record.get('vmm-signal', 0) == signal.SIGSEGV):
            # The last: a kernel without calls of 32 bits has no such instruction.
            self.detail = signal.Signals(int(record['vmm-signal'])).name
        else:
            self.detail = 'unclear: ' + ', '.join(f'{key}={value}' for key, value in record.items()
                                                  if key in ('reason', 'message', 'vmm-exit-code',
                                                             'vmm-signal', 'vmm-tail'))
        self.stopped = not self.success and not self.detail.startswith('unclear')


def launch_all(world, letters, wanted):
    """Makes attempts of @wanted, pairs of an attempt and a phase. Returns pair -> Outcome."""
    in_box = letters is None or 'M' in letters
    host = world.host(letters)
    outcomes, running, waiting = {}, [], list(wanted)
    try:
        victim = living_vm(world, host, in_box=in_box)
        stubs = glob.glob(f'{host.runtime_dir}/vm/*/*') + glob.glob(f'{host.runtime_dir}/vm/*')
        stub = next(path for path in stubs if not os.path.isdir(path))
        while waiting or running:
            while waiting and len(running) < IN_FLIGHT:
                pair = waiting.pop(0)
                words = f'others-stub={stub} escape={pair[0].name} phase={pair[1]}'
                running.append((pair, world.start(host, words, in_box=in_box)))
            pair, vm = running.pop(0)
            outcomes[pair] = Outcome(pair[0].name, vm.death(60))
        end(victim)
    finally:
        close(host)
    return outcomes


class Matrix:
    """All attempts in all boxes."""

    def __init__(self, world):
        started = time.monotonic()
        self.whole = launch_all(world, None, [
            (attempt, phase) for phase in ('before', 'after') for attempt in ATTEMPTS
            if phase == 'after' or not attempt.late])
        wanted = {}
        for attempt in ATTEMPTS:
            for letter in attempt.layers:
                if letter not in LETTERS:
                    continue
                wanted.setdefault(attempt.on_alone(letter), set()).add(attempt)
                if not attempt.unsafe:
                    wanted.setdefault(attempt.on_without(letter), set()).add(attempt)
        self.partial = {}
        for letters, chosen in sorted(wanted.items(), key=lambda item: sorted(item[0])):
            for (attempt, _), outcome in launch_all(
                    world, letters, [(attempt, 'after') for attempt in sorted(
                        chosen, key=lambda attempt: attempt.name)]).items():
                self.partial[letters, attempt] = outcome
        self.n_launches = len(self.whole) + len(self.partial)
        self.seconds = time.monotonic() - started

    def whole_problems(self, row):
        for (attempt, phase), outcome in self.whole.items():
            if attempt.row == row and not outcome.stopped and \
                    not (outcome.success and phase == 'before' and attempt.start_up):
                yield f'{attempt.name} {phase} the seal: {outcome.detail}'

    def judge(self, attempt, letter):
        """'stopped', 'nothing' (as it fails without the layer, too), or a problem."""
        alone = self.partial[attempt.on_alone(letter), attempt]
        without = self.partial.get((attempt.on_without(letter), attempt))
        if not alone.stopped:
            return f'{attempt.name} with {letter} alone: {alone.detail}'
        if letter == 'S' and alone.detail == 'SIGSEGV' == (without and without.detail):
            return 'nothing'
        if letter == 'S' and (alone.denied or alone.detail in ('SIGSYS', 'ENOSYS')):
            return 'stopped'
        if letter == 'S':
            return f'{attempt.name} with S alone was not denied: {alone.detail}'
        return 'stopped' if without is None or without.success else 'nothing'

    def cell(self, row, letter):
        """What the table says, the problems, and the attempts that show nothing here."""
        verdicts = {attempt: self.judge(attempt, letter) for attempt in ATTEMPTS
                    if attempt.row == row and letter in attempt.layers and letter in LETTERS}
        problems = [verdict for verdict in verdicts.values()
                    if verdict not in ('stopped', 'nothing')]
        idle = [attempt for attempt, verdict in verdicts.items() if verdict == 'nothing']
        n_stopped = sum(verdict == 'stopped' for verdict in verdicts.values())
        if problems:
            return f'{n_stopped}/{len(verdicts)} !', problems, idle
        if n_stopped:
            return f'{n_stopped}', [], idle
        if idle:
            return 'idle', [], idle
        return ('note' if (row, letter) in NOTES else 'own' if letter == 'D' else '-'), [], []

    def print(self):
        columns = 'SMUCNRLFGDK'
        print(f'# {self.n_launches} launches in {self.seconds:.0f} s, {len(ATTEMPTS)} attempts')
        print('# row act                                     whole  '
              + ''.join(f'{letter:>7}' for letter in columns) + '  where')
        for row, (act, named) in ROWS.items():
            stopped = sum(outcome.stopped for (attempt, _), outcome in self.whole.items()
                          if attempt.row == row)
            line = f'# {row:3} {act:40} {stopped or "own":>5}  '
            notes = []
            for letter in columns:
                text, _, idle = self.cell(row, letter) if letter in named or any(
                    attempt.row == row and letter in attempt.layers for attempt in ATTEMPTS) \
                    else ('', [], [])
                if letter in ELSEWHERE and letter in named:
                    text = 'host VM'
                line += f'{text:>7}'
                if (row, letter) in NOTES:
                    notes.append(f'{letter}: {NOTES[row, letter]}')
                for attempt in idle:
                    without = self.partial[attempt.on_without(letter), attempt].detail
                    notes.append(f'{letter}: {attempt.name} fails here without it, too: {without}')
            print(line + f'  {PLACE}')
            own = [attempt.name for (attempt, phase), outcome in self.whole.items()
                   if attempt.row == row and phase == 'before' and outcome.success]
            if own:
                notes.append(f"before the seal the VMM's own right: {' '.join(own)}")
            for note in notes:
                print(f'#       {note}')
        print('# numbers: attempts stopped, in the whole box in both phases, by one layer alone '
              'after the seal')
        print('# own: a test of its own below; idle: cannot be shown on this machine', flush=True)


def the_matrix(suite):
    if not hasattr(suite, 'matrix'):
        suite.matrix = None
        suite.matrix = Matrix(the_world(suite))
        suite.matrix.print()
    assert suite.matrix, 'see the first row'
    return suite.matrix


def row_test(row):
    def run(suite):
        matrix = the_matrix(suite)
        problems = list(matrix.whole_problems(row))
        for letter in dict.fromkeys(ROWS[row][1] + ''.join(
                attempt.layers for attempt in ATTEMPTS if attempt.row == row)):
            text, more, _ = matrix.cell(row, letter)
            problems += more
            if text == '-' and letter not in ELSEWHERE:
                problems.append(f'no attempt shows {letter}')
        assert not problems, '\n' + '\n'.join(problems)
    return run


for number in ROWS:
    if any(attempt.row == number for attempt in ATTEMPTS):
        globals()[f'test_row_{number:02}'] = row_test(number)


# --- what is daemon logic, and what the box looks like ---

def test_the_launchers_keys_are_out_of_reach(suite):
    """Row 22, D: with the launcher's session keyring, the search would find."""
    world = the_world(suite)
    for attempt in ('22.search', '22.request'):
        bare = subprocess.run([world.stand_in, '-append', f'escape={attempt} phase=before'],
                              stderr=subprocess.PIPE, check=False, timeout=60)
        assert b'SUCCESS' in bare.stderr, bare
    outcomes = launch_all(world, frozenset(), [(attempt, 'after') for attempt in ATTEMPTS
                                               if attempt.name in ('22.search', '22.request')])
    assert [outcome.detail for outcome in outcomes.values()] == ['ENOKEY', 'ENOKEY'], outcomes


def look(world, host, part):
    """The lines of one part of what the stand-in sees; without seccomp, as looking is denied."""
    vm = world.start(host, f'look={part}')
    vm.death(60)
    text = vm.wait_for_output_end('console-out').decode()
    return [line[5:] for line in text.replace('\r', '').splitlines() if line.startswith('LOOK ')]


def expect(seen, allowed, what):
    """Each line seen is allowed, and each that has to be there is; both may be expressions."""
    left = [line for line in seen if not any(re.fullmatch(pattern, line) for pattern in allowed)]
    missing = [pattern for pattern in allowed
               if not any(re.fullmatch(pattern, line) for line in seen)]
    assert not left and not missing, f'{what}: not allowed {left}, missing {missing}'


def test_the_box_from_inside(suite):
    world = the_world(suite)
    host = world.host('MUCNRLF')
    try:
        expect(look(world, host, 'descriptors'), [
            'fd 0 character rw', 'fd 1 pipe w',  # /dev/null, the log; and 2, which speaks here
            'fd 3 socket rw', 'fd 4 socket rw', 'fd 5 socket rw',  # QMP, console, vsock-device
            'fd 6 file rw', 'fd 7 file r',  # the disks
        ], 'descriptors')
        identity = look(world, host, 'identity')
        uid = next(line.split()[1] for line in identity if line.startswith('uid'))
        assert UID_MIN <= int(uid) < UID_MIN + UID_COUNT, uid
        expect(identity, [
            f'uid {uid} {uid} {uid}', f'gid {uid} {uid} {uid}', 'groups 0',
            'capabilities 0 0 0 0 0 0', 'bounding 0 ambient 0',
            'securebits eb',  # all of drop-privileges.c, locked
            'no-new-privileges 1', 'seccomp 0'], 'identity')
        expect(look(world, host, 'limits'), [
            'limit core 0 0', 'limit memlock 0 0', 'limit msgqueue 0 0', 'limit rtprio 0 0',
            'limit nice 0 0', 'limit sigpending 64 64', f'limit fsize {64 << 20} {64 << 20}',
            'limit nproc 129 129', 'limit nofile 271 271',
            'limit (cpu|data|stack|rss|as|locks|rttime) .*'], 'limits')
        expect(look(world, host, 'session'), [
            'environment LC_ALL=C', 'environment TZ=UTC0', 'environment MALLOC_ARENA_MAX=1',
            'host-name vm', 'pid 2 parent 1 session 1', 'umask 77',
            'signals blocked 0 ignored 0', 'argument dump-guest-core=off'], 'session')
        expect(look(world, host, 'namespaces'), [
            'interface lo down', 'process 1', 'process 2', 'process 3'], 'namespaces')
        expect(look(world, host, 'files'), ['directory  EACCES'], 'files, by Landlock')
    finally:
        close(host)
    host = world.host('MUCNRF')
    try:
        # Path, mode, uid, and flags of the mount: read-only, nosuid, nodev, noexec.
        expect(look(world, host, 'files'), [
            r'entry /(usr|usr/bin|usr/lib|usr/lib64|usr/share|dev|empty) 40755 \d+ rsd-',
            # /dev/kvm leads nowhere.
            r'entry /(bin|lib|lib64) 120777 \d+ rsd-', r'entry /dev/kvm 120777 \d+ w---',
            r'entry /usr/bin/(qemu-system-x86_64|vsock-device) 100555 \d+ rsd-',
            r'entry /usr/(lib|lib64|share)/.* (100555|100444|40755) \d+ rsd-',
            r'entry /vm 40755 \d+ rsdx', r'entry /vm/(kernel|initrd) 100(444|644|755) \d+ rsdx',
        ], 'files')
    finally:
        close(host)


def test_row_36_nothing_outlives_the_supervisor_or_the_last_way_to_end_it(suite):
    world = the_world(suite)
    host = world.host()
    try:
        living_vm(world, host)
        started = time.monotonic()
        os.kill(find_process(world, 'vm-supervisor'), signal.SIGKILL)
        wait_until(lambda: not own_processes(world), 'the end of the VM with its supervisor', 10)
        assert time.monotonic() - started < 2
        living_vm(world, host)
        host.daemon.kill()
        host.daemon.wait()
        assert own_processes(world)  # a VM outlives its daemon, but not the end of its stub
        host.end_vms_without_daemon()
        wait_until(lambda: not [name for name, _ in own_processes(world).values()
                                if name != 'vm-supervisor'], 'the end of the VM', 10)
        host.start_daemon()
        wait_until(lambda: not own_processes(world), 'the end of the supervisor', 10)
    finally:
        close(host)


def test_row_36_a_vmm_that_does_not_quit_is_killed(suite):
    world = the_world(suite)
    host = world.host()
    try:
        vm = living_vm(world, host)
        vm.methods.Kill()
        assert vm.death(10)['reason'] == 'killed'
        # Silent from the start: not even a greeting.
        silent = world.start(host, 'turn-on=nobody phase=before')
        silent.methods.Kill()
        assert silent.death(10)['reason'] == 'killed'
    finally:
        close(host)


FDS_MAX = 64
PEAK_MAX_KIB = 40 << 10  # of any of ours; a flood is hundreds of MiB


def cost(pid):
    """Peak of memory in KiB, and number of descriptors; nothing for a process that is ending."""
    try:
        with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as file:
            peak = next((int(line.split()[1]) for line in file if line.startswith('VmHWM')), 0)
        return peak, len(os.listdir(f'/proc/{pid}/fd'))
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0


def hostile_ways(suite, ways):
    """Each VM of @ways turns on those who listen to it. Meanwhile another VM answers, and nobody
    grows. @ways: the way, what the VM may die of by itself (or None), and the phase."""
    world = the_world(suite)
    host = world.host()
    try:
        other = living_vm(world, host)
        for way, reasons, phase in ways:
            vm = world.start(host, f'turn-on={way} phase={phase}')
            # One of both is flooded, perhaps.
            wait_until(lambda: vm.find('Died') or b'TURNED' in vm.output['console-out'][-4096:]
                       or f'TURNED {way} ' in host.log(), f'{way} to be over', 60)
            costs = {(name, pid): cost(pid) for pid, (name, _) in own_processes(world).items()
                     if not name.startswith('qemu')}
            costs['daemon'] = cost(host.daemon.pid)
            assert all(peak < PEAK_MAX_KIB and n_fds < FDS_MAX
                       for peak, n_fds in costs.values()), (way, costs)
            assert other.get('State') == 'starting' and not other.find('Died'), way
            if reasons:
                reason = vm.death(30)['reason']
                assert reason in reasons, (way, vm.death())
                words = QMP_WORDS.get(way)
                assert not words or words in vm.death()['message'], (way, vm.death())
            else:
                assert not vm.find('Died'), (way, vm.death())
                vm.methods.Kill()
                assert vm.death(30)['reason'] == 'killed', (way, vm.death())
        assert end(other)['reason'] == 'killed'
        return host.log()
    finally:
        close(host)


BROKEN = ('infrastructure-error', 'start-failed')
# What the death record says of it.
QMP_WORDS = {'qmp-long-line': 'a line that is too long', 'qmp-bytes': 'control connection',
             'qmp-answers': 'answers what nobody asked'}


def test_row_37_hostile_qmp(suite):
    hostile_ways(suite, [
        ('qmp-long-line', BROKEN, 'after'), ('qmp-deep-line', BROKEN, 'after'),
        ('qmp-events', None, 'after'), ('qmp-answers', BROKEN, 'after'),
        ('qmp-bytes', BROKEN, 'after'), ('qmp-greeting', BROKEN, 'after'),
        ('qmp-long-line', BROKEN, 'before'), ('qmp-answers', BROKEN, 'before'),
        ('qmp-rights', None, 'after')])


def test_row_37_a_false_end_is_the_end(suite):
    """The worst that a VMM can say is how it ends: then that is what counts."""
    world = the_world(suite)
    host = world.host()
    try:
        vm = living_vm(world, host, 'turn-on=qmp-false-end')
        vm.methods.Kill()
        assert vm.death(10)['reason'] == 'shutdown', vm.death()
    finally:
        close(host)


def test_row_38_hostile_vhost_user(suite):
    ended = BROKEN + ('killed',)
    hostile_ways(suite, [
        ('vhost-bytes', ended, 'after'), ('vhost-huge', ended, 'after'),
        ('vhost-half', None, 'after'), ('vhost-rights', ended, 'after'),
        ('vhost-pipe', ended, 'after'), ('vhost-size', ended, 'before'),
        ('vhost-offset', ended, 'before'), ('vhost-shrink', ended, 'before')])


def test_row_39_floods_and_tricks(suite):
    log = hostile_ways(suite, [('console-flood', None, 'after'), ('stderr-flood', None, 'after'),
                               ('tricks', None, 'after')])
    assert len(log) < 1 << 20, len(log)
    for line in log.splitlines():
        assert not re.search('[\x00-\x08\x0b-\x1f\x7f-\x9f]', line), line
        assert not re.match('vmm-launcher\\[1\\]|virtualizationd: all is well|<3>', line), line


def test_row_40_files_that_a_client_changes(suite):
    world = the_world(suite)
    host = world.host()
    directory = tempfile.mkdtemp(prefix='escape-swap-')
    try:
        os.chmod(directory, 0o755)
        for how in ('write', 'rename', 'symlink'):
            kernel = f'{directory}/{how}'
            with open(kernel, 'wb') as file:
                file.write(b'as it was checked')
            os.chown(kernel, 65534, 65534)
            reader, writer = os.pipe()
            vm = world.start(host, 'escape=40.swap phase=before',
                             more_files={'kernel': kernel, 'console-in': reader})
            wait_until(lambda: b'swap' in vm.output['console-out'] or vm.find('Died'),
                       'the reading')
            if how == 'write':
                with open(kernel, 'r+b') as file:
                    file.write(b'something other!!')
            else:
                os.rename(kernel, f'{kernel}-old')
                os.symlink('/etc/shadow', kernel)
            os.write(writer, b'x')
            os.close(reader)
            outcome = Outcome('40.swap', vm.death(30))
            os.close(writer)
            assert outcome.detail == 'EROFS', (how, outcome.detail)
    finally:
        shutil.rmtree(directory)
        close(host)


def test_two_vms_do_not_see_each_other(suite):
    """The attempts of rows 6, 15, 16, 20, 21 and 44 at a second VM, in the whole box, and without
    seccomp, which would stop them all."""
    world = the_world(suite)
    names = ('6.memory', '6.memory-read', '6.signal', '6.disk', '6.stub', '15.ptrace', '15.readv',
             '15.writev', '15.pidfd', '15.getfd', '15.kcmp', '16.kill', '16.tgkill', '16.sigqueue',
             '16.setown', '2.root', '28.prlimit-other')
    for letters in (None, 'MUCNRLF'):
        host = world.host(letters)
        try:
            one = living_vm(world, host)
            victim = find_process(world, 'qemu')
            stub = next(path for path in glob.glob(f'{host.runtime_dir}/vm/**', recursive=True)
                        if not os.path.isdir(path))
            for name in names:
                vm = world.start(host, f'escape={name} phase=after others-stub={stub}',
                                 others_pid=victim)
                outcome = Outcome(name, vm.death(30))
                assert outcome.stopped, (letters, name, outcome.detail)
            two = living_vm(world, host)
            uids = {uid for _, uid in own_processes(world).values()}
            assert len(uids) == 2, uids
            for vm in (one, two):
                assert end(vm)['reason'] == 'killed', vm.death()
        finally:
            close(host)


KILL_POINTS_MAX = 60


def launch_to_be_killed(world, option):
    """Whether the launch succeeded. What is left behind is checked by the host's end."""
    host = world.host(options=[option])
    try:
        vm = None
        try:
            vm = world.start(host, 'turn-on=nobody')
        except dbus.DBusException as problem:
            assert problem.get_dbus_name().endswith(('StartFailed', 'Failed')), problem
            assert problem.get_dbus_message(), problem
        if vm:
            wait_until(lambda: vm.find('Died') or b'TURNED' in vm.output['console-out'],
                       'the launch or its end', 30)
        succeeded = vm is not None and not vm.find('Died')
        if succeeded:
            assert end(vm)['reason'] == 'killed', vm.death()
        elif vm:
            assert vm.death()['reason'] in BROKEN + ('killed', 'unknown'), vm.death()
        wait_until(lambda: not own_processes(world), 'the end of the VM', 10)
        wait_until(lambda: uid_locks() <= living_uids(), 'the release of the uid', 10)
    finally:
        close(host)
    leftover = [name for name in os.listdir(world.cache) if name.startswith(('new-', 'old-'))]
    assert not leftover, leftover
    return succeeded


def living_uids():
    return len({uid for uid, state, _ in processes().values()
                if UID_MIN <= uid < UID_MIN + UID_COUNT and state not in 'ZX'})


def uid_locks():
    """How many uids are locked; the file is removed with the last listener."""
    path = '/run/virtualizationd-uids/lock'
    if not os.path.exists(path):
        return 0
    inode = os.stat(path).st_ino
    with open('/proc/locks', encoding='ascii') as file:
        return sum(f':{inode} ' in line for line in file)


def kill_points(suite, option):
    world = the_world(suite)
    for number in range(1, KILL_POINTS_MAX):
        if launch_to_be_killed(world, f'--{option}={number}'):
            assert number > 5, 'there are more points than that'
            print(f'# {option}: {number - 1} points')
            return
    raise AssertionError('no launch succeeded')


def test_a_launcher_killed_anywhere_leaves_nothing(suite):
    kill_points(suite, 'kill-at')


def test_a_stub_killed_anywhere_leaves_nothing(suite):
    kill_points(suite, 'kill-stub-at')


if __name__ == '__main__':
    suite = Suite()
    try:
        status = suite.run(sys.modules[__name__])
    finally:
        if hasattr(suite, 'world'):
            suite.world.close()
    sys.exit(status)
