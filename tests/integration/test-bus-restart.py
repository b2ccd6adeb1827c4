#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The bus goes and comes back: VMs go on, clients of the old bus are gone, memory does not grow."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import (DEADLINE, Host, NAME, PROPERTIES, Suite, VM, wait_until,  # noqa: E402
                     with_host)

ROUNDS = 50


def restart_bus(host, meanwhile=lambda: None):
    host.dbus_daemon.kill()
    host.dbus_daemon.wait()
    host.dbus_daemon.stdout.close()
    meanwhile()
    host._start_bus()
    host.bus = host.connect()
    host.bus.set_exit_on_disconnect(False)


def await_service(host):
    wait_until(lambda: host.daemon.poll() is not None or host.bus.name_has_owner(NAME),
               'the daemon on the new bus')
    assert host.daemon.poll() is None, host.log()


def states(host):
    return {str(vm[2]): str(vm[3]) for vm in host.manager().ListVms(True)}


@with_host
def test_detached_vms_live_on_and_others_end(host):
    host.bus.set_exit_on_disconnect(False)
    stays, files = host.config(host.payload('probe'), 'probe=wait', name='stays')
    vm = host.create(stays, files, lifetime='detached', start=True)
    vm.wait_for('PayloadReady')
    pid = vm.get('Pid')
    goes, files = host.config(host.payload('probe'), 'probe=wait', name='goes')
    other = host.create(goes, files, start=True)
    other.wait_for('PayloadReady')
    restart_bus(host)
    await_service(host)
    wait_until(lambda: states(host)['goes'] == 'dead', 'the end of the VM of a client')
    assert states(host)['stays'] == 'ready'
    again = host.bus.get_object(NAME, vm.path, introspect=False)
    assert again.Get(VM, 'Pid', dbus_interface=PROPERTIES) == pid
    new = host.create(*host.config(host.payload('probe'), 'probe=exit:0'), start=True)
    assert new.death()['reason'] == 'shutdown'
    again.Kill(dbus_interface=VM)
    wait_until(lambda: states(host)['stays'] == 'dead', 'the kill')


def memory(host):
    with open(f'/proc/{host.daemon.pid}/status', encoding='ascii') as file:
        resident = int(file.read().split('VmRSS:')[1].split()[0])
    return resident, len(os.listdir(f'/proc/{host.daemon.pid}/fd'))


@with_host
def test_fifty_rounds_take_no_memory(host):
    host.bus.set_exit_on_disconnect(False)
    seen = []
    for _ in range(ROUNDS):
        host.manager().GetCapabilities()
        restart_bus(host)
        await_service(host)
        seen.append(memory(host))
    assert seen[-1][1] == seen[9][1], seen
    # KiB, less than a connection a round; the sanitizers keep what is freed.
    assert Suite().sanitized or seen[-1][0] - seen[9][0] < 64, seen


def test_a_name_that_somebody_else_takes_ends_the_daemon(suite):
    host = Host(suite.build)
    try:
        host.bus.set_exit_on_disconnect(False)
        os.kill(host.daemon.pid, signal.SIGSTOP)
        try:
            restart_bus(host)
            assert host.bus.request_name(NAME) == dbus.bus.REQUEST_NAME_REPLY_PRIMARY_OWNER
        finally:
            os.kill(host.daemon.pid, signal.SIGCONT)
        assert host.daemon.wait(DEADLINE) == 1
        assert 'is taken' in host.log(), host.log()
    finally:
        assert not host.close()[1]


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
