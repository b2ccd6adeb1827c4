#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input gets an error of its own kind that names the field, and leaves nothing behind."""
import os
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Host, NAME, ROOT, MANAGER, Suite, wait_until  # noqa: E402

OWN = 'org.virtualizationd1.Error.'
STANDARD = 'org.freedesktop.DBus.Error.'


def fd_count(host):
    return len(os.listdir(f'/proc/{host.daemon.pid}/fd'))


def with_host(function):
    def run(suite):
        host = Host(suite.build)
        try:
            host.create(*host.config()).methods.Kill()  # the first death makes a timer
            before = fd_count(host)
            function(host)
            for path, *_ in host.manager().ListVms(False):
                host.bus.get_object(NAME, path, introspect=False).Kill(
                    dbus_interface='org.virtualizationd1.VirtualMachine')
            wait_until(lambda: fd_count(host) <= before, 'the daemon to close what it was given')
            assert not host.directories_in_use()
        finally:
            status, left = host.close()
            assert not left, left
            assert status == 0, status
    return run


def refused(host, config, files, error, *words, **options):
    """CreateVm is refused with @error, whose sentence has all @words, and makes no VM."""
    n_vms = len(host.manager().ListVms(True))
    try:
        vm = host.create(config, files, **options)
    except dbus.DBusException as problem:
        assert problem.get_dbus_name() == error, (config, problem)
        for word in words:
            assert word in str(problem), (word, problem)
        assert len(host.manager().ListVms(True)) == n_vms
        return
    raise AssertionError(f'{config!r} became {vm.path}')


@with_host
def test_configuration_is_refused_by_field(host):
    config, files = host.config()
    good = config
    for bad, *words in (
            ('{', 'JSON'), ('[]', 'expected object'), ('{} {}', 'JSON'), ('', 'JSON'),
            ("{'kernel': \"k\"}", 'double quotes'),
            (dict(good, colour='red'), '/colour', 'unknown key'),
            ('{"kernel": "kernel", "kernel": "kernel"}', '/kernel', 'twice'),
            ('{"kernel": "kernel", "disks": [{"image": "a", "image": "b"}]}', '/disks/0/image'),
            (dict(good, memory_mib='12abc'), '/memory_mib', 'expected int, got string'),
            (dict(good, memory_mib=0), '/memory_mib', '0 is out of range'),
            (dict(good, memory_mib=-1), '/memory_mib', '-1'),
            (dict(good, memory_mib=2**31 - 1), '/memory_mib', 'more than this host has'),
            (dict(good, memory_mib=2**70), '/memory_mib', 'out of range'),
            (dict(good, memory_mib=1.5), '/memory_mib', 'expected int'),
            (dict(good, protected='yes'), '/protected', 'expected boolean'),
            (dict(good, cpu_topology='all'), '/cpu_topology', 'match_host'),
            (dict(good, name=''), '/name'), (dict(good, name='../x'), '/name'),
            (dict(good, name='x' * 65), '/name', '64'),
            (dict(good, name='a\nb'), '/name'),
            (dict(good, params='a\u0007'), '/params'),
            (dict(good, payload_timeout_ms=0), '/payload_timeout_ms'),
            (dict(good, bootloader='b'), 'bootloader'),
            ({'initrd': 'initrd'}, 'kernel'),
            (dict(good, disks={}), '/disks', 'expected array'),
            (dict(good, disks=[{}]), '/disks/0', 'image'),
            (dict(good, disks=[{'image': 'a', 'partitions': [{'label': 'l', 'path': 'p'}]}]),
             '/disks/0'),
            (dict(good, disks=[{'partitions': [{'label': 'l', 'path': 'p'},
                                               {'label': 'l', 'path': 'q'}]}]), 'twice', "'l'"),
            (dict(good, disks=[{'partitions': [{'label': 'x' * 37, 'path': 'p'}]}]), '36'),
            (dict(good, disks=[{'partitions': [{'label': '\U0001f600' * 19, 'path': 'p'}]}]), '36'),
            (dict(good, disks=[{'partitions': [{'label': 'l'}]}]), 'path'),
            (dict(good, disks=[{'image': 'x'}] * 17), '/disks', '16')):
        refused(host, bad, files, OWN + 'InvalidConfig', *words)
    refused(host, '[' * 100000, files, OWN + 'InvalidConfig', 'more than 65536 bytes')
    refused(host, '[' * 50, files, OWN + 'InvalidConfig')


@with_host
def test_what_this_host_has_not_is_refused_by_name(host):
    good, files = host.config()
    for bad, *words in (
            (dict(good, protected=True), '/protected'),
            (dict(good, vsock='kernel'), '/vsock'),
            (dict(good, platform_version='~2.0'), '/platform_version', '~2.0'),
            (dict(good, disks=[{'writable': True,
                                'partitions': [{'label': 'mixed', 'path': 'p'}]}]), 'mixed')):
        refused(host, bad, files, STANDARD + 'NotSupported', *words)


