#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""AVF's tests of its API and of a VM's life (packages/modules/Virtualization: tests/testapk's
MicrodroidTests, MicrodroidCapabilitiesTest, tests/hostside's MicrodroidHostTests), each under AVF's
name, as far as they apply to raw configurations: what AVF asks of the object VirtualMachine is asked
of the bus object, and its payload's RPC service is the probe's echo.

What is not here, and what it waits for:

| AVF's test | waits for |
| --- | --- |
| extraApk, extraApkInVmConfig, validApkPathIsAccepted, testStartVmWithPayloadOfAnotherApp | APKs of app configurations |
| testPathToBinaryIsRejected, bootFailsWhenBinaryNameIsInvalid, ...MissingEntryFunction, ...TriesToLinkAgainstPrivateLibs | "binary" of app configurations: a raw VM's payload is a file in its partition |
| bootFailsWhenConfigIsInvalid | "config_path" of app configurations |
| bootFailsWhenApkPathIsInvalid, ...ExtraApkPackageIsInvalid | APKs of app configurations |
| compatibleConfigTests | a configuration that is changed between two runs of an instance: app configurations |
| createAndRunNoDebugVm with its output hidden | "debug_level" of app configurations |
| importedVm..., testShareVmWithAnotherApp..., testVmDescriptorParcelUnparcel..., vmDescriptorClosedOnImport, autoCloseVmDescriptor | instances that are exported: identity and encrypted storage |
| vmFilesStoredInDeDir..., ...CeDir..., deleteVmFiles, differentManagersForDifferentContexts | nothing: files are the client's here, the service keeps none |
| configuringVendorDiskImage..., configuringNetworkSupported..., bootsWith...VendorPartition, bootsWithNetworkSupported | vendor partitions and networks |
| testMicrodroidBoots, testGkiVersions | Microdroid as a guest of app configurations |
| testHugePages, testDeviceAssignment | huge pages and assigned devices |
| kernelVersionRequirement | nothing: AVF asks it of the phone's kernel, not the guest's |
"""
import json
import os
import pwd
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import Host, NAME, PROPERTIES, Suite, VM, wait_until, with_host  # noqa: E402
from wire import Wire  # noqa: E402

OWN = 'org.virtualizationd1.Error.'
STANDARD = 'org.freedesktop.DBus.Error.'


def error_of(function, *arguments):
    """The error's name and sentence."""
    try:
        function(*arguments)
    except dbus.DBusException as problem:
        return problem.get_dbus_name(), problem.get_dbus_message()
    return None, 'no error'


def check_refused(name, function, *arguments):
    found, sentence = error_of(function, *arguments)
    assert found == name, (found, sentence)
    return sentence


def state_of(host, path):
    return str(host.bus.get_object(NAME, path, introspect=False).Get(
        VM, 'State', dbus_interface=PROPERTIES))


def states_seen(vm):
    return [str(arguments[0]) for _, name, arguments in vm.events if name == 'property:State']


def echo(vm, text, port=5000):
    with socket.socket(fileno=vm.methods.ConnectVsock(dbus.UInt32(port)).take()) as stream:
        stream.settimeout(120)
        stream.sendall(text)
        stream.shutdown(socket.SHUT_WR)
        answer = b''
        while len(answer) < len(text):
            answer += stream.recv(4096) or exit('the stream has ended')
        return answer


def start(host, mode, **more):
    return host.create(*host.config(host.payload('probe'), f'probe={mode}', **more), start=True)


def start_ready(host, mode, **more):
    vm = start(host, mode, **more)
    vm.wait_for('PayloadReady')
    return vm


def create_and_connect(host, **more):
    vm = start_ready(host, 'echo:5000', **more)
    assert echo(vm, b'addInteger') == b'addInteger'
    vm.methods.Stop()
    assert vm.death()['reason'] == 'shutdown'


@with_host
def test_createAndConnectToVm(host):
    create_and_connect(host)


@with_host
def test_createAndConnectToVm_HostCpuTopology(host):
    vm = host.create(*host.config(cpu_topology='match_host'))
    assert vm.get('Cpus') == len(os.sched_getaffinity(0)), vm.get('Cpus')
    vm.methods.Kill()
    create_and_connect(host, cpu_topology='match_host')


