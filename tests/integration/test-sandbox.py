#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The sandbox around real guests: denied calls are told, policies can be an administrator's own."""
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import (DEADLINE, Host, Suite, UID_COUNT, UID_MIN, processes,  # noqa: E402
                     wait_until)
import vmctl  # noqa: E402
from policies import add_fragment, read_policy  # noqa: E402


class OwnPolicies:
    """A daemon whose administrator has changed policies; a cache of its own, as they are in it."""

    def __init__(self, suite):
        self.suite = suite
        self.directory = tempfile.mkdtemp(prefix='virtualizationd-policies-')
        os.chmod(self.directory, 0o755)
        self.policies = f'{self.directory}/seccomp'
        os.mkdir(self.policies)
        self.host = None

    def __enter__(self):
        return self

    def without(self, role, call):
        """ROLE's policy with everything about @call taken out."""
        policy = read_policy(role)
        for entry in policy['syscalls']:
            entry['names'] = [name for name in entry['names'] if name != call]
        policy['syscalls'] = [entry for entry in policy['syscalls'] if entry['names']]
        if self.suite.sanitized and not role.startswith('qemu'):
            add_fragment(policy, read_policy('sanitizers'))
        self.write(role, json.dumps(policy))

    def write(self, role, text):
        with open(f'{self.policies}/{role}.json', 'w', encoding='utf-8') as file:
            file.write(text)

    def start(self):
        self.host = Host(self.suite.build, cache_dir=f'{self.directory}/cache',
                         launcher_options=[f'--policy-dir={self.policies}'])
        return self.host

    def __exit__(self, *_):
        left = self.host.close()[1] if self.host else []
        shutil.rmtree(self.directory)
        assert not left, left


def test_a_denied_call_of_the_vmm_is_named(suite):
    with OwnPolicies(suite) as own:
        own.without('qemu-tcg', 'exit_group')
        host = own.start()
        vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
        record = vm.death()
        assert record['reason'] == 'sandbox-violation', record
        assert record['denied-process'] == 'the VMM', record
        assert record['denied-call'] == 'exit_group', record
        assert record['denied-layer'] == 'seccomp', record
        assert 'exit_group' in record['message'] and record['initiator'] == 'host', record
        assert vm.get('SeccompAction') == 'kill'
        assert "sandbox violation: the VMM made the system call 'exit_group'" in host.log()
        shown = vmctl.run(host, 'status', vm.path.rsplit('/', 1)[1])
        assert shown.returncode == 3, shown
        assert b"the process 'the VMM' made the system call 'exit_group', which seccomp denies it" \
            in shown.stdout, shown


def test_a_denied_call_of_vsock_device_is_named(suite):
    with OwnPolicies(suite) as own:
        own.without('vsock-device', 'epoll_wait')
        host = own.start()
        vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
        record = vm.death()
        assert record['reason'] == 'sandbox-violation', record
        assert record['denied-process'] == 'vsock-device', record
        assert record['denied-call'] == 'epoll_wait', record


def test_other_actions_let_the_guest_live_and_say_so(suite):
    with OwnPolicies(suite) as own:
        own.without('qemu-tcg', 'madvise')
        host = own.start()
        for action, words in (('log', 'makes a call that its policy lacks: madvise'),
                              ('errno', 'is refused: madvise')):
            vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True,
                             **{'seccomp-action': action})
            record = vm.death()
            assert record['reason'] == 'shutdown', (action, record)
            assert vm.get('SeccompAction') == action
            assert 'seccomp: the VMM ' + words in host.log(), (action, host.log())
        # The one that ends at the call is the default.
        vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
        assert vm.death()['reason'] == 'sandbox-violation'


def test_an_unknown_seccomp_action_is_refused(suite):
    host = Host(suite.build)
    try:
        try:
            host.create(*host.config(), **{'seccomp-action': 'trap'})
            raise AssertionError('taken')
        except dbus.DBusException as problem:
            assert "'kill', 'errno' or 'log', not 'trap'" in problem.get_dbus_message(), problem
    finally:
        assert not host.close()[1]


def test_a_policy_that_is_none_starts_nothing(suite):
    with OwnPolicies(suite) as own:
        host = own.start()
        own.write('qemu-tcg', '{"defaultAction": "SCMP_ACT_ALLOW"}')
        try:
            host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
            raise AssertionError('started')
        except dbus.DBusException as problem:
            assert 'qemu-tcg.json is no seccomp policy' in problem.get_dbus_message(), problem
        # The administrator corrects it: nothing has to be started anew.
        os.unlink(f'{own.policies}/qemu-tcg.json')
        vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
        assert vm.death()['reason'] == 'shutdown'


def test_the_daemon_has_a_policy_of_its_own(suite):
    with OwnPolicies(suite) as own:
        own.without('virtualizationd', 'bind')
        host = own.start()
        with open(f'/proc/{host.daemon.pid}/status', encoding='ascii') as file:
            status = file.read()
        assert 'Seccomp:\t2' in status and 'NoNewPrivs:\t1' in status, status
        host.manager().ListVms(True)
        try:
            host.create(*host.config(), start=True)  # makes a socket for the VM
            raise AssertionError('the daemon lives on')
        except dbus.DBusException as problem:
            assert problem.get_dbus_name().endswith('.NoReply'), problem
        assert host.daemon.wait(DEADLINE) == -signal.SIGSYS
        host.start_daemon()  # which clears up


def test_a_daemon_without_a_policy_does_not_start(suite):
    with OwnPolicies(suite) as own:
        own.write('virtualizationd', '{"defaultAction": "SCMP_ACT_ALLOW"}')
        try:
            own.start()
            raise AssertionError('started')
        except RuntimeError as problem:
            assert 'virtualizationd.json is no seccomp policy' in str(problem), problem
            assert f'cannot open {own.directory}/cache/template/policy' in str(problem), problem


