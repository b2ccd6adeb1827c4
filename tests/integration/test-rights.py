#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what: owners, root, others by polkit or, without it, by group; and the bus policy."""
import os
import pwd
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
import harness  # noqa: E402
from polkit import start_polkit  # noqa: E402
from harness import (MANAGER, NAME, ROOT, Suite, VM, wait_until, with_host)  # noqa: E402

SOURCE = os.path.abspath(os.environ['top_srcdir'])
CONFIG = '{"kernel": "kernel", "params": "marker-of-the-owner", "name": "%s"}'
STRANGER, OWNER = 'nobody', 'daemon'
RULES = '''
polkit.addRule(function(action, subject) {
    if (action.id == "org.virtualizationd1.manage-others")
        return action.lookup("verb") == "Stop" && action.lookup("name") == "open" &&
               action.lookup("owner") == "%d" && action.lookup("vm").length == 32
            ? polkit.Result.YES : polkit.Result.NO;
    if (action.id == "org.virtualizationd1.create-custom" && subject.user == "daemon")
        return polkit.Result.YES;
    if (action.id == "org.virtualizationd1.create")
        return subject.user == "daemon" ? polkit.Result.YES : polkit.Result.NO;
    if (action.id == "org.virtualizationd1.debug")
        return polkit.Result.AUTH_ADMIN;
    return polkit.Result.NO;
});
''' % pwd.getpwnam(OWNER).pw_uid


