#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""VMs of apps: their configuration, the operating system of the host that they run on, and what is
checked before it runs. The system is a made-up one, whose guest says what disks it sees."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from apps import App, MIB, System  # noqa: E402
from harness import Host, Suite, wait_until  # noqa: E402
from tool import Tool  # noqa: E402


def with_app(function):
    """With a system and an app, and nothing left of any VM."""
    def run(suite):
        host = Host(suite.build)
        try:
            os.makedirs(f'{host.directory}/app')
            function(host, System(host), App(host, f'{host.directory}/app'))
            if host.daemon.poll() is None:
                host.kill_vms()
            assert not host.directories_in_use(), host.directories_in_use()
        finally:
            status, left = host.close()
            assert not left, left
            assert status == 0, status
    return run


def create(host, app, config, files=None, **options):
    opened = app.open(config) if files is None else files
    try:
        return host.create(config, {key: file.fileno() for key, file in opened.items()}, **options)
    finally:
        for file in opened.values():
            file.close()


def fds(**files):
    return dbus.Dictionary({key: dbus.types.UnixFd(file.fileno()) for key, file in files.items()},
                           signature='sh')


def fd_count(host):
    return len(os.listdir(f'/proc/{host.daemon.pid}/fd'))


def refused(kind, words, function, *arguments, **options):
    try:
        result = function(*arguments, **options)
    except dbus.DBusException as problem:
        assert problem.get_dbus_name().endswith('.' + kind), (words, problem)
        for word in words:
            assert word in str(problem), (word, str(problem))
        return
    raise AssertionError(f'{words}: {result}')


def not_created(host, app, config, kind, *words, **options):
    before, n_vms = fd_count(host), len(host.manager().ListVms(True))
    refused(kind, words, create, host, app, config, **options)
    assert len(host.manager().ListVms(True)) == n_vms
    wait_until(lambda: fd_count(host) <= before, 'the daemon to close what it has opened')


HEX_ID = '00112233445566778899aabbccddeeff' * 4
AVF_ORDER = ['vda1 vbmeta_a ro', 'vda2 super ro', 'vda3 payload ro', 'vdb1 vm-instance rw',
             'vdb2 encryptedstore rw', 'vdc1 payload-metadata ro', 'vdc2 microdroid-apex-0 ro',
             'vdc3 microdroid-apex-1 ro', 'vdc4 microdroid-apk ro', 'vdc5 microdroid-apk-idsig ro',
             'vdc6 extra-apk-0 ro', 'vdc7 extra-idsig-0 ro', 'vdc8 extra-apk-1 ro',
             'vdc9 extra-idsig-1 ro']


def partitions_of(vm):
    """Label -> size and first bytes, as the guest sees them; and their places."""
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 0, record
    lines = [line.split(' ') for line in vm.wait_for_output_end().decode().splitlines()]
    return ({line[1]: (int(line[3]), bytes.fromhex(line[4])) for line in lines},
            [' '.join(line[:3]) for line in lines])


@with_app
def test_the_guest_finds_the_disks_of_avf(host, system, app):
    extra = [('a0', 4097), ('s0', 8192), ('a1', 511), ('s1', 1), ('m0', 5000), ('m1', 3)]
    for name, size in extra:
        with open(app.path(name), 'wb') as file:
            file.write(name.encode() * size)
    app.make_partition('storage', 'encryptedstore', MIB)
    config = app.config({
        'encrypted_storage': 'storage', 'extra_apks': [{'apk': 'a0', 'idsig': 's0'},
                                                       {'apk': 'a1', 'idsig': 's1'}],
        'apexes': [{'name': 'com.example.one', 'image': 'm0'},
                   {'name': 'com.example.two', 'image': 'm1'}]}, name='app')
    vm = create(host, app, config)
    assert vm.get('Memory') == 128 * MIB  # the system's
    assert str(vm.methods.GetConfig()) == json.dumps(config)
    vm.start()
    found, order = partitions_of(vm)
    assert order == AVF_ORDER, order
    for label, name in (('extra-apk-0', 'a0'), ('extra-idsig-1', 's1'), ('microdroid-apex-1', 'm1'),
                        ('microdroid-apk', 'apk'), ('microdroid-apk-idsig', 'idsig'),
                        ('vm-instance', 'instance'), ('encryptedstore', 'storage')):
        with open(app.path(name), 'rb') as file:
            data = file.read()
        size, beginning = found[label]
        assert len(data) <= size <= len(data) + 4095, (label, size, len(data))
        assert beginning == data[:32].ljust(32, b'\0'), label
    for label, name in (('vbmeta_a', 'vbmeta.img'), ('super', 'super.img')):
        with open(system.path(name), 'rb') as file:
            assert found[label][1] == file.read(32), label