def test_two_vcpus_need_no_call_of_the_start_after_the_seal(suite):
    host = Host(suite.build)
    try:
        vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0',
                                      cpu_topology='match_host'), start=True)
        assert int(vm.get('Cpus')) >= 2 or os.cpu_count() == 1
        record = vm.death()
        assert record['reason'] == 'shutdown', record
    finally:
        assert not host.close()[1]


def test_a_uid_with_a_process_left_is_not_used_again(suite):
    """In a mount namespace with a lock file of its own, whose uids are all taken but one."""
    name = 'test_a_uid_with_a_process_left_is_not_used_again'
    if 'OWN_RUN' not in os.environ:
        subprocess.run(['unshare', '--mount', '--propagation=private', 'sh', '-c',
                        'mount -t tmpfs tmpfs /run && exec "$0" "$@"', sys.executable, __file__],
                       env=dict(os.environ, OWN_RUN='1', TESTS_ONLY=name), check=True,
                       stdout=subprocess.DEVNULL)
        return
    os.makedirs('/run/virtualizationd-uids', 0o700, exist_ok=True)
    lock = os.open('/run/virtualizationd-uids/lock', os.O_RDWR | os.O_CREAT, 0o600)
    free = 1234
    for start, length in ((0, free), (free + 1, UID_COUNT - free - 1)):
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK,
                    struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
    left = subprocess.Popen(['setpriv', f'--reuid={UID_MIN + free}', '--clear-groups', 'sleep',
                             '1000'])
    host = Host(suite.build)
    try:
        wait_until(lambda: processes()[left.pid][0] == UID_MIN + free, 'the process of that uid')
        try:
            host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
            raise AssertionError('started')
        except dbus.DBusException as problem:
            assert 'all 4096 uids for VMs are taken' in problem.get_dbus_message(), problem
        left.kill()
        left.wait()
        vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
        assert vm.death()['reason'] == 'shutdown'
    finally:
        left.kill()
        left.wait()
        remaining = host.close()[1]
        os.close(lock)
        assert not remaining, remaining


def cgroup_of_all_vms():
    with open('/proc/mounts', encoding='utf-8') as file:
        roots = [line.split()[1] for line in file if line.split()[2] == 'cgroup2']
    return f'{roots[0]}/virtualizationd'


def test_a_cgroup_that_was_left_is_not_gone_on_with(suite):
    host = Host(suite.build)
    try:
        # As a listener of the same pid may have left it.
        path = f'{cgroup_of_all_vms()}/vm-{host.listener_pids()[0]}-1'
        os.makedirs(path)
        with open(f'{path}/cgroup.max.depth', 'w', encoding='ascii') as file:
            file.write('7')
        vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
        vm.wait_for('PayloadReady')
        with open(f'{path}/cgroup.procs', encoding='ascii') as file:
            assert str(int(vm.get('Pid'))) in file.read().split()
        with open(f'{path}/cgroup.max.depth', encoding='ascii') as file:
            assert file.read() == 'max\n'
        vm.methods.Kill()
        assert vm.death()['reason'] == 'killed'
    finally:
        assert host.close() == (0, [])


def run_a_users_guest(before='true'):
    """As an ordinary user, in a mount namespace after @before has run there as root."""
    subprocess.run(['unshare', '--mount', '--propagation=private', 'sh', '-c',
                    before + ' && exec "$0" "$@"', sys.executable,
                    os.path.join(os.path.dirname(os.path.abspath(__file__)), 'test-user-mode.py')],
                   env=dict(os.environ, TESTS_ONLY='test_a_users_guest_runs_and_ends'), check=True,
                   stdout=subprocess.DEVNULL)


def test_a_users_guest_runs_where_a_part_of_proc_is_covered(_suite):
    """As in many containers: a user namespace gets no /proc of its own there."""
    run_a_users_guest('mount -t tmpfs tmpfs /proc/irq')


def test_a_users_guest_runs_beside_those_of_the_system(suite):
    """Whose cgroups are not the user's to add to."""
    host = Host(suite.build)
    try:
        vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
        vm.wait_for('PayloadReady')
        os.chmod(cgroup_of_all_vms(), 0o755)  # else a user does not get as far as that
        run_a_users_guest()
        vm.methods.Kill()
        assert vm.death()['reason'] == 'killed'
    finally:
        assert host.close() == (0, [])


def test_a_daemon_of_roots_keeps_no_capability(suite):
    """In a session of root's, or with User=root."""
    for options, config in ((['--user'], ''), ([], 'User=root\n')):
        host = Host(suite.build, config=config, daemon_options=options)
        try:
            with open(f'/proc/{host.daemon.pid}/status', encoding='ascii') as file:
                status = file.read()
            for name in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb'):
                assert f'Cap{name}:\t{0:016x}\n' in status, status
            vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
            assert vm.death()['reason'] == 'shutdown'
        finally:
            assert host.close() == (0, [])


def test_capabilities_name_the_layers(suite):
    host = Host(suite.build)
    try:
        capabilities = host.manager().GetCapabilities()
        layers = set(capabilities['sandbox-layers'])
        missing = set(capabilities['sandbox-missing'])
        assert {'own-uid', 'empty-root', 'namespaces', 'seccomp', 'limits'} <= layers, layers
        assert not layers & missing and layers | missing >= {'landlock', 'cgroup-memory'}
        assert 'cgroup-io' in missing  # no limit is set
    finally:
        assert not host.close()[1]


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