def begin_call(host, user, path, interface, method, *arguments, group=None):
    entry = pwd.getpwnam(user)
    return subprocess.Popen(
        ['setpriv', f'--reuid={entry.pw_uid}', f'--regid={group or entry.pw_gid}',
         '--clear-groups', 'gdbus', 'call', f'--address={host.address}', f'--dest={NAME}',
         f'--object-path={path}', f'--method={interface}.{method}', *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding='utf-8')


def call(*arguments, **options):
    """Whether it succeeded, and what was printed."""
    process = begin_call(*arguments, **options)
    output = process.communicate(timeout=harness.DEADLINE)[0]
    return process.returncode == 0, output


def create(host, user, name, extra='', **options):
    done, output = call(host, user, ROOT, MANAGER, 'CreateVm', CONFIG % name, '{}',
                        "{'lifetime': <'detached'>%s}" % extra, **options)
    return output.split("'")[1] if done else None, output


@with_host
def test_without_polkit_root_and_the_group_create(host):
    path, output = create(host, STRANGER, 'a')
    assert path is None and 'org.virtualizationd1.create-custom' in output, output
    path, output = create(host, STRANGER, 'b', group=pwd.getpwnam('virtualizationd').pw_gid)
    assert path, output
    assert call(host, STRANGER, path, VM, 'GetConfig') == (True, f"('{CONFIG % 'b'}',)\n")
    done, output = call(host, OWNER, path, VM, 'GetConfig')
    assert not done and 'marker' not in output and f'{NAME}.debug' in output, output
    done, output = call(host, OWNER, path, VM, 'Kill')
    assert not done and 'manage-others' in output, output
    assert call(host, STRANGER, path, VM, 'Kill')[0]


@with_host
def test_polkit_decides_by_its_details(host):
    polkit = start_polkit(host, RULES)
    try:
        path, output = create(host, STRANGER, 'refused')
        assert path is None and 'polkit does not grant it' in output, output
        shut, output = create(host, OWNER, 'shut')
        assert shut, output
        path, output = create(host, OWNER, 'weak', ", 'seccomp-action': <'log'>")
        assert path is None and 'InteractiveAuthorizationRequired' in output, output
        assert f'{NAME}.debug' in output, output
        opened, output = create(host, OWNER, 'open')
        assert opened, output
        for vm, method in ((shut, 'Stop'), (opened, 'Kill'), (shut, 'Kill')):
            done, output = call(host, STRANGER, vm, VM, method)
            assert not done and 'polkit does not grant it' in output, (vm, method, output)
        assert call(host, STRANGER, opened, VM, 'Stop')[0]
        done, output = call(host, STRANGER, shut, VM, 'GetConfig')
        assert not done and 'InteractiveAuthorizationRequired' in output and 'marker' not in output, output
        assert call(host, 'root', shut, VM, 'GetConfig')[0]
        assert call(host, OWNER, shut, VM, 'Kill')[0]
    finally:
        polkit.kill()
        polkit.wait()


def count_waiting(host, user):
    """How many calls of the user wait, as it is told itself."""
    done, output = call(host, user, ROOT, MANAGER, 'GetLimits')
    assert done, output
    return int(re.search(r"'calls': <\(uint64 (\d+),", output).group(1))


@with_host
def test_an_app_needs_less_than_a_configuration_of_one_s_own(host):
    app = ('{"payload": {"apk": "apk", "idsig": "idsig", "instance_image": "instance", '
           '"binary": "x", "instance_id": "%s"}}' % (64 * '5a'))
    polkit = start_polkit(host, RULES.replace('create-custom" &&', 'nothing" &&'))
    try:
        for method, more in (('CreateVm', ['{}', '{}']), ('ValidateConfig', ['{}'])):
            done, output = call(host, STRANGER, ROOT, MANAGER, method, app, *more)
            assert not done and f'needs {NAME}.create:' in output, output
            # Nobody has that one: it got that far.
            done, output = call(host, OWNER, ROOT, MANAGER, method, app, *more)
            assert not done and 'NoSuchInstance' in output, output
            done, output = call(host, OWNER, ROOT, MANAGER, method, '{"payload": null}', *more)
            assert not done and 'InvalidConfig' in output, output
            done, output = call(host, OWNER, ROOT, MANAGER, method, CONFIG % 'raw', *more)
            assert not done and f'needs {NAME}.create-custom:' in output, output
    finally:
        polkit.kill()
        polkit.wait()


@with_host
def test_polkit_that_vanishes_while_it_is_asked_grants_nothing(host):
    polkit = start_polkit(host, RULES)
    try:
        path, output = create(host, OWNER, 'open')
        assert path, output
        os.kill(polkit.pid, signal.SIGSTOP)
        leaver = begin_call(host, STRANGER, path, VM, 'Stop')
        waiter = begin_call(host, STRANGER, path, VM, 'Stop')
        # Nobody else is served later for that; the owner's own calls wait for nobody.
        assert call(host, OWNER, path, VM, 'GetConfig')[0]
        wait_until(lambda: count_waiting(host, STRANGER) == 2, 'both calls to wait')
        assert count_waiting(host, OWNER) == 0
        leaver.kill()
        leaver.communicate()
        wait_until(lambda: count_waiting(host, STRANGER) == 1, 'the end of the call of who is gone')
        polkit.kill()
        polkit.wait()
        output = waiter.communicate(timeout=harness.DEADLINE)[0]
        assert waiter.returncode != 0, output
        assert 'polkit gave no answer' in output or 'there is no polkit' in output, output
        assert count_waiting(host, STRANGER) == 0
        assert call(host, OWNER, path, VM, 'Kill')[0]
    finally:
        polkit.kill()
        polkit.wait()


def test_a_call_whose_vm_goes_while_polkit_is_asked_is_answered(suite):
    host = harness.Host(suite.build, config='DeathRecordSec=0\n')
    polkit = None
    try:
        polkit = start_polkit(host, RULES)
        path, output = create(host, OWNER, 'open')
        assert path, output
        os.kill(polkit.pid, signal.SIGSTOP)
        waiter = begin_call(host, STRANGER, path, VM, 'Stop')
        wait_until(lambda: count_waiting(host, STRANGER) == 1, 'the call to wait')
        assert call(host, OWNER, path, VM, 'Kill')[0]
        wait_until(lambda: not host.manager().ListVms(True), 'the VM to be forgotten')
        os.kill(polkit.pid, signal.SIGCONT)
        output = waiter.communicate(timeout=harness.DEADLINE)[0]
        assert waiter.returncode != 0 and f'{NAME}.Error.NoSuchVm' in output, output
        assert f'no object at {path} any more' in output, output
        assert count_waiting(host, STRANGER) == 0
    finally:
        if polkit:
            polkit.kill()
            polkit.wait()
        assert host.close() == (0, [])


def calls_of(path):
    """Every method there is, with arguments that a stranger might give."""
    values = {'s': 'x', 'b': 'true', 't': '1', 'u': '5000', 'h': '0', 'a{sh}': '{}', 'a{sv}': '{}',
              'a{st}': '{}', 'ay': '[]'}
    for at, interface in ((ROOT, MANAGER), (path, VM)):
        xml = ElementTree.parse(f'{SOURCE}/dbus/{interface}.xml')
        for method in xml.iter('method'):
            yield at, interface, method.get('name'), [
                values[argument.get('type')] for argument in method.iter('arg')
                if argument.get('direction') == 'in']


@with_host
def test_a_stranger_hears_and_reads_what_is_public_only(host):
    entry = pwd.getpwnam(STRANGER)
    heard_path = f'{host.directory}/heard'
    with open(heard_path, 'wb') as heard_file:
        listener = subprocess.Popen(
            ['setpriv', f'--reuid={entry.pw_uid}', f'--regid={entry.pw_gid}', '--clear-groups',
             'gdbus', 'monitor', f'--address={host.address}', f'--dest={NAME}'],
            stdin=subprocess.DEVNULL, stdout=heard_file, stderr=heard_file)

    def heard():
        with open(heard_path, encoding='utf-8', errors='replace') as file:
            return file.read()
    try:
        wait_until(lambda: 'is owned by' in heard(), 'the listener')
        vm = host.create(*host.config(host.payload('probe'),
                                      'probe=wait ignore_loglevel marker-of-the-owner'))
        vm.start()
        vm.wait_for('PayloadReady')
        refused = []
        for living in (True, False):
            if not living:
                vm.methods.Stop()  # of which the guest has something to say
                wait_until(lambda: b'marker-of-the-owner' in vm.output['console-out'], 'console')
                assert 'marker-of-the-owner' in vm.methods.GetConfig()
                vm.death()
                events = host.manager().GetEvents(dbus.Dictionary({}, signature='st'))
                assert [True for *_, details in events if details.get('text')], events
            for at, interface, method, arguments in calls_of(vm.path):
                done, output = call(host, STRANGER, at, interface, method, *arguments)
                assert 'marker-of-the-owner' not in output, (method, output)
                assert "'text'" not in output, (method, output)
                if not done and 'AccessDenied' in output:
                    refused.append(method)
        assert {'GetConfig', 'GetDeathRecord', 'Kill', 'Start', 'Stop'} <= set(refused), refused
        # Whatever state it is in, a stranger is told the same.
        assert refused[:len(refused) // 2] == refused[len(refused) // 2:], refused
        wait_until(lambda: '.Died' in heard(), 'the listener to hear of the death')
        assert 'PayloadReady' in heard() and 'marker-of-the-owner' not in heard(), heard()
    finally:
        listener.kill()
        listener.wait()


def policy_members():
    """The (interface, member) pairs of the bus policy for everybody."""
    root = ElementTree.parse(f'{SOURCE}/policy/org.virtualizationd1.conf').getroot()
    default = [policy for policy in root if policy.get('context') == 'default']
    assert len(default) == 1, default
    allowed = set()
    for rule in default[0]:
        if rule.tag == 'deny':
            continue
        assert set(rule.keys()) == {'send_destination', 'send_interface', 'send_member'}, rule.attrib
        allowed.add((rule.get('send_interface'), rule.get('send_member')))
    return allowed


@with_host
def test_bus_policy_lists_what_there_is_and_nothing_else(host):
    path, output = create(host, 'root', 'a')
    assert path, output
    there = {('org.freedesktop.DBus.Peer', 'Ping'), ('org.freedesktop.DBus.Peer', 'GetMachineId')}
    for at in (ROOT, path):
        xml = host.bus.call_blocking(NAME, at, 'org.freedesktop.DBus.Introspectable', 'Introspect',
                                     '', ())
        for interface in ElementTree.fromstring(xml).iter('interface'):
            there |= {(interface.get('name'), method.get('name'))
                      for method in interface.iter('method')}
    allowed = policy_members()
    assert there == allowed, (there - allowed, allowed - there)


def test_bus_policy_serves_on_a_real_bus(suite):
    permissive = harness.BUS_CONFIG
    harness.BUS_CONFIG = permissive.replace('<allow own="*"/>', '<deny own="*"/>').replace(
        '<allow send_destination="*"/>', '<deny send_type="method_call"/>'
        '<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>'
        '<allow send_requested_reply="true" send_type="error"/>'
        '<allow send_destination="org.freedesktop.DBus"/>').replace(
            '  <limit', f'  <include>{SOURCE}/policy/org.virtualizationd1.conf</include>\n  <limit')
    try:
        with_host(check_bus_policy)(suite)
    finally:
        harness.BUS_CONFIG = permissive


def check_bus_policy(host):
    path, output = create(host, 'root', 'a')
    assert path, output
    path, output = create(host, OWNER, 'b', group=pwd.getpwnam('virtualizationd').pw_gid)
    assert path, output
    for user in ('root', OWNER, STRANGER):
        done, output = call(host, user, ROOT, MANAGER, 'ListVms', 'true')
        assert done and path in output, output
        done, output = call(host, user, ROOT, MANAGER, 'NoSuchMethod')
        assert not done and 'AccessDenied' in output, output
    done, output = call(host, STRANGER, path, VM, 'Kill')
    assert not done and 'manage-others' in output, output
    assert call(host, OWNER, path, VM, 'Kill')[0]


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