@with_app
def test_the_metadata_is_the_tools(host, _system, app):
    """Of a program in the APK and of a config, which names extra APKs itself."""
    for name in ('a0', 's0'):
        with open(app.path(name), 'wb') as file:
            file.write(b'x')
    for payload, options in (({'binary': 'libmain.so'}, ['--binary=libmain.so', '--extra-apks=1']),
                             ({'binary': None, 'config_path': 'assets/vm_config.json'},
                              ['--config=/mnt/apk/assets/vm_config.json'])):
        with Tool(Suite()) as tool:
            tool.ok('payload', 'metadata', *options, 'metadata')
            expected = tool.read('metadata')
        vm = create(host, app, app.config({'extra_apks': [{'apk': 'a0', 'idsig': 's0'}],
                                           **payload}), start=True)
        size, beginning = partitions_of(vm)[0]['payload-metadata']
        assert size == 4096
        assert beginning == expected.ljust(32, b'\0')[:32], (beginning, expected)


@with_app
def test_a_system_gives_what_a_configuration_leaves_out(host, system, app):
    system.describe('exit', memory_mib=96)
    other = System(host, 'other', 'answer:of-another')
    other.describe('answer:of-another')
    vm = create(host, app, app.config(), start=True)
    assert vm.get('Memory') == 96 * MIB
    assert vm.death()['payload-exit-code'] == 0
    vm = create(host, app, app.config({'os': 'other', 'debug_level': 'full'}, memory_mib=160),
                start=True)
    assert vm.get('Memory') == 160 * MIB
    vm.death()
    assert vm.wait_for_output_end() == b'answer of-another\n'
    assert list(host.manager().GetSupportedOsList()) == ['microguest', 'other']
    assert host.manager().IsFeatureEnabled('app-configurations')
    assert 'app-configurations' in host.manager().GetCapabilities()['features']


@with_app
def test_a_bad_configuration_is_refused_by_field(host, system, app):
    create(host, app, app.config()).methods.Kill()  # the first death makes a timer
    for payload, *words in (
            ({'apk': None}, '/payload', "'apk' is missing"),
            ({'idsig': None}, '/payload', "'idsig' is missing", 'CreateOrUpdateIdsig'),
            ({'instance_image': None}, '/payload', 'InitializeWritablePartition'),
            ({'instance_id': None}, '/payload', 'AllocateInstanceId'),
            ({'binary': None}, '/payload', 'not by neither'),
            ({'config_path': 'c.json'}, '/payload', 'not by both'),
            ({'binary': 'lib/x'}, '/payload/binary', "'lib/x' is a path"),
            ({'binary': None, 'config_path': '/c'}, '/payload/config_path', "'/c'", 'in it'),
            ({'instance_id': 'ff'}, '/payload/instance_id', '128 hex digits'),
            ({'os': 'none'}, '/payload/os', "'none'", 'GetSupportedOsList'),
            ({'os': '../microguest'}, '/payload/os', 'a name has'),
            ({'debug_level': 'app'}, '/payload/debug_level', "'app'", "'full'"),
            ({'apk': 'host:kernel'}, '/payload/apk', "'host:kernel'", "'./host:kernel'"),
            ({'task': 'x'}, '/payload/task', 'unknown key'),
            ({'idsig': 'instance'}, "'instance' is used twice"),
            ({'extra_apks': [{'apk': 'x', 'idsig': 'y'}] * 51}, '/payload/extra_apks', '50')):
        not_created(host, app, app.config(payload), 'InvalidConfig', *words, files={})
    for key, value in (('kernel', 'k'), ('initrd', 'i'), ('bootloader', 'b'), ('params', 'quiet'),
                       ('disks', [{'image': 'x'}])):
        not_created(host, app, app.config(**{key: value}), 'InvalidConfig', f'/{key}',
                    'leave it out', files={})
    not_created(host, app, app.config(protected=True), 'NotSupported', '/protected', files={})
    not_created(host, app, app.config({'instance_id': HEX_ID}), 'NoSuchInstance',
                '/payload/instance_id', 'AllocateInstanceId', files={})
    system.describe(memory_mib=2**31 - 1)
    not_created(host, app, app.config(), 'InvalidConfig', '/memory_mib', files={})