@with_host
def test_createAndRunNoDebugVm(host):
    """No output of any kind is taken, and it runs all the same."""
    config, files = host.config(host.payload('probe'), 'probe=wait')
    fds = {key: os.open(path, os.O_RDONLY) for key, path in files.items()}
    path = host.manager().CreateVm(
        json.dumps(config), dbus.Dictionary({key: dbus.types.UnixFd(fd) for key, fd in fds.items()},
                                            signature='sh'),
        dbus.Dictionary({'start': True}, signature='sv'))
    for fd in fds.values():
        os.close(fd)
    wait_until(lambda: state_of(host, path) == 'ready', 'the payload')


@with_host
def test_vmLifecycleChecks(host):
    vm = host.create(*host.config(host.payload('probe'), 'probe=wait'))
    files = dbus.Dictionary({'extra': dbus.types.UnixFd(0)}, signature='sh')
    assert vm.get('State') == 'not-started' and vm.get('Pid') == 0
    check_refused(OWN + 'InvalidState', vm.methods.Suspend)
    check_refused(OWN + 'InvalidState', vm.methods.ConnectVsock, dbus.UInt32(5000))
    vm.start()
    check_refused(OWN + 'InvalidState', vm.methods.Start)
    vm.wait_for('PayloadReady')
    check_refused(OWN + 'InvalidState', vm.methods.Start)
    # Nothing of it is changed while it runs.
    check_refused(OWN + 'InvalidState', vm.methods.AddFiles, files)
    check_refused(OWN + 'InvalidState', vm.methods.GetDeathRecord)
    vm.methods.Stop()
    assert vm.death()['reason'] == 'shutdown'
    # "Started" may be too short to be seen alone; a state is told again with what goes with it.
    seen = list(dict.fromkeys(state for state in states_seen(vm) if state != 'started'))
    assert seen == ['starting', 'ready', 'stopping', 'dead'], seen
    for method in ('Start', 'Stop', 'Kill', 'Suspend', 'Resume'):
        check_refused(OWN + 'InvalidState', getattr(vm.methods, method))
    check_refused(OWN + 'InvalidState', vm.methods.AddFiles, files)


@with_host
def test_autoCloseVm(host):
    """A VM ends with its client's handle, which here is the connection."""
    client = host.connect()
    config, files = host.config(host.payload('probe'), 'probe=wait')
    running = host.create(config, files, bus=client, start=True)
    idle = host.create(config, files, bus=client)
    gone = host.create(config, files, bus=client)
    gone.methods.Kill()  # the end of the handle is harmless then
    wait_until(lambda: state_of(host, running.path) == 'ready', 'the payload')
    client.close()
    for vm in (running, idle, gone):
        wait_until(lambda: state_of(host, vm.path) == 'dead', f'the end of {vm.path}')
    record = host.bus.get_object(NAME, running.path, introspect=False).GetDeathRecord(
        dbus_interface=VM)
    assert record['reason'] == 'killed' and record['initiator'] == 'client', record


@with_host
def test_connectVsock(host):
    vm = start_ready(host, 'echo:5000')
    sent = os.urandom(300000)
    assert echo(vm, sent) == sent
    # Ports that the guest system has for itself, and one where nobody listens.
    check_refused(STANDARD + 'InvalidArgs', vm.methods.ConnectVsock, dbus.UInt32(1023))
    check_refused(OWN + 'ConnectionRefused', vm.methods.ConnectVsock, dbus.UInt32(5001))
    check_refused(OWN + 'ConnectionRefused', vm.methods.ConnectVsock, dbus.UInt32(2 ** 32 - 2))
    assert echo(vm, b'more than once') == b'more than once'
    vm.methods.Kill()
    vm.death()
    check_refused(OWN + 'InvalidState', vm.methods.ConnectVsock, dbus.UInt32(5000))


