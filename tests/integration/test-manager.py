#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the Manager tells, checks without doing, and keeps: features, systems, instance ids."""
import json
import os
import pwd
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import MANAGER, NAME, ROOT, Suite, with_host  # noqa: E402

ID_SIZE = 64
OF_USER_MAX = 1024  # virtualizationd/instance-registry.h


def refused(call, *arguments):
    try:
        call(*arguments)
    except dbus.DBusException as problem:
        return problem.get_dbus_name().rsplit('.', 1)[1], str(problem)
    raise AssertionError(f'{call} was not refused')


def restart(host):
    host.daemon.kill()
    host.daemon.wait()
    host.start_daemon()


def files_of(files):
    return dbus.Dictionary({key: dbus.types.UnixFd(open(path, 'rb')) for key, path in
                            files.items()}, signature='sh')


@with_host
def test_features_are_those_of_the_capabilities(host):
    manager = host.manager()
    features = manager.GetCapabilities()['features']
    assert 'vsock-listen' in features and 'protected-vms' not in features, features
    assert all(manager.IsFeatureEnabled(name) for name in features)
    for name in ('protected-vms', 'no such feature', ''):
        assert not manager.IsFeatureEnabled(name), name


@with_host
def test_systems_are_directories_with_a_description(host):
    assert host.manager().GetSupportedOsList() == []
    for name, content in (('microguest', '{}'), ('debian-12', '{}'), ('no-description', None),
                          ('with space', '{}'), ('.hidden', '{}')):
        os.makedirs(f'{host.directory}/os/{name}')
        if content:
            with open(f'{host.directory}/os/{name}/os.json', 'w', encoding='ascii') as file:
                file.write(content)
    assert host.manager().GetSupportedOsList() == ['debian-12', 'microguest']


@with_host
def test_a_check_says_what_creation_and_start_would_and_makes_nothing(host):
    manager = host.manager()
    config, files = host.config(host.payload('probe'), name='checked')
    before = manager.GetLimits()['vms']
    fds = len(os.listdir(f'/proc/{host.daemon.pid}/fd'))
    manager.ValidateConfig(json.dumps(config), files_of(files))
    cases = [
        ('{"kernel": 1}', files, 'InvalidConfig', '/kernel'),
        (json.dumps(config), {'kernel': files['kernel'], 'initrd': files['initrd']}, 'InvalidFile',
         "'payload'"),
        (json.dumps(config), {**files, 'more': files['kernel']}, 'InvalidFile', "'more'"),
        (json.dumps({**config, 'memory_mib': 2**31 - 1}), files, 'InvalidConfig', 'memory'),
    ]
    for text, passed, kind, word in cases:
        found, sentence = refused(manager.ValidateConfig, text, files_of(passed))
        assert found == kind and word in sentence, (found, sentence)
    vm = host.create(config, files)
    assert refused(manager.ValidateConfig, json.dumps(config), files_of(files))[0] == 'VmExists'
    vm.methods.Kill()
    vm.wait_for('Died')
    assert manager.ListVms(True) == [entry for entry in manager.ListVms(True)
                                     if entry[0] == vm.path]
    assert manager.GetLimits()['vms'] == before
    assert len(os.listdir(f'/proc/{host.daemon.pid}/fd')) <= fds + 1  # the dead VM's timer


@with_host
def test_instance_ids_are_kept_over_the_daemons_end(host):
    first, second = (bytes(host.manager().AllocateInstanceId()) for _ in range(2))
    assert len(first) == len(second) == ID_SIZE and first != second
    names = os.listdir(f'{host.directory}/state/instances')
    assert sorted(names) == sorted([first.hex(), second.hex()]), names
    restart(host)
    host.manager().RemoveInstance(dbus.ByteArray(first))
    assert refused(host.manager().RemoveInstance, dbus.ByteArray(first))[0] == 'NoSuchInstance'
    restart(host)
    assert refused(host.manager().RemoveInstance, dbus.ByteArray(first))[0] == 'NoSuchInstance'
    host.manager().RemoveInstance(dbus.ByteArray(second))
    assert os.listdir(f'{host.directory}/state/instances') == []


@with_host
def test_an_instance_from_elsewhere_can_be_claimed(host):
    foreign = os.urandom(ID_SIZE)
    host.manager().ClaimInstance(dbus.ByteArray(foreign))
    host.manager().ClaimInstance(dbus.ByteArray(foreign))
    restart(host)
    host.manager().RemoveInstance(dbus.ByteArray(foreign))
    for size in (0, 1, 63, 65, 4096):
        kind, sentence = refused(host.manager().ClaimInstance, dbus.ByteArray(bytes(size)))
        assert kind == 'InvalidArgs' and str(size) in sentence, (kind, sentence)


def as_user(host, name, method, instance=None):
    """(whether it went well, what was printed)"""
    entry = pwd.getpwnam(name)
    argument = [] if instance is None else ['ay', str(len(instance)), *map(str, instance)]
    done = subprocess.run(
        ['setpriv', f'--reuid={entry.pw_uid}', f'--regid={pwd.getpwnam("virtualizationd").pw_gid}',
         f'--groups={pwd.getpwnam("virtualizationd").pw_gid}', 'busctl', f'--address={host.address}',
         'call', NAME, ROOT, MANAGER, method, *argument], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@with_host
def test_an_instance_is_its_owners(host):
    # Members of the daemon's group may create, and are themselves for the rest.
    done, output = as_user(host, 'daemon', 'AllocateInstanceId')
    assert done, output
    instance = bytes(map(int, output.split()[2:]))
    assert len(instance) == ID_SIZE
    for method, word in (('ClaimInstance', 'Access denied'), ('RemoveInstance', 'no such instance')):
        done, output = as_user(host, 'bin', method, instance)
        assert not done and word in output, output
    # Nobody can tell by a refusal whether an instance is there.
    assert as_user(host, 'bin', 'RemoveInstance', os.urandom(ID_SIZE))[1] == output
    assert as_user(host, 'daemon', 'ClaimInstance', instance)[0]
    host.manager().ClaimInstance(dbus.ByteArray(instance))  # root may
    assert not as_user(host, 'daemon', 'RemoveInstance', instance)[0]
    host.manager().RemoveInstance(dbus.ByteArray(instance))


@with_host
def test_instances_have_a_limit_and_what_is_none_is_left_alone(host):
    manager = host.manager()
    ids = [bytes(manager.AllocateInstanceId()) for _ in range(OF_USER_MAX)]
    kind, sentence = refused(manager.AllocateInstanceId)
    assert kind == 'LimitsExceeded' and str(OF_USER_MAX) in sentence, (kind, sentence)
    manager.RemoveInstance(dbus.ByteArray(ids.pop()))
    ids.append(bytes(manager.AllocateInstanceId()))
    directory = f'{host.directory}/state/instances'
    for name, content in (('readme', b'text'), ('ab' * ID_SIZE, b'damaged'), ('.unfinished', b'')):
        with open(f'{directory}/{name}', 'wb') as file:
            file.write(content)
    restart(host)
    assert refused(host.manager().AllocateInstanceId)[0] == 'LimitsExceeded'
    assert refused(host.manager().RemoveInstance,
                   dbus.ByteArray(bytes.fromhex('ab' * ID_SIZE)))[0] == 'NoSuchInstance'
    assert os.path.exists(f'{directory}/readme')
    host.manager().RemoveInstance(dbus.ByteArray(ids[0]))


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