@with_app
def test_files_are_the_clients_but_for_the_hosts(host, _system, app):
    create(host, app, app.config()).methods.Kill()
    before = fd_count(host)
    vm = create(host, app, app.config(), files={})
    with open(app.path('apk'), 'rb') as apk, open(app.path('instance'), 'rb') as instance:
        for key in ('host:kernel', 'host:payload-metadata', 'host:disk:super', 'kernel'):
            refused('InvalidFile', [key, 'names no file'], vm.methods.AddFiles, fds(**{key: apk}))
        refused('InvalidFile', ["'instance'", 'reading and writing'], vm.methods.AddFiles,
                fds(instance=instance))
        refused('InvalidFile', ["'instance'", 'was not passed'], vm.start)
        vm.methods.AddFiles(fds(apk=apk, idsig=apk))
    vm.methods.Kill()
    wait_until(lambda: fd_count(host) <= before + 1, 'the daemon to close the files')


@with_app
def test_an_image_is_one_vms(host, system, app):
    system.describe('wait')
    vm = create(host, app, app.config(name='first'), start=True)
    vm.wait_for('PayloadReady')
    not_created(host, app, app.config(), 'ImageBusy', "'instance'", "'first'")
    vm.methods.Kill()
    vm.death()


@with_app
def test_a_system_that_is_broken_is_refused_by_file(host, system, app):
    config = app.config()
    create(host, app, config).methods.Kill()
    for name in ('vmlinux', 'initrd_normal.img', 'vbmeta.img', 'super.img', 'os.json'):
        os.rename(system.path(name), system.path('away'))
        not_created(host, app, config, 'ImageInvalid', "'microguest'", f'microguest/{name}',
                    'install it again', files={})
        os.rename(system.path('away'), system.path(name))
        os.chmod(system.path(name), 0o666)
        not_created(host, app, config, 'ImageInvalid', f'microguest/{name}', 'chmod go-w', files={})
        os.chmod(system.path(name), 0o644)
        os.chown(system.path(name), 12345, 0)
        not_created(host, app, config, 'ImageInvalid', f'microguest/{name}', 'uid 12345', files={})
        os.chown(system.path(name), 0, 0)
    system.write('os.json', b'{"kernel": 1}')
    not_created(host, app, config, 'ImageInvalid', 'os.json', '/kernel', 'expected string', files={})


# --- what is checked before the first VM of a system ---

def not_started(host, app, words, **payload):
    """Neither by CreateVm, which leaves nothing, nor by Start, after which the VM is dead."""
    config = app.config(payload)
    before = fd_count(host)
    not_created(host, app, config, 'ImageInvalid', *words, start=True)
    vm = create(host, app, config)
    refused('ImageInvalid', words, vm.start)
    record = vm.death()
    assert record['reason'] == 'start-failed' and record['initiator'] == 'host', record
    assert all(word in record['message'] for word in words), record
    wait_until(lambda: fd_count(host) <= before + 1, 'the daemon to close what it has opened')


@with_app
def test_what_does_not_match_vbmeta_is_not_booted(host, system, app):
    create(host, app, app.config()).methods.Kill()
    install = "'microguest' is not what was signed, install it again"
    for name, offset, *words in (
            ('vmlinux', -1, 'kernel: ', 'was altered'), ('vmlinux', 0, 'kernel: ', 'was altered'),
            ('initrd_normal.img', 1000, 'initrd: ', 'was altered'),
            ('vbmeta.img', 260, 'vbmeta: ', 'was altered'),
            ('vbmeta.img', 256 + 64, 'vbmeta: '), ('vbmeta.img', 0, 'vbmeta: ', "'AVB0'")):
        system.flip(name, offset)
        not_started(host, app, [install, *words])
        system.flip(name, offset)
    with open(system.path('vmlinux'), 'ab') as file:
        file.write(b'x')
    not_started(host, app, [install, 'kernel: ', 'bytes, and vbmeta has the hash of'])
    os.truncate(system.path('vmlinux'), os.path.getsize(system.path('vmlinux')) - 1)
    system.sign('--flags=2')
    not_started(host, app, [install, 'vbmeta: ', 'switch verification off'])
    system.sign(key='rsa-4096.pem')  # whose key it is the guest says
    assert create(host, app, app.config(), start=True).death()['payload-exit-code'] == 0