@with_host
def test_binderCallbacksWork(host):
    """Both ways on the guest link: the guest calls the host, and the host's words come to it."""
    vm = start_ready(host, 'echo:5000')
    assert [name for name in vm.names() if name.startswith('Payload')] == ['PayloadStarted',
                                                                           'PayloadReady']
    assert echo(vm, b'callback') == b'callback'
    vm.methods.Stop()  # which the guest manager is told on its own connection
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['stop-step'] == 'guest', record
    vm = start(host, 'exit:7')
    assert vm.wait_for('PayloadFinished')[1] == 7, vm.events
    assert vm.death()['payload-exit-code'] == 7


@with_host
def test_vmmGetAndCreate(host):
    check_refused(OWN + 'NoSuchVm', host.manager().GetVm, 'test_vm')
    vm = host.create(*host.config(name='test_vm'))
    assert host.manager().GetVm('test_vm') == vm.path
    check_refused(OWN + 'VmExists', lambda: host.create(*host.config(name='test_vm')))
    vm.methods.Kill()
    other = host.create(*host.config(name='test_vm'))  # the name of a dead one is free
    assert host.manager().GetVm('test_vm') == other.path != vm.path
    other.methods.Kill()


@with_host
def test_sameInstancesShareTheSameVmObject(host):
    vm = host.create(*host.config(name='shared'))
    other = host.connect()
    manager = host.manager(other)
    assert manager.GetVm('shared') == manager.GetVm(str(vm.get('Id'))) == vm.path
    other.close()
    assert vm.get('State') == 'not-started'  # who only looked takes nothing along
    vm.methods.Kill()


def test_deleteVm(suite):
    host = Host(suite.build, config='DeathRecordSec=0\n')
    try:
        vm = host.create(*host.config(name='deleted'))
        vm.methods.Kill()
        wait_until(lambda: not host.manager().ListVms(True), 'it to be forgotten')
        check_refused(OWN + 'NoSuchVm', host.manager().GetVm, 'deleted')
        found, _ = error_of(vm.methods.Kill)
        assert found == STANDARD + 'UnknownMethod' or found == STANDARD + 'UnknownObject', found
        host.create(*host.config(name='deleted')).methods.Kill()
    finally:
        status, left = host.close()
        assert not left, left
        assert status == 0, status


@with_host
def test_invalidVmNameIsRejected(host):
    for name in ('../foo', 'foo/bar', '/', '..', '.', '', 'a\0b', 'a\nb', 'x' * 65):
        sentence = check_refused(OWN + 'InvalidConfig',
                                 lambda name=name: host.create(*host.config(name=name)))
        assert '/name' in sentence, sentence
    assert not host.manager().ListVms(True)


@with_host
def test_vmConfigGetAndSetTests(host):
    config, files = host.config(name='config', memory_mib=96)
    text = json.dumps(config, indent=3)
    vm = host.create(text, files)
    assert vm.methods.GetConfig() == text
    assert (vm.get('Name'), vm.get('Memory'), vm.get('Protected'), vm.get('Cpus')) == (
        'config', 96 << 20, False, 1)
    assert vm.get('Owner') == 0 and vm.get('CreatedAt') > 0 and vm.get('StartedAt') == 0
    assert vm.get('Vmm') == 'qemu' and vm.get('DeathReason') == ''
    vm.methods.Kill()


@with_host
def test_vmConfigBuilderValidationTests(host):
    good, files = host.config()
    for key, value in (('memory_mib', 0), ('memory_mib', -1), ('cpu_topology', 'three'),
                       ('protected', 'no'), ('kernel', ''), ('params', 5), ('disks', 'none'),
                       ('payload_timeout_ms', -1), ('unknown', True)):
        sentence = check_refused(OWN + 'InvalidConfig', lambda key=key, value=value:
                                 host.create(dict(good, **{key: value}), files))
        assert f'/{key}' in sentence, sentence
    sentence = check_refused(OWN + 'InvalidConfig', lambda: host.create(
        {key: value for key, value in good.items() if key not in ('kernel', 'initrd', 'params')},
        {}))
    assert 'kernel' in sentence, sentence


