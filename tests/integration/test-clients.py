#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that nobody here wrote: busctl, gdbus, dbus-send and Gio. The first three cannot send
descriptors, so they start, watch and end VMs that were made for them."""
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from gi.repository import Gio, GLib  # noqa: E402
from harness import DEADLINE, Host, MANAGER, NAME, ROOT, Suite, VM, wait_until  # noqa: E402


def start_and_stop(suite, call, monitor):
    """@call(host, path, member) calls a method without arguments; @monitor(host) is a command that
    prints signals."""
    host = Host(suite.build)
    watcher = None
    try:
        vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
        watcher = subprocess.Popen(monitor(host), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(watcher.stdout.fileno(), False)
        seen = b''

        def sees(word):
            nonlocal seen
            seen += watcher.stdout.read() or b''
            return word in seen
        # It watches once it sees what this makes happen.
        wait_until(lambda: (host.create(*host.config()).methods.Kill() or True) and sees(b'Died'),
                   f'the first signal: {seen!r}', DEADLINE)
        call(host, vm.path, 'Start')
        wait_until(lambda: sees(b'PayloadReady'), 'PayloadReady')
        call(host, vm.path, 'Stop')
        n_died = seen.count(b'Died')
        wait_until(lambda: sees(b'Died') and seen.count(b'Died') > n_died, 'Died')
        assert vm.death()['initiator'] == 'client'
    finally:
        if watcher:
            watcher.terminate()
            watcher.wait()
            watcher.stdout.close()
        _, left = host.close()
        assert not left, left


def run(*command):
    return subprocess.run(command, check=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE).stdout.decode()


def test_busctl(suite):
    start_and_stop(
        suite,
        lambda host, path, member: run('busctl', f'--address={host.address}', 'call', NAME, path,
                                       VM, member),
        lambda host: ['busctl', f'--address={host.address}', 'monitor', NAME])


def test_gdbus(suite):
    start_and_stop(
        suite,
        lambda host, path, member: run('gdbus', 'call', '--address', host.address, '--dest', NAME,
                                       '--object-path', path, '--method', f'{VM}.{member}'),
        lambda host: ['stdbuf', '-oL', 'gdbus', 'monitor', '--address', host.address, '--dest',
                      NAME])


def test_dbus_send(suite):
    start_and_stop(
        suite,
        lambda host, path, member: run('dbus-send', f'--bus={host.address}', '--print-reply',
                                       f'--dest={NAME}', path, f'{VM}.{member}'),
        lambda host: ['dbus-monitor', '--address', host.address,
                      f"type='signal',interface='{VM}'"])


def test_gio_creates_a_vm(suite):
    host = Host(suite.build)
    try:
        connection = Gio.DBusConnection.new_for_address_sync(
            host.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
            Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        died = []
        connection.signal_subscribe(NAME, VM, 'Died', None, None, Gio.DBusSignalFlags.NONE,
                                    lambda *arguments: died.append(arguments[5].unpack()))
        config, files = host.config(host.payload('probe'), 'probe=exit:0')
        fds = Gio.UnixFDList.new()
        handles = {}
        for key, path in files.items():
            fd = os.open(path, os.O_RDONLY)
            handles[key] = GLib.Variant('h', fds.append(fd))
            os.close(fd)
        arguments = GLib.Variant('(sa{sh}a{sv})', (json.dumps(config), {
            key: handle.unpack() for key, handle in handles.items()},
            {'start': GLib.Variant('b', True)}))
        reply, _ = connection.call_with_unix_fd_list_sync(
            NAME, ROOT, MANAGER, 'CreateVm', arguments, None, Gio.DBusCallFlags.NONE, -1, fds, None)
        assert reply.unpack()[0].startswith(ROOT + '/vm/')
        wait_until(lambda: died, 'Died')
        assert died[0][1] == 'shutdown', died
        connection.close_sync(None)
    finally:
        _, left = host.close()
        assert not left, left


def members(text):
    """(interface, kind, name) -> argument types of what an introspection lists."""
    found = {}
    for interface in ElementTree.fromstring(text).iter('interface'):
        for kind in ('method', 'signal', 'property'):
            for member in interface.iter(kind):
                key = (interface.get('name'), kind, member.get('name'))
                found[key] = [(argument.get('direction', 'out'), argument.get('type'))
                              for argument in member.iter('arg')] or member.get('type')
    return found


def test_introspection_is_the_installed_contract(suite):
    host = Host(suite.build)
    try:
        vm = host.create(*host.config())
        for path, interface in ((ROOT, MANAGER), (vm.path, VM)):
            text = host.bus.get_object(NAME, path, introspect=False).Introspect(
                dbus_interface='org.freedesktop.DBus.Introspectable')
            with open(f'{os.environ["top_srcdir"]}/dbus/{interface}.xml', encoding='utf-8') as file:
                contract = members(file.read())
            served = members(str(text))
            assert contract and {key: served.get(key) for key in contract} == contract
        tree = run('busctl', f'--address={host.address}', 'tree', '--list', NAME)
        assert vm.path in tree, tree
        listed = run('busctl', f'--address={host.address}', 'introspect', NAME, vm.path)
        assert '.ConnectVsock' in listed and '"not-started"' in listed, listed
        managed = host.bus.get_object(NAME, ROOT, introspect=False).GetManagedObjects(
            dbus_interface='org.freedesktop.DBus.ObjectManager')
        assert str(managed[vm.path][VM]['State']) == 'not-started'
        assert int(managed[vm.path][VM]['LastEvent']) == 1
        vm.methods.Kill()
    finally:
        _, left = host.close()
        assert not left, left


def test_a_stranger_reads_properties_and_nothing_else(suite):
    host = Host(suite.build)
    try:
        vm = host.create(*host.config())
        stranger = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'busctl',
                    f'--address={host.address}']
        assert '"not-started"' in run(*stranger, 'get-property', NAME, vm.path, VM, 'State')
        for path, interface, member in ((vm.path, VM, 'Start'), (vm.path, VM, 'Kill'),
                                        (vm.path, VM, 'GetDeathRecord')):
            result = subprocess.run([*stranger, 'call', NAME, path, interface, member],
                                    stdin=subprocess.DEVNULL, capture_output=True, check=False)
            assert result.returncode != 0 and b'Access denied' in result.stderr, result
        result = subprocess.run([*stranger, 'call', NAME, ROOT, MANAGER, 'CreateVm', 'sa{sh}a{sv}',
                                 '{}', '0', '0'], stdin=subprocess.DEVNULL, capture_output=True,
                                check=False)
        assert b'Access denied' in result.stderr, result
        vm.methods.Kill()
    finally:
        _, left = host.close()
        assert not left, left


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
