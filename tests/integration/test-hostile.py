#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who means harm: clients with odd files and odd moments, a daemon that was taken over."""
import os
import signal
import socket
import struct
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Host, Suite, processes, wait_until, with_host  # noqa: E402
from launcher import ACCEPTED, REFUSED, Launch, launch_spec  # noqa: E402


@with_host
def test_endless_console_input_does_not_outweigh_an_end(host):
    config, files = host.config(host.payload('probe'), 'probe=wait')
    files['console-in'] = '/dev/urandom'
    vm = host.create(config, files, start=True)
    vm.wait_for('PayloadReady')
    vm.methods.Kill()
    assert vm.death()['reason'] == 'killed'


@with_host
def test_a_stop_that_overtakes_a_suspension_is_orderly(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
    vm.wait_for('PayloadReady')
    vm.methods.get_dbus_method('Suspend')(reply_handler=lambda: None,
                                          error_handler=lambda error: None)
    vm.methods.Stop()
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['initiator'] == 'client', record


@with_host
def test_the_payloads_deadline_stands_still_with_its_vcpus(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=exit:0', payload_timeout_ms=1),
                     start=True, paused=True)
    wait_until(lambda: vm.get('State') == 'suspended', 'the suspension')
    # Another VM's whole life is longer than the deadline.
    other = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
    assert other.death()['reason'] == 'shutdown'
    assert vm.get('State') == 'suspended'
    vm.methods.Resume()
    assert vm.death()['reason'] == 'hangup'


@with_host
def test_arguments_are_bounded_whatever_their_shape(host):
    wide = {f'option{number}': 'x' * 100 for number in range(20000)}
    many = {f'{number:032x}': dbus.UInt64(1) for number in range(40000)}
    for call, *arguments in (
            (host.manager().CreateVm, '{}', dbus.Dictionary({}, signature='sh'),
             dbus.Dictionary(wide, signature='sv')),
            (host.manager().GetEvents, dbus.Dictionary(many, signature='st')),
            (host.manager().ClaimInstance, dbus.ByteArray(bytes(1 << 21))),
            (host.manager().GetVm, 'x' * (1 << 21))):
        try:
            call(*arguments)
            raise AssertionError(f'{call} took all that')
        except dbus.DBusException as problem:
            assert problem.get_dbus_name().endswith('LimitsExceeded'), problem


def parent_of(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        return int(file.read().rpartition(')')[2].split()[1])


@with_host
def test_a_request_to_a_supervisor_that_has_just_gone_is_late(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True)
    vm.wait_for('PayloadReady')
    supervisor, errors = parent_of(parent_of(vm.get('Pid'))), []
    os.kill(host.daemon.pid, signal.SIGSTOP)
    try:
        for method in ('Stop', 'Suspend'):
            vm.methods.get_dbus_method(method)(reply_handler=lambda: errors.append(None),
                                               error_handler=errors.append)
        host.bus.get_name_owner('org.freedesktop.DBus')  # the bus has passed on what was before
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: processes().get(supervisor, (0, 'Z'))[1] == 'Z', 'its end')
    finally:
        os.kill(host.daemon.pid, signal.SIGCONT)
    wait_until(lambda: len(errors) == 2, 'both answers')
    for error in errors:
        assert error.get_dbus_name() == 'org.virtualizationd1.Error.InvalidState', errors
    assert vm.death()['reason'] == 'infrastructure-error'


# --- a daemon that was taken over speaks to the launcher itself: protocol/launch-spec.h ---

def launch(host, spec, fds, **options):
    """The launcher's answer: its type, and its sentence."""
    with Launch(host, spec, fds, **options) as launched:
        return launched.receive()


@with_host
def test_root_opens_nothing_that_was_not_shown_to_be_open(host):
    with tempfile.TemporaryDirectory() as directory:
        fifo = f'{directory}/fifo'
        os.mkfifo(fifo, 0o600)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        kernel = os.open(host.image('vmlinux'), os.O_RDONLY)
        for flags in (os.O_PATH, os.O_RDONLY | os.O_NONBLOCK):
            shown = os.open(fifo, flags)
            kind, answer = launch(host, launch_spec(console_out=1, paused=True), [kernel, shown])
            assert kind == REFUSED and b'not open for writing' in answer, (flags, answer)
            os.close(shown)
        kind, answer = launch(host, launch_spec(disk=(1, 4096), paused=True), [kernel, reader])
        assert kind == REFUSED and b'wrong kind' in answer, answer
        # The same request with a file that is what it has to be is taken.
        with open(f'{directory}/out', 'wb') as output:
            kind, answer = launch(host, launch_spec(console_out=1, paused=True),
                                  [kernel, output.fileno()])
        assert kind == ACCEPTED, answer
        os.close(kernel)
        os.close(reader)


@with_host
def test_a_launcher_of_another_version_names_both(host):
    with open(host.image('vmlinux'), 'rb') as kernel:
        kind, answer = launch(host, launch_spec(paused=True), [kernel.fileno()], version=7)
    assert kind == REFUSED and b'version 1' in answer and b'version 7' in answer, answer


# --- a supervisor that was taken over speaks to the next daemon: protocol/supervisor-message.h ---

HELLO = struct.pack('<HI', 70, 1)
STARTING, SUSPENDED, DEAD = 2, 6, 8
START = struct.pack('<HQQIiIH', 67, 2, 1, 1, 0, 0, 0)


def state(number, acknowledged, of_vm=STARTING, resume_to=0):
    return struct.pack('<HQQIIIQ', 71, number, acknowledged, of_vm, resume_to, 1, 1)


def died(number):
    return struct.pack('<HQIIiiiiB', 68, number, 1, 2, -1, 0, -1, 0, 0) + \
        struct.pack('<HHH', 0, 0, 0) + struct.pack('<QQQ', 1, 0, 0) + \
        struct.pack('<HHHIQH', 0, 0, 0, 0, 0, 0)


class StandIn:
    """Takes the place of a VM's supervisor while no daemon is there."""

    def __init__(self, host, vm):
        path = f'{host.runtime_dir}/vm/{vm.path.rsplit("/", 1)[1]}/supervisor.socket'
        os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(1)

    def play(self, messages):
        """Sends all of them to the daemon that comes, and hangs up."""
        def run():
            connection, _ = self.listener.accept()
            with connection:
                for message in messages:
                    try:
                        connection.send(message)
                    except OSError:
                        return  # it has heard enough
        thread = threading.Thread(target=run)
        thread.start()
        return thread


def with_short_records(function):
    """A supervisor that was left behind ends when nobody has taken its record in time."""
    def run(suite):
        host = Host(suite.build, config='DeathRecordSec=10\n')
        try:
            function(host)
        finally:
            assert host.close() == (0, [])
    return run


@with_short_records
def test_a_supervisor_of_another_version_is_left_alone_until_it_is_killed(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True,
                     lifetime='detached')
    vm.wait_for('PayloadReady')
    pid = int(vm.get('Pid'))
    host.daemon.kill()
    host.daemon.wait()
    stand_in = StandIn(host, vm)
    hung = threading.Event()

    def speak():
        connection, _ = stand_in.listener.accept()
        with connection:
            connection.send(struct.pack('<HI', 70, 7))
            hung.wait()
    thread = threading.Thread(target=speak)
    thread.start()
    try:
        host.start_daemon()
        assert 'version 7' in host.log() and 'version 1' in host.log()
        for method in ('Stop', 'Suspend'):
            try:
                vm.methods.get_dbus_method(method)()
                raise AssertionError(f'{method} was taken')
            except dbus.DBusException as problem:
                # Suspend needs to know that it runs, which such a supervisor cannot tell.
                assert problem.get_dbus_name().endswith(('NotSupported', 'InvalidState')), problem
                assert method != 'Stop' or 'version 7' in str(problem), problem
        assert pid in host.vm_processes()
        vm.methods.Kill()
        assert vm.death()['reason'] == 'killed'
        wait_until(lambda: pid not in host.vm_processes(), 'the end of the VMM')
    finally:
        hung.set()
        thread.join()


@with_short_records
def test_a_supervisor_that_lies_to_the_next_daemon_harms_its_vm_only(host):
    other = host.create(*host.config(host.payload('probe'), 'probe=wait'), start=True,
                        lifetime='detached')
    other.wait_for('PayloadReady')
    cases = [
        [HELLO, state(2, 1), START, died(3)],
        [HELLO, state(3, 1, DEAD), START, died(3)],
        [HELLO, state(2, 2), died(2), died(3), died(4)],
        [HELLO, HELLO], [state(2, 1)], [died(3)], [HELLO, died(3)], [b'garbage'], [], [HELLO],
        [HELLO, state(2, 1), START, START, state(9, 1)],
        [HELLO, state(2**64 - 1, 2**64 - 1), died(2**64 - 1)],
        [HELLO, state(2**64 - 1, 1), START],
        [HELLO, state(5, 9), START], [HELLO, state(2, 1, SUSPENDED, 3), START, HELLO],
        [HELLO, state(2, 1), START, struct.pack('<HI', 64, 0)], [HELLO, state(2, 1), START, b''],
    ]
    for messages in cases:
        client = host.connect()
        vms = [host.create(*host.config(host.payload('probe'), 'probe=wait'), bus=bus, start=True,
                           paused=True, lifetime=lifetime)
               for bus, lifetime in ((host.bus, 'detached'), (client, 'client'))]
        for vm in vms:
            wait_until(lambda vm=vm: vm.get('State') == 'suspended', 'the VM')
        vms[1].match.remove()
        host.daemon.kill()
        host.daemon.wait()
        threads = [StandIn(host, vm).play(messages) for vm in vms]
        client.close()
        host.start_daemon()
        for thread in threads:
            thread.join()
        for vm in vms:
            wait_until(lambda vm=vm: vm.path not in [entry[0] for entry in
                                                     host.manager().ListVms(False)],
                       f'the end of a VM whose supervisor says {messages}')
        assert host.daemon.poll() is None and other.get('State') == 'ready', messages


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
