#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whoever has the daemon's uid may say anything to the launcher's and the supervisors' sockets: what
is no request is refused, and VMs, the listener and the next request are well. FUZZ_SEED repeats a
run; what is sent are the fuzz targets' corpora, which follow the formats, with bytes changed."""
import fcntl
import glob
import os
import pwd
import random
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Suite, processes, wait_until, with_host  # noqa: E402

CORPUS = os.path.join(os.path.abspath(os.environ['top_srcdir']), 'tests', 'fuzz', 'corpus')
SEED = int(os.environ.get('FUZZ_SEED', time.time_ns() % 10 ** 9))
N_CONNECTIONS = int(os.environ.get('FUZZ_CONNECTIONS', 400))
LAUNCH, FILES, STOP, KILL, SUSPEND, ADOPT = 1, 2, 3, 4, 5, 10
VERSION = 1
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def corpus(name):
    """Those that are whole messages or records, or were once."""
    found = []
    for path in sorted(glob.glob(f'{CORPUS}/{name}/*')):
        with open(path, 'rb') as file:
            found.append(file.read())
    assert len(found) > 3, name
    return found


class Sender:
    """Sends to a socket from a process with the daemon's uid."""

    def __init__(self, host, seed):
        self.dice = random.Random(seed)
        self.messages = corpus('supervisor-message')
        self.specs = corpus('launch-spec')
        self.directory = tempfile.TemporaryFile()
        self.directory.truncate(1 << 20)
        self.fds = [os.open(host.image('vmlinux'), os.O_RDONLY), os.open('/dev/null', os.O_RDWR),
                    os.open('/', os.O_PATH), os.dup(self.directory.fileno()), os.pidfd_open(os.getpid()),
                    *os.pipe()]

    def changed(self, data):
        data = bytearray(data)
        for _ in range(self.dice.choice([0, 1, 1, 2, 5])):
            if data:
                data[self.dice.randrange(len(data))] = self.dice.choice([0, 1, 255, self.dice.randrange(256)])
        cut = self.dice.random()
        if cut < 0.1:
            del data[self.dice.randrange(len(data) + 1):]
        elif cut < 0.15:
            data += self.dice.randbytes(self.dice.choice([1, 100, 9000]))
        return bytes(data)

    def some_fds(self, most=4):
        return [self.dice.choice(self.fds) for _ in range(self.dice.randrange(most))]

    def message(self):
        if self.dice.random() < 0.2:
            return self.dice.randbytes(self.dice.choice([0, 1, 2, 6, 100, 8192, 8193, 20000]))
        return self.changed(self.dice.choice(self.messages))

    def send(self, connection, data, fds):
        try:
            if fds:
                socket.send_fds(connection, [data], fds)
            else:
                connection.send(data)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError, TimeoutError):
            pass

    def launch(self, connection):
        """A launch with everything in order but the spec."""
        memfd = os.memfd_create('spec', os.MFD_ALLOW_SEALING)
        os.write(memfd, self.changed(self.dice.choice(self.specs)))
        if self.dice.random() < 0.9:
            fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, SEALS)
        fds = [self.dice.choice(self.fds) for _ in range(self.dice.choice([0, 2, 8, 20]))]
        announced = len(fds) if self.dice.random() < 0.9 else self.dice.choice([0, 1, 1001, 2 ** 32 - 1])
        self.send(connection, struct.pack('<HII', LAUNCH, VERSION, announced), [memfd])
        os.close(memfd)
        if fds:
            self.send(connection, struct.pack('<HI', FILES, len(fds)), fds)

    def talk(self, path, harmless):
        """One connection. With @harmless nothing is sent that means to end or to suspend a VM."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(None)  # only so many wait to be taken
            connection.connect(path)
            connection.settimeout(0.2)
            if harmless and self.dice.random() < 0.6:
                self.send(connection, struct.pack('<H', ADOPT), [])
            if not harmless and self.dice.random() < 0.6:
                self.launch(connection)
            else:
                for _ in range(self.dice.choice([0, 1, 1, 5])):
                    data = self.message()
                    if not harmless or int.from_bytes(data[:2], 'little') not in (STOP, KILL, SUSPEND):
                        self.send(connection, data, self.some_fds())
            try:
                for _ in range(self.dice.randrange(3)):
                    if not connection.recv(10000):
                        break
            except (TimeoutError, ConnectionResetError):
                pass


def send_as_daemon(host, path, harmless):
    """Returns when a child has sent everything."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            sender = Sender(host, SEED)
            user = pwd.getpwnam('virtualizationd')
            os.setgroups([])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            for _ in range(N_CONNECTIONS):
                sender.talk(path, harmless)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    statuses = []

    def ended():
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            statuses.append(status)
        return statuses
    wait_until(ended, 'the sender to end', 300)
    assert statuses == [0], statuses


def check_echo(vm):
    assert vm.get('State') == 'ready', vm.get('State')
    with socket.socket(fileno=vm.methods.ConnectVsock(dbus.UInt32(5000)).take()) as stream:
        stream.settimeout(60)
        stream.sendall(b'still here')
        assert stream.recv(100) == b'still here'


def start(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=echo:5000'), start=True,
                     lifetime='detached')
    vm.wait_for('PayloadReady')
    return vm


@with_host
def test_launchers_refuse_what_is_no_request(host):
    print(f'# FUZZ_SEED={SEED}', flush=True)
    vm = start(host)
    mine, listeners = set(host.vm_processes()), host.listener_pids()
    fds = len(os.listdir(f'/proc/{listeners[0]}/fd'))
    send_as_daemon(host, f'{host.runtime_dir}/launcher/socket', harmless=False)
    assert host.listener_pids() == listeners, (listeners, host.listener_pids())
    check_echo(vm)
    other = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
    assert other.death()['reason'] == 'shutdown'
    for pid in set(host.vm_processes()) - mine:  # what was, by chance, a good request
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until(lambda: set(host.vm_processes()) == mine, 'only the VM to be left')
    wait_until(lambda: len(os.listdir(f'/proc/{listeners[0]}/fd')) <= fds + 1,
               'the listener to close what it had')
    check_echo(vm)


@with_host
def test_a_supervisor_outlives_whatever_a_daemon_says(host):
    print(f'# FUZZ_SEED={SEED}', flush=True)
    vm = start(host)
    mine = set(host.vm_processes())
    fds = {pid: len(os.listdir(f'/proc/{pid}/fd')) for pid in mine}
    host.daemon.kill()
    host.daemon.wait()
    send_as_daemon(host, f'{host.runtime_dir}/vm/{vm.path[-32:]}/supervisor.socket', harmless=True)
    ended = mine - set(host.vm_processes())
    host.start_daemon()
    assert not ended, (ended, vm.methods.GetDeathRecord())
    wait_until(lambda: vm.get('State') == 'ready', 'the VM to be found again')
    check_echo(vm)
    wait_until(lambda: all(len(os.listdir(f'/proc/{pid}/fd')) <= fds[pid] + 1 for pid in mine),
               'the VM to close what it was sent')
    assert not [pid for pid, (_, state, _) in processes().items() if pid in mine and state == 'Z']
    vm.methods.Stop()
    assert vm.death()['reason'] == 'shutdown', vm.death()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