@with_app
def test_each_debug_level_has_its_own_check(host, system, app):
    system.flip('initrd_debug.img')
    not_started(host, app, ['initrd: ', "'initrd_debug' was altered"], debug_level='full')
    assert create(host, app, app.config(), start=True).death()['payload-exit-code'] == 0
    # What was found good is not, once it is another file.
    system.flip('vmlinux')
    not_started(host, app, ['kernel: '])


def start_without_waiting(vm):
    """Calls Start; returns a list that gets None, or the error."""
    answers = []
    vm.methods.Start(reply_handler=lambda: answers.append(None), error_handler=answers.append)
    return answers


@with_app
def test_many_wait_for_one_check(host, system, app):
    system.describe('exit')
    apps, vms = [], []
    for number in range(6):
        directory = f'{host.directory}/app{number}'
        os.makedirs(directory)
        apps.append(App(host, directory))
        vms.append(create(host, apps[-1], apps[-1].config()))
    answers = [start_without_waiting(vm) for vm in vms]
    # While they wait they are as good as started, and can be ended.
    with open(app.path('apk'), 'rb') as apk:
        refused('InvalidState', ['started'], vms[0].methods.AddFiles, fds(apk=apk))
    refused('InvalidState', ['started'], vms[0].methods.Start)
    vms[1].methods.Kill()
    wait_until(lambda: all(answers), 'all answers')
    assert [len(answer) for answer in answers] == [1] * 6
    assert vms[1].death()['reason'] == 'killed'
    for vm, answer in zip(vms, answers):
        if vm is not vms[1]:
            assert answer == [None], answer
            assert vm.death()['payload-exit-code'] == 0


@with_app
def test_a_client_that_goes_while_it_waits_leaves_nothing(host, _system, app):
    bus = host.connect()
    vm = create(host, App(host, app.directory, bus), app.config(), bus=bus)
    start_without_waiting(vm)
    bus.flush()
    bus.close()
    wait_until(lambda: not host.manager().ListVms(False), 'the end of the VM')
    create(host, app, app.config(), start=True).death()


@with_app
def test_sigterm_while_a_vm_waits_is_an_end(host, _system, app):
    vm = create(host, app, app.config())
    answers = start_without_waiting(vm)
    host.bus.flush()
    host.stop_daemon()
    assert host.daemon.returncode == 0
    wait_until(lambda: answers, 'the answer')
    host.start_daemon()
    host.kill_vms()  # if it was faster


# --- over the daemon's end ---

@with_app
def test_a_new_daemon_finds_an_app_again(host, system, app):
    """Even if its system is gone."""
    system.describe('wait', memory_mib=144)
    app.make_partition('storage', 'encryptedstore', MIB)
    config = app.config({'encrypted_storage': 'storage'}, name='kept', balloon=True)
    vm = create(host, app, config, start=True, lifetime='detached')
    vm.wait_for('PayloadReady')
    before = {name: vm.get(name) for name in ('State', 'Memory', 'Cpus', 'Cid', 'Owner', 'Name')}
    assert before['Memory'] == 144 * MIB
    os.rename(system.directory, f'{host.directory}/away')
    host.daemon.kill()
    host.daemon.wait()
    host.start_daemon()
    assert {name: vm.get(name) for name in before} == before
    os.rename(f'{host.directory}/away', system.directory)
    for config in (app.config(), app.config({'instance_image': 'storage'})):
        not_created(host, app, config, 'ImageBusy', "'kept'")
    with open(system.path('super.img'), 'r+b') as file:
        refused('ImageBusy', ["'kept'"], host.manager().InitializeWritablePartition,
                dbus.types.UnixFd(file.fileno()), dbus.types.UInt64(MIB), 'raw')
    limits = host.manager().GetLimits()
    assert limits['memory'][0] == 144 * MIB, limits['memory']
    vm.methods.SetMemoryBalloon(dbus.types.UInt64(16 * MIB))
    vm.methods.Kill()
    assert vm.death()['reason'] == 'killed'


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