@with_host
def test_bootFailsWhenLowMem(host):
    """With the least of memory the kernel does not even get to its panic: then it is AVF's limit for
    a guest that does not report which ends the VM."""
    for memory_mib in (10, 20, 40):
        vm = start(host, 'wait', memory_mib=memory_mib, payload_timeout_ms=10000)
        record = vm.death()
        assert record['reason'] in ('crash', 'reboot', 'hangup'), (memory_mib, record)
        assert not {'PayloadStarted', 'PayloadReady'} & set(vm.names()), vm.events


@with_host
def test_testTelemetryPushedAtoms(host):
    """AVF pushes VmCreationRequested, VmBooted and VmExited: here they are events and the record."""
    vm = start_ready(host, 'wait', name='telemetry')
    os.kill(vm.get('Pid'), signal.SIGKILL)
    record = vm.death()
    assert record['reason'] == 'killed' and record['vmm-signal'] == signal.SIGKILL, record
    assert record['created'] <= record['started'] <= record['died'], record
    assert record['created'] == vm.get('CreatedAt') and record['started'] == vm.get('StartedAt')
    events = [(int(number), str(name), details) for vm_id, number, name, details in
              host.manager().GetEvents(dbus.Dictionary({}, signature='st'))
              if vm_id == vm.get('Id')]
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1)), events
    assert [name for _, name, _ in events] == ['created', 'start', 'running', 'payload-started',
                                               'payload-ready', 'died'], events
    assert events[-1][2]['reason'] == 'killed', events
    times = [int(details['time']) for _, _, details in events]
    assert times == sorted(times) and times[0] == record['created'], times


@with_host
def test_MicrodroidCapabilitiesTest(host):
    """At least one kind of VM, and one that is not there is refused by name."""
    capabilities = host.manager().GetCapabilities()
    kinds = {False: bool(capabilities['non-protected-vms']),
             True: bool(capabilities['protected-vms'])}
    assert any(kinds.values()), capabilities
    for protected, there in kinds.items():
        config, files = host.config(protected=protected)
        if there:
            vm = host.create(config, files)
            assert vm.get('Protected') == protected
            vm.methods.Kill()
        else:
            sentence = check_refused(STANDARD + 'NotSupported', host.create, config, files, host.bus)
            assert '/protected' in sentence, sentence


def call_as_stranger(host, *call):
    """The error and the body of the answer to a call by a user who has no right to anything."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            user = pwd.getpwnam('nobody')
            os.setgroups([])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            wire = Wire(f'{host.directory}/bus')
            wire.call(*call)
            (_, error, body), = wire.wait()
            os.write(writer, json.dumps([error, body.decode(errors='replace')]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, 'rb') as file:
        answer = json.loads(file.read())
    os.waitpid(pid, 0)
    return answer


@with_host
def test_createVmWithConfigRequiresPermission(host):
    error, said = call_as_stranger(host, '/org/virtualizationd1', 'org.virtualizationd1.Manager',
                                   'CreateVm', 'sa{sh}a{sv}', ('{"kernel": "kernel"}', [], []))
    assert error == STANDARD + 'AccessDenied', (error, said)
    assert 'org.virtualizationd1.create-custom' in said, said
    assert not host.manager().ListVms(True)


@with_host
def test_testVmWithoutPermission(host):
    """A VM of somebody else's: its properties are public, and nothing else is."""
    vm = start_ready(host, 'echo:5000')
    for method, signature, values in (
            ('Stop', '', ()), ('Kill', '', ()), ('GetConfig', '', ()), ('Suspend', '', ()),
            ('ConnectVsock', 'u', (5000,)), ('OpenConsole', 's', ('read-only',))):
        error, said = call_as_stranger(host, vm.path, VM, method, signature, values)
        assert error == STANDARD + 'AccessDenied', (method, error, said)
        assert 'org.virtualizationd1.' in said, (method, said)
    error, _ = call_as_stranger(host, vm.path, PROPERTIES, 'Get', 'ss', (VM, 'State'))
    assert error is None
    assert vm.get('State') == 'ready' and echo(vm, b'undisturbed') == b'undisturbed'
    vm.methods.Kill()
    vm.death()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
