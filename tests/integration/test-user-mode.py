#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""virtualizationd --user: the same box for a user without any privilege."""
import os
import subprocess
import sys
import tempfile

if os.geteuid() == 0:
    os.execvp('setpriv', ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups',
                          sys.executable, *sys.argv])

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import NAME, Suite, wait_until, with_host  # noqa: E402
from launcher import ACCEPTED, Launch, launch_spec  # noqa: E402


def status_of(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


@with_host
def test_a_users_guest_runs_and_ends(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=exit:3'), start=True)
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 3, record


@with_host
def test_the_vmm_is_in_the_box(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
    vm.wait_for('PayloadReady')
    pid = int(vm.get('Pid'))
    status = status_of(pid)
    assert status['NoNewPrivs'] == '1' and status['Seccomp'] == '2', status
    assert all(status[f'Cap{kind}'] == '0' * 16 for kind in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb'))
    assert status['Uid'].split() == [str(os.getuid())] * 4
    assert len(status['NSpid'].split()) == 2, status
    # A process under the same uid may not even look: the user namespace is not its own.
    for name in ('user', 'mnt', 'net'):
        try:
            there = os.readlink(f'/proc/{pid}/ns/{name}')
            assert there != os.readlink(f'/proc/self/ns/{name}'), name
        except PermissionError:
            pass
    vm.methods.Stop()
    assert vm.death()['reason'] == 'shutdown'


@with_host
def test_an_instances_secret_comes_from_the_users_own(host):
    with open(host.image('vmlinux'), 'rb') as kernel, open(host.image('initramfs'), 'rb') as initrd:
        spec = launch_spec(initrd=1, instance_id=bytes(64), paused=True)
        with Launch(host, spec, [kernel.fileno(), initrd.fileno()]) as launch:
            kind, answer = launch.receive()
            assert kind == ACCEPTED, answer
    status = os.stat(f'{host.directory}/state/host-secret')
    assert (status.st_uid, status.st_mode & 0o7777, status.st_size) == (os.getuid(), 0o400, 64)


@with_host
def test_a_home_may_have_neither_cache_nor_state(host):
    host.stop_daemon()
    home, runtime = f'{host.directory}/home', f'{host.directory}/xdg'
    os.mkdir(home)
    os.mkdir(runtime)
    environment = {'PATH': os.environ['PATH'], 'HOME': home, 'XDG_RUNTIME_DIR': runtime}
    with subprocess.Popen([f'{host.build}/programs/virtualizationd', '--user',
                           f'--bus={host.address}'], env=environment, stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as daemon:
        try:
            wait_until(lambda: host.bus.name_has_owner(NAME) or daemon.poll() is not None,
                       'the daemon')
            assert daemon.poll() is None, daemon.stderr.read()
            assert os.listdir(f'{home}/.cache') == os.listdir(f'{home}/.local/state') == [
                'virtualizationd']
            for name in ('.cache', '.local', '.local/state'):
                assert os.stat(f'{home}/{name}').st_mode & 0o7777 == 0o700, name
        finally:
            daemon.terminate()
    wait_until(lambda: not os.path.exists(f'{runtime}/virtualizationd/launcher/socket'),
               'the end of its listener')
    host.start_daemon()


@with_host
def test_what_is_missing_is_listed(host):
    capabilities = host.manager().GetCapabilities()
    assert 'own-uid' in capabilities['sandbox-missing']
    assert {'empty-root', 'namespaces', 'seccomp'} <= set(capabilities['sandbox-layers'])


@with_host
def test_a_disk_worker_serves_a_user(host):
    with tempfile.TemporaryFile('r+b', buffering=0) as file:
        host.manager().InitializeWritablePartition(dbus.types.UnixFd(file.fileno()),
                                                   dbus.UInt64(8192), 'encryptedstore')
        assert os.pread(file.fileno(), 1 << 20, 0) == b'UNFORMATTED-STORAGE'.ljust(8192, b'\0')


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