@with_host
def test_files_are_checked(host):
    config, files = host.config()
    with_disk = dict(config, disks=[{'image': 'disk', 'writable': True}])
    refused(host, config, dict(files, extra='/dev/null'), OWN + 'InvalidFile', 'extra')
    refused(host, config, dict(files, kernel='/'), OWN + 'InvalidFile', 'kernel', 'directory')
    with tempfile.TemporaryFile() as image, tempfile.TemporaryFile() as empty:
        image.truncate(8192)
        read_only = os.open(f'/proc/self/fd/{image.fileno()}', os.O_RDONLY)
        write_only = os.open(f'/proc/self/fd/{image.fileno()}', os.O_WRONLY)
        path_only = os.open(f'/proc/self/fd/{image.fileno()}', os.O_PATH)
        left, right = socket.socketpair()
        for fd, word in ((read_only, 'reading and writing'), (path_only, 'reading and writing'),
                         (left.fileno(), 'a socket'), (empty.fileno(), 'empty')):
            refused(host, with_disk, dict(files, disk=fd), OWN + 'InvalidFile', 'disk', word)
        refused(host, config, dict(files, kernel=write_only), OWN + 'InvalidFile', 'kernel')
        for fd in (read_only, write_only, path_only):
            os.close(fd)
        left.close()
        right.close()
    missing = dict(files)
    del missing['initrd']
    vm = host.create(config, missing)
    try:
        vm.start()
        raise AssertionError('it started without its initrd')
    except dbus.DBusException as problem:
        assert problem.get_dbus_name() == OWN + 'InvalidFile' and 'initrd' in str(problem)
    refused(host, config, missing, OWN + 'InvalidFile', 'initrd', start=True)
    vm.methods.Kill()


@with_host
def test_add_files_takes_all_or_none(host):
    config, files = host.config(host.payload('probe'))
    vm = host.create(config, {})

    def add(**keys):
        fds = {key: os.open(path, os.O_RDONLY) for key, path in keys.items()}
        try:
            vm.methods.AddFiles(dbus.Dictionary(
                {key: dbus.types.UnixFd(fd) for key, fd in fds.items()}, signature='sh'))
            return ''
        except dbus.DBusException as problem:
            return problem.get_dbus_name()
        finally:
            for fd in fds.values():
                os.close(fd)
    assert add(kernel=files['kernel'], nobody=files['kernel']) == OWN + 'InvalidFile'
    assert add(kernel=files['kernel']) == ''
    assert add(kernel=files['kernel']) == OWN + 'InvalidFile'
    assert add(initrd=files['initrd'], payload=files['payload']) == ''
    vm.start()
    assert add(initrd=files['initrd']) == OWN + 'InvalidState'
    assert vm.death()['reason'] == 'shutdown'


@with_host
def test_partition_sizes_are_checked(host):
    config, files = host.config()
    with tempfile.TemporaryFile() as image:
        image.truncate(4096 + 512)
        disks = [{'writable': True,
                  'partitions': [{'label': 'odd', 'path': 'odd', 'writable': True}]}]
        refused(host, dict(config, disks=disks), dict(files, odd=image.fileno()),
                OWN + 'InvalidConfig', 'odd', '4608', '4096')


@with_host
def test_names_states_and_images_are_taken_once(host):
    config, files = host.config(host.payload('probe'), 'probe=wait', name='taken')
    with tempfile.TemporaryFile() as image:
        image.truncate(1 << 20)
        config['disks'].append({'image': 'disk', 'writable': True})
        files['disk'] = image.fileno()
        vm = host.create(config, files)
        refused(host, config, files, OWN + 'VmExists', 'taken')
        refused(host, dict(config, name='other'), files, OWN + 'ImageBusy', 'disk', "'taken'")
        vm.start()
        vm.wait_for('PayloadReady')
        for method, error in (('Start', 'InvalidState'), ('Resume', 'InvalidState'),
                              ('GetDeathRecord', 'InvalidState')):
            try:
                getattr(vm.methods, method)()
                raise AssertionError(method)
            except dbus.DBusException as problem:
                assert problem.get_dbus_name() == OWN + error, problem
                assert 'taken' in str(problem), problem
        vm.methods.Kill()
        vm.death()
        for method in ('Start', 'Stop', 'Kill', 'Suspend'):
            try:
                getattr(vm.methods, method)()
                raise AssertionError(method)
            except dbus.DBusException as problem:
                assert problem.get_dbus_name() == OWN + 'InvalidState', problem
        again = host.create(config, files)  # name and image are free again
        again.methods.Kill()


@with_host
def test_image_that_an_outsider_locks_is_busy(host):
    import fcntl
    import struct
    config, files = host.config(host.payload('probe'))
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(1 << 20)
        lock = struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(image.fileno(), 37, lock)  # F_OFD_SETLK
        writer = os.open(image.name, os.O_RDWR)
        config['disks'].append({'image': 'disk', 'writable': True})
        refused(host, config, dict(files, disk=writer), OWN + 'ImageBusy', start=True)
        os.close(writer)


@with_host
def test_options_and_arguments_are_checked(host):
    config, files = host.config()
    refused(host, config, files, STANDARD + 'InvalidArgs', 'colour', colour='red')
    refused(host, config, files, STANDARD + 'InvalidArgs', 'forever', lifetime='forever')
    refused(host, config, files, STANDARD + 'InvalidArgs', 'start', start='yes')
    refused(host, config, files, STANDARD + 'InvalidArgs', 'paused', paused=True)
    manager = host.bus.get_object(NAME, ROOT, introspect=False)
    for method, arguments, error in (
            ('GetVm', ('nobody',), OWN + 'NoSuchVm'), ('GetVm', (1,), STANDARD + 'InvalidArgs'),
            ('ListVms', (), STANDARD + 'InvalidArgs'),
            ('Explode', (), STANDARD + 'UnknownMethod')):
        try:
            manager.get_dbus_method(method, MANAGER)(*arguments)
            raise AssertionError(method)
        except dbus.DBusException as problem:
            assert problem.get_dbus_name() == error, (method, problem)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
