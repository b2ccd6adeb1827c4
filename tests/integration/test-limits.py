#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Limits: what each user and all together may have, that it comes back, and settings read again."""
import fcntl
import os
import pwd
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
import harness  # noqa: E402
from harness import (MANAGER, NAME, ROOT, Suite, VM, wait_until,  # noqa: E402
                     with_settings)

CONFIG = '{"kernel": "kernel", "memory_mib": %d}'
NO_LIMIT = 2 ** 64 - 1
F_OFD_SETLK = 37
# Both may create by their group, as no polkit is on the bus.
USER, OTHER = 'daemon', 'nobody'
GROUP = pwd.getpwnam('virtualizationd').pw_gid


def with_limits(limits):
    return with_settings('[Limits]\n' + limits)


def begin_call(host, user, path, interface, method, *arguments):
    return subprocess.Popen(
        ['setpriv', f'--reuid={pwd.getpwnam(user).pw_uid}', f'--regid={GROUP}', '--clear-groups',
         'gdbus', 'call', f'--address={host.address}', f'--dest={NAME}', f'--object-path={path}',
         f'--method={interface}.{method}', *arguments], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8')


def begin_create(host, user, memory_mib=64):
    return begin_call(host, user, ROOT, MANAGER, 'CreateVm', CONFIG % memory_mib, '{}',
                      "{'lifetime': <'detached'>}")


def finish(process):
    """Whether it succeeded, and what was printed."""
    output = process.communicate(timeout=harness.DEADLINE)[0]
    return process.returncode == 0, output


def create(host, user, memory_mib=64):
    done, output = finish(begin_create(host, user, memory_mib))
    assert done, output
    return output.split("'")[1]


def refuses(host, user, setting, memory_mib=64):
    done, output = finish(begin_create(host, user, memory_mib))
    assert not done and 'LimitsExceeded' in output and f'{setting}=' in output, output


def kill(host, user, path):
    done, output = finish(begin_call(host, user, path, VM, 'Kill'))
    assert done, output


def limits_of(host, user):
    done, output = finish(begin_call(host, user, ROOT, MANAGER, 'GetLimits'))
    assert done, output
    return {name: (int(used), int(most)) for name, used, most in
            re.findall(r"'([\w-]+)': <\((?:uint64 )?(\d+), (?:uint64 )?(\d+)\)>", output)}


def root_create(host, config=CONFIG % 64, files=None, bus=None, **options):
    return host.manager(bus).CreateVm(
        config, dbus.Dictionary(files or {}, signature='sh'), dbus.Dictionary(options, signature='sv'))


def root_refused(host, kind, *arguments, **options):
    try:
        root_create(host, *arguments, **options)
    except dbus.DBusException as problem:
        assert problem.get_dbus_name().endswith('.' + kind), problem
        return problem.get_dbus_message()
    raise AssertionError('it was created')


def root_limits(host):
    return {str(name): (int(used), int(most))
            for name, (used, most) in host.manager().GetLimits().items()}


def root_kill(host, path):
    host.bus.get_object(NAME, path, introspect=False).Kill(dbus_interface=VM)


def in_use(host):
    """What may not be left over; tokens and records come back with time."""
    return {name: used for name, (used, _) in root_limits(host).items()
            if used and 'creations' not in name and 'records' not in name}


@with_limits('VMsMax=4\nVMsMaxPerUser=2\n')
def test_users_have_their_own_limit_and_one_together(host):
    paths = [create(host, USER), create(host, USER)]
    refuses(host, USER, 'VMsMaxPerUser')
    limits = limits_of(host, USER)
    assert limits['vms'] == (2, 2) and limits['cpus'] == (2, 256), limits
    assert limits['memory'] == (128 << 20, 16384 << 20), limits
    assert not [name for name in limits if name.startswith('total-')], limits
    assert len(limits) == 8, limits
    assert limits_of(host, OTHER)['vms'] == (0, 2)
    create(host, OTHER)
    root = root_create(host)
    message = root_refused(host, 'LimitsExceeded')
    assert 'limit of 4 of all users together (VMsMax=' in message, message
    refuses(host, OTHER, 'VMsMax')
    limits = root_limits(host)
    assert limits['vms'] == (1, NO_LIMIT) and limits['total-vms'] == (4, 4), limits
    kill(host, USER, paths[0])
    assert limits_of(host, USER)['vms'] == (1, 2)
    create(host, USER)
    refuses(host, USER, 'VMsMaxPerUser')
    root_kill(host, root)


@with_limits('MemoryMaxPerUserMiB=512\nCpusMaxPerUser=3\n')
def test_a_refused_creation_costs_nothing(host):
    create(host, USER, 384)
    refuses(host, USER, 'MemoryMaxPerUserMiB', 129)
    create(host, USER, 64)
    assert limits_of(host, USER)['vms'][0] == 2
    assert limits_of(host, USER)['memory'][0] == 448 << 20
    create(host, USER, 32)
    refuses(host, USER, 'CpusMaxPerUser', 32)
    assert limits_of(host, USER)['cpus'] == (3, 3)
    assert limits_of(host, USER)['memory'][0] == 480 << 20


@with_limits('')
def test_what_fails_or_goes_gives_all_back(host):
    assert not in_use(host), in_use(host)
    root_refused(host, 'InvalidConfig', '{}')
    with open('/dev/null', 'rb') as null:
        root_refused(host, 'InvalidFile', files={'kernel': dbus.types.UnixFd(null.fileno())})
    root_refused(host, 'InvalidFile', start=True)  # no kernel was brought
    assert not in_use(host), in_use(host)

    # The client goes.
    bus = host.connect()
    root_create(host, bus=bus)
    assert in_use(host)['vms'] == 1
    bus.close()
    wait_until(lambda: not in_use(host), 'the VM of the client that is gone')

    # The launcher refuses: somebody has a lock on the image, as a VM that runs would.
    config = ('{"kernel": "kernel", "disks": [{"image": "disk", "writable": true}],'
              ' "memory_mib": 64}')
    listener, = host.listener_pids()
    answers = []
    with tempfile.NamedTemporaryFile() as disk, open(host.image('vmlinux'), 'rb') as kernel, \
            open(disk.name, 'r+b') as passed:
        disk.truncate(1 << 20)
        fcntl.fcntl(disk, F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        os.kill(listener, signal.SIGSTOP)
        try:
            host.manager().CreateVm(
                config, {'kernel': dbus.types.UnixFd(kernel.fileno()),
                         'disk': dbus.types.UnixFd(passed.fileno())},
                dbus.Dictionary({'start': True}, signature='sv'),
                reply_handler=answers.append, error_handler=answers.append)
            wait_until(lambda: in_use(host).get('calls') == 1, 'the launch to wait')
            assert in_use(host)['files'] == 2, in_use(host)
        finally:
            os.kill(listener, signal.SIGCONT)
        wait_until(lambda: answers, 'the refusal')
    assert isinstance(answers[0], dbus.DBusException), answers
    assert answers[0].get_dbus_name().endswith('.ImageBusy'), answers
    assert not in_use(host), in_use(host)


@with_limits('')
def test_files_are_the_vms_once_it_is_started(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
    n_files = in_use(host)['files']
    assert n_files == 6, n_files  # three of the configuration and three outputs
    vm.start()
    assert 'files' not in in_use(host), in_use(host)
    assert in_use(host)['vms'] == 1
    vm.methods.Kill()
    vm.death()
    assert not in_use(host), in_use(host)


@with_limits('FilesMax=1\n')
def test_files_above_the_limit_are_given_up(host):
    config = '{"kernel": "kernel", "initrd": "initrd"}'
    root_kill(host, root_create(host))  # the first record brings a timer
    n_fds = len(os.listdir(f'/proc/{host.daemon.pid}/fd'))
    with open(host.image('vmlinux'), 'rb') as file:
        fd = dbus.types.UnixFd(file.fileno())
        message = root_refused(host, 'LimitsExceeded', config, {'kernel': fd, 'initrd': fd})
        assert 'FilesMax=' in message, message
        path = root_create(host, config, {'kernel': fd})
        vm = host.bus.get_object(NAME, path, introspect=False)
        try:
            vm.AddFiles(dbus.Dictionary({'initrd': fd}, signature='sh'), dbus_interface=VM)
            raise AssertionError('it was taken')
        except dbus.DBusException as problem:
            assert problem.get_dbus_name().endswith('.LimitsExceeded'), problem
    assert in_use(host)['files'] == 1
    root_kill(host, path)
    assert not in_use(host), in_use(host)
    wait_until(lambda: len(os.listdir(f'/proc/{host.daemon.pid}/fd')) <= n_fds, 'descriptors')


@with_limits('CallsMax=2\n')
def test_calls_that_wait_are_counted(host):
    answers = []
    listener, = host.listener_pids()
    os.kill(listener, signal.SIGSTOP)
    leaver = host.connect()
    try:
        for bus in (host.bus, leaver, host.bus):
            with tempfile.TemporaryFile('r+b') as file:
                host.manager(bus).InitializeWritablePartition(
                    dbus.types.UnixFd(file.fileno()), dbus.UInt64(4096), 'raw',
                    reply_handler=lambda: answers.append(None), error_handler=answers.append)
            if bus is leaver:
                wait_until(lambda: root_limits(host)['total-calls'] == (2, 2), 'two calls')
        wait_until(lambda: answers, 'the refusal')
        assert len(answers) == 1 and 'CallsMax=' in str(answers[0]), answers
        assert root_limits(host)['disk-jobs'][0] == 2
        leaver.close()
        wait_until(lambda: in_use(host).get('calls') == 1, 'the end of the call of who is gone')
        assert root_limits(host)['disk-jobs'][0] == 1
    finally:
        os.kill(listener, signal.SIGCONT)
    wait_until(lambda: answers[1:] == [None], 'the answer')
    assert not in_use(host), in_use(host)


@with_limits('CallsMax=1\n')
def test_streams_on_their_way_are_calls_that_wait(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
    vm.start()
    vm.wait_for('PayloadReady')
    answers = []
    pids = list(host.vm_processes())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            vm.methods.ConnectVsock(dbus.UInt32(5001), reply_handler=answers.append,
                                    error_handler=answers.append)
        wait_until(lambda: answers, 'the refusal')
        assert len(answers) == 1 and 'CallsMax=' in str(answers[0]), answers
        assert root_limits(host)['total-calls'] == (1, 1)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: len(answers) == 2, 'the answer')
    assert 'calls' not in in_use(host), in_use(host)
    vm.methods.Kill()
    vm.death()


@with_limits('CreationRate=1\nCreationBurst=3\n')
def test_all_make_so_many_a_second(host):
    kinds = []
    for _ in range(50):  # the refusal of one costs nothing, so one of these is refused
        try:
            root_kill(host, root_create(host))
        except dbus.DBusException as problem:
            kinds.append(problem)
            break
    assert kinds and kinds[0].get_dbus_name().endswith('.LimitsExceeded'), kinds
    assert 'CreationRate=' in str(kinds[0]), kinds
    used, burst = root_limits(host)['total-creations']
    assert 0 < used <= burst == 3, used
    assert not in_use(host), in_use(host)
    wait_until(lambda: root_limits(host)['total-creations'][0] < 3, 'a token')
    root_create(host)


@with_limits('CreationRatePerUser=1\nCreationBurstPerUser=2\n')
def test_a_user_makes_so_many_a_second(host):
    calls = [begin_create(host, USER) for _ in range(12)]
    outputs = [output for done, output in map(finish, calls) if not done]
    assert outputs and all('CreationRatePerUser=' in output for output in outputs), outputs
    create(host, OTHER)
    for _ in range(12):
        root_create(host)


@with_limits('RecordsMax=4\nRecordsMaxPerUser=2\n')
def test_nobody_pushes_out_what_others_have_of_records(host):
    def records(*users):
        owners = [pwd.getpwnam(user).pw_uid for user in users]
        return [str(vm[0]) for vm in host.manager().ListVms(True)
                if int(vm[5]) in owners and vm[3] == 'dead']

    kept = create(host, OTHER)
    kill(host, OTHER, kept)
    for _ in range(4):
        last = create(host, USER)
        kill(host, USER, last)
    wait_until(lambda: len(records(USER)) == 2, 'two records to be left')
    assert last in records(USER)
    assert records(OTHER) == [kept]
    for _ in range(10):
        root_kill(host, root_create(host))
    wait_until(lambda: len(records('root', USER, OTHER)) == 4, 'four records to be left')
    assert records(OTHER) == [kept] and records(USER) == [last], (kept, last)
    assert root_limits(host)['total-records'] == (4, 4)


@with_limits('RecordsMax=10\n')
def test_nothing_grows_over_200_vms(host):
    def n_fds():
        return len(os.listdir(f'/proc/{host.daemon.pid}/fd'))

    with open(host.image('vmlinux'), 'rb') as kernel:
        before = n_fds()
        for _ in range(200):
            path = root_create(host, files={'kernel': dbus.types.UnixFd(kernel.fileno())})
            root_kill(host, path)
    assert not in_use(host), in_use(host)
    wait_until(lambda: len(host.manager().ListVms(True)) == 10, 'the old records to go')
    assert root_limits(host)['total-records'] == (10, 10)
    assert n_fds() <= before + 12, (before, n_fds())  # a timer a record, at most


def write_settings(host, text, name='daemon.conf'):
    path = f'{host.directory}/{name}'
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='ascii') as file:
        file.write(text)


def reload(host):
    """Sends SIGHUP, and returns what the daemon tells the service manager up to READY=1."""
    path = f'{host.directory}/notify'
    told = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        os.chmod(path, 0o666)
        notify.settimeout(harness.DEADLINE)
        host.daemon.send_signal(signal.SIGHUP)
        while 'READY=1' not in told:
            told += notify.recv(4096).decode().split('\n')
    os.unlink(path)
    return told


@with_limits('VMsMax=2\n')
def test_reload_changes_limits_and_no_vm(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
    vm.start()
    vm.wait_for('PayloadReady')
    root_create(host)
    root_refused(host, 'LimitsExceeded')
    before = (vm.get('Pid'), vm.get('LastEvent'))

    write_settings(host, '[Limits]\nVMsMax=9\n')
    write_settings(host, '[Limits]\nVMsMax=1\nVMsMaxPerUser=7\n', 'daemon.conf.d/x.conf')
    told = reload(host)
    assert told[0] == 'RELOADING=1' and told[-1] == 'READY=1', told
    assert re.fullmatch(r'MONOTONIC_USEC=\d+', told[1]), told
    assert root_limits(host)['total-vms'] == (2, 1)
    assert limits_of(host, USER)['vms'] == (0, 7)
    root_refused(host, 'LimitsExceeded')

    write_settings(host, '[Limits]\nVMsMax=many\n', 'daemon.conf.d/x.conf')
    assert reload(host)[-1] == 'READY=1'
    assert root_limits(host)['total-vms'] == (2, 1)
    assert 'daemon.conf.d/x.conf: VMsMax=many is not valid' in host.log(), host.log()
    assert 'the settings stay as they were' in host.log()

    os.unlink(f'{host.directory}/daemon.conf.d/x.conf')
    write_settings(host, '[Daemon]\nUser=root\n[Limits]\nVMsMax=9\n')
    reload(host)
    assert root_limits(host)['total-vms'] == (2, 9)
    assert 'that counts from the next start' in host.log()
    write_settings(host, '')
    reload(host)
    assert (vm.get('Pid'), vm.get('LastEvent')) == before
    assert vm.get('State') == 'ready'
    vm.methods.Kill()
    vm.death()


def test_default_places_are_read(suite):
    """A mistake there refuses the start, and names the file."""
    daemon = os.path.abspath(f'{suite.build}/programs/virtualizationd')
    with tempfile.TemporaryDirectory() as directory:
        write = ('mkdir -p {0}.d && echo "[Limits]" > {0}.d/1.conf && echo "VMsMax=x" >> {0}.d/1.conf'
                 ' && exec {1} --bus=unix:path=/nowhere --runtime-dir={2}/run --cache-dir={2}/cache {3}')
        below = 'virtualizationd/virtualizationd.conf'
        for path, option in ((f'/run/{below}', ''), (f'{directory}/config/{below}', '--user'),
                             (f'{directory}/home/.config/{below}', '--user')):
            environment = dict(os.environ, HOME=f'{directory}/home')
            environment.pop('XDG_CONFIG_HOME', None)
            if '/config/' in path:
                environment['XDG_CONFIG_HOME'] = f'{directory}/config'
            result = subprocess.run(
                ['unshare', '--mount', 'sh', '-ec',
                 'mount -t tmpfs tmpfs /run; ' + write.format(path, daemon, directory, option)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                encoding='utf-8', env=environment, timeout=harness.DEADLINE, check=False)
            assert result.returncode == 1, result
            assert f'{path}.d/1.conf: VMsMax=x is not valid' in result.stdout, result.stdout


@with_limits('')
def test_vms_found_again_count_above_the_limit(host):
    vms = [host.create(*host.config(), lifetime='detached', start=True, paused=True)
           for _ in range(2)]
    before = root_limits(host)
    host.stop_daemon()
    assert host.daemon.returncode == 0, host.daemon.returncode
    write_settings(host, '[Limits]\nVMsMax=1\n')
    host.start_daemon()
    after = root_limits(host)
    assert after['total-vms'] == (2, 1), after
    for name in ('vms', 'cpus', 'memory'):
        assert after[name] == before[name] and after[name][0] > 0, (name, before, after)
    root_refused(host, 'LimitsExceeded')
    for vm in vms:
        vm.methods.Kill()
        vm.death()
    assert not in_use(host), in_use(host)
    root_create(host)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
