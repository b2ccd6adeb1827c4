#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A supervisor that is stopped, or that somebody else speaks for, harms its own VM at most: the
daemon that finds it goes on, and the VM can be killed."""
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

import dbus

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Host, Suite, wait_until, with_host  # noqa: E402

# protocol/supervisor-message.h, protocol/vm-state.h
REFUSED, EVENT, HELLO, STATE = 65, 67, 70, 71
VERSION, FAILED, READY, PAYLOAD_READY = 1, 1, 4, 3


def hello(version=VERSION):
    return struct.pack('<HI', HELLO, version)


def state(number, acknowledged=1):
    return struct.pack('<HQQIIIQ', STATE, number, acknowledged, READY, 0, 1, 1)


def event(number):
    return struct.pack('<HQQIiIH', EVENT, number, 1, PAYLOAD_READY, 0, 0, 0)


def kill_daemon(host):
    host.daemon.kill()
    host.daemon.wait()


def start_waiting(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True,
                     lifetime='detached')
    vm.wait_for('PayloadReady')
    return vm


def supervisor_of(host):
    supervisor, = [pid for pid in host.vm_processes()
                   if open(f'/proc/{pid}/comm', encoding='utf-8').read() == 'vm-supervisor\n']
    return supervisor


class Impostor:
    """Stands where the supervisor of @vm stood, for the next daemon."""

    def __init__(self, host, vm):
        self.directory = f'{host.runtime_dir}/vm/{vm.path.rsplit("/", 1)[1]}'
        kill_daemon(host)
        os.kill(supervisor_of(host), signal.SIGKILL)
        wait_until(lambda: not host.vm_processes(), 'the end of the VM')
        os.unlink(f'{self.directory}/supervisor.socket')
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.settimeout(DEADLINE)
        self.listener.bind(f'{self.directory}/supervisor.socket')
        os.chmod(f'{self.directory}/supervisor.socket', 0o666)
        self.listener.listen()
        self.connection = None

    def await_daemon(self):
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(DEADLINE)

    def meet(self, host, speak):
        """Starts a daemon, to which speak() speaks meanwhile."""
        def run():
            self.await_daemon()
            speak()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            host.start_daemon()
        finally:
            thread.join()

    def close(self):
        self.listener.close()
        if self.connection:
            self.connection.close()


def goes_on(host):
    assert host.manager().GetCapabilities() and host.daemon.poll() is None, host.log()


@with_host
def test_what_speaks_on_after_the_end_is_not_heard(host):
    vm = start_waiting(host)
    impostor = Impostor(host, vm)
    impostor.meet(host, lambda: impostor.connection.send(hello(VERSION + 98)))
    # The death cannot be written down, so the record of the VM stays.
    os.mkdir(f'{impostor.directory}/.unfinished')
    vm.methods.Kill()
    vm.wait_for('Died')
    for _ in range(3):
        try:
            impostor.connection.send(struct.pack('<HIH', REFUSED, FAILED, 0))
        except BrokenPipeError:
            pass  # it has hung up on who speaks otherwise
    goes_on(host)
    os.rmdir(f'{impostor.directory}/.unfinished')
    impostor.close()
    goes_on(host)
    # Nobody has it but this daemon.
    for name in os.listdir(impostor.directory):
        os.unlink(f'{impostor.directory}/{name}')
    os.rmdir(impostor.directory)


@with_host
def test_event_numbers_have_an_end(host):
    vm = start_waiting(host)
    impostor = Impostor(host, vm)
    most = (1 << 64) - 1

    def speak():
        impostor.connection.send(hello())
        assert impostor.connection.recv(64)  # ADOPT
        for message in (state(most), event(most)):
            try:
                impostor.connection.send(message)
            except BrokenPipeError:
                pass  # it has heard enough
    impostor.meet(host, speak)
    impostor.close()
    assert vm.wait_for('Died')[0] == vm.get('LastEvent') > 1, vm.events
    kill_daemon(host)
    host.start_daemon()
    assert vm.methods.GetDeathRecord()['reason'] == 'infrastructure-error'


@with_host
def test_sigterm_while_it_waits_for_a_supervisor(host):
    vm = start_waiting(host)
    impostor = Impostor(host, vm)
    ended = []

    def speak():
        host.daemon.send_signal(signal.SIGTERM)
        ended.append(host.daemon.wait(DEADLINE))
    try:
        impostor.meet(host, speak)
    except RuntimeError:
        pass  # it ends before, or after, it says that it is ready
    assert ended == [0], host.log()
    impostor.close()
    host.start_daemon()
    assert vm.death()['reason'] == 'infrastructure-error'


@with_host
def test_nothing_is_told_before_the_name_is_owned_where_the_bus_went(host):
    host.bus.set_exit_on_disconnect(False)
    vm = start_waiting(host)
    impostor = Impostor(host, vm)
    told = f'{host.directory}/told'

    def read_told():
        with open(told, encoding='utf-8') as file:
            return file.read()

    def speak():
        host.dbus_daemon.kill()
        host.dbus_daemon.wait()
        host.dbus_daemon.stdout.close()
        host._start_bus()
        with open(told, 'wb') as file:
            monitors.append(subprocess.Popen(['dbus-monitor', '--address', host.address],
                                             stdout=file))
        wait_until(lambda: 'the bus is there again' in host.log() and read_told(), 'the new bus')
        impostor.connection.send(hello())
        assert impostor.connection.recv(64)  # ADOPT
        impostor.connection.send(state(2))
        impostor.connection.send(event(2))
    monitors = []
    try:
        impostor.meet(host, speak)
        host.bus = host.connect()
        wait_until(lambda: 'member=PropertiesChanged' in read_told(), 'the signal')
        assert read_told().index('member=RequestName') < \
            read_told().index('member=PropertiesChanged'), read_told()
    finally:
        for monitor in monitors:
            monitor.terminate()
            monitor.wait()
        impostor.close()


def is_stopped(vm):
    """Whether the daemon takes it, which it does not before the supervisor has answered it."""
    try:
        vm.methods.Stop()
    except dbus.DBusException as problem:
        assert problem.get_dbus_name().endswith('.Unavailable'), problem
        return False
    return True


@with_host
def test_a_stopped_supervisor_outlasts_many_daemons(host):
    vm = start_waiting(host)
    pids, supervisor = set(host.vm_processes()), supervisor_of(host)
    os.kill(supervisor, signal.SIGSTOP)
    for _ in range(4):
        kill_daemon(host)
        host.start_daemon()
        assert vm.get('State') != 'dead' and set(host.vm_processes()) == pids, host.log()
    os.kill(supervisor, signal.SIGCONT)
    wait_until(lambda: is_stopped(vm), 'the answer of the supervisor')
    assert vm.death()['reason'] == 'shutdown'


def test_the_vm_of_a_stopped_supervisor_can_be_killed(suite):
    # A supervisor that wakes up then keeps the death for as long as anybody may ask.
    host = Host(suite.build, config='DeathRecordSec=2\n')
    try:
        vm = start_waiting(host)
        supervisor, vmm = supervisor_of(host), int(vm.get('Pid'))
        os.kill(supervisor, signal.SIGSTOP)
        kill_daemon(host)
        host.start_daemon()
        vm.methods.Kill()
        vm.wait_for('Died')
        wait_until(lambda: vmm not in host.vm_processes(), 'the end of the VMM')
        os.kill(supervisor, signal.SIGCONT)
        wait_until(lambda: not host.vm_processes(), 'the end of the supervisor')
    finally:
        for pid in host.vm_processes():
            os.kill(pid, signal.SIGCONT)  # else nothing ends it
        assert host.close() == (0, [])


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
