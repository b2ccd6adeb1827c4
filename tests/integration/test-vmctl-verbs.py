#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vmctl's verbs: what each prints for people and as JSON, and how it exits."""
import json
import os
import pty
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Suite, wait_until  # noqa: E402
from microguest import Signer, make_archive  # noqa: E402
from vmctl import command, run, with_folder, write_config  # noqa: E402

PROPERTIES = ['id', 'name', 'state', 'cid', 'owner', 'protected', 'memory', 'cpus', 'vmm', 'pid',
              'created-at', 'started-at', 'last-event', 'stop-step', 'death-reason',
              'seccomp-action']

COMPLETION = os.path.join(os.path.abspath(os.environ['top_srcdir']), 'vmctl/completion/vmctl')


class Command:
    """vmctl on a host's bus, and a folder for its files."""

    def __init__(self, host, directory):
        self.host = host
        self.directory = directory

    def words(self, *arguments):
        return command(self.host, *arguments)

    def run(self, *arguments, status=0):
        result = run(self.host, *arguments, cwd=self.directory)
        assert result.returncode == status, (arguments, result)
        return result

    def text(self, *arguments, status=0):
        return self.run(*arguments, status=status).stdout.decode()

    def json(self, *arguments, status=0):
        """The answer, which is the same in both formats."""
        short = self.run(*arguments, '--json=short', status=status)
        assert short.stdout.count(b'\n') == 1, short
        return json.loads(short.stdout)

    def on_terminal(self, *arguments):
        """What it prints on a terminal, which is its standard output only."""
        parent, child = pty.openpty()
        try:
            process = subprocess.Popen(self.words(*arguments), stdin=subprocess.DEVNULL,
                                       stdout=child, cwd=self.directory)
        finally:
            os.close(child)
        text = b''
        try:
            while True:
                text += os.read(parent, 65536)
        except OSError:
            pass  # the other side is closed
        finally:
            os.close(parent)
        assert process.wait(DEADLINE) == 0, text
        return text.decode().replace('\r\n', '\n')

    def config(self, name, mode='wait', **more):
        return write_config(self.host, self.directory, mode, name, changes=more)


def with_command(function):
    return with_folder(lambda host, directory: function(Command(host, directory)))


@with_command
def test_create_prints_the_id_of_a_vm_that_is_not_started(vmctl):
    identity = vmctl.text('create', vmctl.config('one')).strip()
    other = vmctl.json('create', vmctl.config('two'), '--name=deux')
    assert other['name'] == 'deux' and other['state'] == 'not-started', other
    assert len(identity) == 32 and len(other['id']) == 32, (identity, other)
    assert {vm['id'] for vm in vmctl.json('list')} == {identity, other['id']}
    assert vmctl.text('create', '-q', vmctl.config('three')) == ''
    result = vmctl.run('create', vmctl.config('one'), status=6)
    assert b"'one'" in result.stderr and result.stdout == b'', result


@with_command
def test_list_filters_and_has_a_legend_on_a_terminal_only(vmctl):
    assert vmctl.text('list') == ''
    for name in ('web-1', 'web-2', 'mail'):
        vmctl.run('create', vmctl.config(name))
    vmctl.run('kill', 'web-2')
    assert {vm['name'] for vm in vmctl.json()} == {'web-1', 'mail'}, 'no verb is list'
    assert [vm['name'] for vm in vmctl.json('list', 'web-*')] == ['web-1']
    assert {vm['name'] for vm in vmctl.json('list', '-a', 'web-*')} == {'web-1', 'web-2'}
    assert [vm['name'] for vm in vmctl.json('list', '--state=dead')] == ['web-2']
    assert vmctl.json('list', '--owner=nobody') == []
    assert len(vmctl.json('list', f'--owner={os.getuid()}')) == 2
    row = vmctl.text('list', 'mail').split()
    vm = vmctl.json('list', 'mail')[0]
    assert list(vm) == ['id', 'name', 'state', 'cid', 'owner'], vm
    assert [row[0], row[1], row[2], row[4]] == ['mail', 'not-started', str(vm['cid']), vm['id']]
    lines = vmctl.on_terminal('list').splitlines()
    assert lines[0].split() == ['NAME', 'STATE', 'CID', 'OWNER', 'ID'], lines
    assert lines[-1] == '2 VMs listed.', lines
    for option in ('--no-legend', '-q'):
        assert len(vmctl.on_terminal('list', option).splitlines()) == 2, option


@with_command
def test_show_has_every_property(vmctl):
    identity = vmctl.text('create', vmctl.config('one')).strip()
    vm = vmctl.json('show', 'one')[0]
    assert list(vm) == PROPERTIES, vm
    assert (vm['id'], vm['state'], vm['memory']) == (identity, 'not-started', 128 << 20), vm
    assert vm['pid'] is None and vm['started-at'] is None and vm['death-reason'] is None, vm
    lines = dict(line.split('=', 1) for line in vmctl.text('show', identity).splitlines())
    assert lines['Name'] == 'one' and lines['Pid'] == '' and len(lines) == len(PROPERTIES), lines
    assert vmctl.text('show', f'cid:{vm["cid"]}', '--value', '-p', 'State', '-p', 'Cpus') == \
        'not-started\n1\n'
    assert vmctl.json('show', '-p', 'name') == [{'name': 'one'}]
    result = vmctl.run('show', '-p', 'Stat', status=2)
    assert b"did you mean 'State'" in result.stderr, result


@with_command
def test_names_ids_cids_and_patterns_choose_vms(vmctl):
    for name in ('a1', 'a2', 'b'):
        vmctl.run('create', vmctl.config(name))
    identity = vmctl.json('show', 'b')[0]['id']
    cid = vmctl.json('show', 'a1')[0]['cid']
    chosen = vmctl.json('show', 'a*', f'cid:{cid}', identity, 'b', '-p', 'Name')
    assert sorted(vm['name'] for vm in chosen) == ['a1', 'a2', 'b'], chosen
    result = vmctl.run('kill', 'nobody', 'c*', 'cid:9', 'a*', status=4)
    assert result.stderr.count(b'\n') == 3 and b"'c*'" in result.stderr, result
    assert [vm['name'] for vm in vmctl.json('list')] == ['b'], 'it goes on with the others'
    assert vmctl.json('show', 'a*', '-p', 'Name', status=4) == []
    assert len(vmctl.json('show', '-a', 'a*', '-p', 'Name')) == 2


@with_command
def test_events_of_some_vms_and_of_the_past(vmctl):
    for name in ('one', 'two'):
        vmctl.run('create', vmctl.config(name))
    vmctl.run('kill', 'one')
    with tempfile.TemporaryFile() as output:
        events = subprocess.Popen(vmctl.words('events', '--since=0', '--json=short', 'one'),
                                  stdin=subprocess.DEVNULL, stdout=output)
        try:
            wait_until(lambda: b'"died"' in os.pread(output.fileno(), 65536, 0), 'the past')
            vmctl.run('kill', 'two')
            vmctl.run('forget', 'one')
            assert events.wait(DEADLINE) == 0, 'it ends with the last of its VMs'
        finally:
            events.kill()
            events.wait()
        seen = [json.loads(line) for line in os.pread(output.fileno(), 65536, 0).splitlines()]
    assert {event['name'] for event in seen} == {'one'}, seen
    assert [event['event'] for event in seen] == ['created', 'died', 'removed'], seen
    assert [event.get('number') for event in seen] == [1, 2, None], seen
    assert seen[1]['reason'] == 'killed' and seen[0]['time'] <= seen[1]['time'], seen
    with tempfile.TemporaryFile() as output:
        events = subprocess.Popen(vmctl.words('events', '--since=1'), stdin=subprocess.DEVNULL,
                                  stdout=output)
        try:
            wait_until(lambda: os.pread(output.fileno(), 65536, 0).endswith(b'\n'), 'the past')
        finally:
            events.terminate()
            events.wait()
        line, = os.pread(output.fileno(), 65536, 0).decode().splitlines()
    assert line.split()[-3:] == ['two', 'died', 'reason=killed'], line
    result = vmctl.run('events', 'nobody', status=4)
    assert b"'nobody'" in result.stderr and result.stdout == b'', result
    result = vmctl.run('events', '--since=yesterday', status=2)
    assert b"'yesterday'" in result.stderr, result


@with_command
def test_a_life_by_the_verbs(vmctl):
    identity = vmctl.text('create', vmctl.config('one', balloon=True)).strip()
    vmctl.run('wait', 'one', '--for=ready', '--timeout=100ms', status=7)
    started = vmctl.json('start', 'one')
    assert [(vm['id'], vm['name']) for vm in started] == [(identity, 'one')], started
    assert b'cannot be started' in vmctl.run('start', 'one', status=3).stderr
    assert vmctl.json('wait', 'one', '--for=ready')[0]['state'] == 'ready'
    assert vmctl.text('wait', 'one', '--for=started') == '', 'it had been before'
    assert vmctl.text('balloon', 'one', '32M') == ''
    assert vmctl.json('balloon', 'one', '0')[0]['name'] == 'one'
    assert b'at most' in vmctl.run('balloon', 'one', '1T', status=2).stderr

    status = vmctl.json('status', 'one')[0]
    assert list(status)[:len(PROPERTIES)] == PROPERTIES, status
    assert [event['event'] for event in status['events']][:2] == ['created', 'start'], status
    assert status['death'] is None and 'payload is ready' in status['console'], status
    text = vmctl.text('status', 'one')
    assert text.startswith(f'one ({identity})\n') and 'ready since' in text, text
    assert 'payload-ready' in text and 'payload is ready' in text and '128M' in text, text

    vmctl.run('suspend', 'one')
    wait_until(lambda: vmctl.json('show', 'one')[0]['state'] == 'suspended', 'the suspension')
    vmctl.run('suspend', 'one', status=3)
    assert vmctl.json('resume', 'one')[0]['id'] == identity
    wait_until(lambda: vmctl.json('show', 'one')[0]['state'] == 'ready', 'the resumption')

    vmctl.run('forget', 'one', status=3)
    assert vmctl.json('stop', 'one')[0]['state'] == 'dead', 'it waits for the end'
    vmctl.run('stop', 'one', status=3)
    vmctl.run('wait', 'one')
    vmctl.run('wait', 'one', '--for=finished', status=3)
    assert vmctl.run('status', '-q', 'one', status=3).stdout == b''
    text = vmctl.text('status', 'one', status=3)
    assert 'shutdown: the guest has shut down' in text and 'Ended by: client' in text, text
    death = vmctl.json('status', 'one', status=3)[0]['death']
    assert death['reason'] == 'shutdown' and death['payload-signal'] == 15, death
    assert json.loads(vmctl.text('forget', 'one', '--json=short')) == [{'id': identity, 'name': 'one', 'state': 'dead'}]
    wait_until(lambda: vmctl.json('list', '-a') == [], 'nothing to be known of it')
    vmctl.run('status', 'one', status=4)


@with_command
def test_stop_can_leave_a_vm_alone_or_be_left(vmctl):
    # A guest that does not boot heeds neither step.
    vmctl.run('run', '-d', vmctl.config('deaf', params='init=/nonexistent panic=0'))
    result = vmctl.run('stop', 'deaf', '--no-kill', '--timeout=200ms', status=7)
    assert b'left alone' in result.stderr, result
    assert vmctl.json('list')[0]['state'] == 'stopping'
    vmctl.run('stop', 'deaf', '--mode=kill')
    assert vmctl.json('list') == []
    assert b'killed' in vmctl.run('status', 'deaf', status=3).stdout
    vmctl.run('run', '-d', vmctl.config('other'))
    assert vmctl.json('stop', '--no-block', '--timeout=1h', 'other')[0]['state'] != 'dead'
    assert vmctl.json('kill', 'other')[0]['state'] == 'dead', 'it waits for the end'
    vmctl.run('create', vmctl.config('third'))
    assert vmctl.text('kill', '--no-block', 'third') == ''
    vmctl.run('wait', 'third', '--for=dead')
    result = vmctl.run('stop', '--mode=kill', '--no-kill', 'other', status=2)
    assert b"'kill'" in result.stderr, result


@with_command
def test_the_completion_asks_for_the_names_of_vms(vmctl):
    for name in ('web-1', 'web-2', 'mail'):
        vmctl.run('create', vmctl.config(name))

    def offered(*words):
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vmctl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        path = f'{vmctl.host.build}/programs:{os.environ["PATH"]}'
        result = subprocess.run(
            ['bash', '-c', script, 'bash', COMPLETION, 'vmctl', '--bus', '=', vmctl.host.address,
             *words], capture_output=True, text=True, timeout=DEADLINE, check=True,
            env=dict(os.environ, PATH=path), cwd=vmctl.directory)
        return sorted(result.stdout.split())

    assert offered('stop', '') == ['mail', 'web-1', 'web-2']
    assert offered('stop', 'web-1', 'we') == ['web-1', 'web-2']
    vmctl.run('kill', 'mail')
    assert 'mail' in offered('status', 'm'), 'a dead one has a status'
    assert offered('stop', '--mo') == ['--mode='] and 'events' in offered('ev')


@with_command
def test_validate_shows_what_would_be_run_and_makes_nothing(vmctl):
    path = vmctl.config('one', balloon=True)
    plan = vmctl.json('validate', path)
    assert (plan['name'], plan['memory'], plan['cpus'], plan['balloon']) == \
        ('one', 128 << 20, 1, True), plan
    assert [file['use'] for file in plan['files']] == ['boot', 'boot', 'disk'], plan
    assert plan['disks'][0]['partitions'][0]['label'] == 'payload', plan
    assert 'seccomp' in plan['sandbox-layers'], plan
    assert plan == vmctl.json('run', '--dry-run', path) == vmctl.json('create', '--dry-run', path)
    text = vmctl.text('validate', path)
    assert 'Memory: 128M, with a balloon\n' in text and 'Disk 0: payload: ' in text, text
    assert vmctl.text('validate', '-q', path) == ''
    assert vmctl.json('list', '-a') == []
    result = vmctl.run('validate', vmctl.config('bad', colour='red'), status=1)
    assert b'/colour' in result.stderr and result.stdout == b'', result


@with_command
def test_run_detached_prints_json_and_rm_forgets(vmctl):
    vm = vmctl.json('run', '-d', vmctl.config('one'))
    assert list(vm) == ['id', 'name', 'state'] and vm['name'] == 'one', vm
    vmctl.run('kill', 'one')
    result = vmctl.run('run', '--rm', vmctl.config('short', 'answer:42'))
    assert result.stdout == b'answer 42\n', result
    wait_until(lambda: [vm['name'] for vm in vmctl.json('list', '-a')] == ['one'], 'forgetting')


@with_command
def test_info_is_a_table_of_checks(vmctl):
    info = vmctl.json('info')
    assert {'kvm', 'vmm', 'vsock', 'user-namespaces', 'seccomp', 'landlock', 'cgroups', 'systemd',
            'polkit'} == {check['name'] for check in info['checks']}, info
    for check in info['checks']:
        assert check['result'] in ('ok', 'warning') and check['finding'], check
        assert (check['remedy'] == '') == (check['result'] == 'ok'), check
    assert 'QEMU' in info['vmm-version'], info
    text = vmctl.on_terminal('info')
    assert 'FINDING' in text and 'qemu-system-x86_64 is installed' in text, text
    assert vmctl.text('info', '-q') == ''


@with_command
def test_limits_and_features(vmctl):
    vmctl.run('create', vmctl.config('one'))
    limits = vmctl.json('limits')
    assert limits['vms']['used'] == 1 and limits['memory']['used'] == 128 << 20, limits
    rows = [line.split() for line in vmctl.text('limits').splitlines()]
    assert ['vms', '1'] == rows[0][:2] and len(rows) == len(limits), rows
    assert vmctl.on_terminal('limits').startswith('RESOURCE'), 'headings'
    assert vmctl.text('check-feature-enabled', 'balloon') == 'enabled\n'
    assert vmctl.text('check-feature-enabled', 'teleport', status=1) == 'disabled\n'
    assert vmctl.json('check-feature-enabled', 'balloon') == {'feature': 'balloon',
                                                               'enabled': True}


@with_command
def test_partitions_and_idsigs(vmctl):
    assert vmctl.json('create-partition', 'instance', '10M', '-t', 'instance') == \
        {'path': 'instance', 'size': 10 << 20, 'type': 'android-vm-instance'}
    with open(f'{vmctl.directory}/instance', 'rb') as file:
        assert file.read(19) == b'Android-VM-instance'
    assert vmctl.text('create-partition', 'raw', '5000') == ''
    assert os.path.getsize(f'{vmctl.directory}/raw') == 8192
    result = vmctl.run('create-partition', 'raw', '5000', status=6)
    assert b"'raw'" in result.stderr, result
    os.mkdir(f'{vmctl.directory}/folder')
    with open(f'{vmctl.directory}/folder/payload', 'wb') as file:
        file.write(b'#!/bin/sh\n')
    made = vmctl.text('create-payload', 'folder', '-o', 'p.apk', '--package=com.example.p',
                      '--json=short')
    assert json.loads(made) == {'path': 'p.apk', 'size': os.path.getsize(f'{vmctl.directory}/p.apk'),
                    'package': 'com.example.p', 'version-code': 1, 'key': 'p.pem', 'key-made': True}
    idsig = vmctl.json('create-idsig', 'p.apk', 'p.idsig')
    assert idsig == {'path': 'p.idsig', 'size': os.path.getsize(f'{vmctl.directory}/p.idsig')}
    assert vmctl.text('create-idsig', 'p.apk', 'p.idsig') == '', 'it is up to date'
    vmctl.run('create-idsig', 'raw', 'none.idsig', status=1)
    assert not os.path.exists(f'{vmctl.directory}/none.idsig')


@with_command
def test_host_runs_the_same_words_through_ssh(vmctl):
    with open(f'{vmctl.directory}/ssh', 'w', encoding='ascii') as file:
        file.write('#!/bin/sh\nfor command; do :; done\n'
                   'PATH=$REAL_PATH eval "$command"\n')
    os.chmod(f'{vmctl.directory}/ssh', 0o755)
    vmctl.run('create', vmctl.config('one'))
    programs = f'{vmctl.host.build}/programs:{os.environ["PATH"]}'
    environment = dict(os.environ, REAL_PATH=programs,
                       PATH=f'{vmctl.directory}:{os.environ["PATH"]}')
    result = subprocess.run(vmctl.words('-H', 'me@there', 'kill', 'one', "it's; none"),
                            stdin=subprocess.DEVNULL, capture_output=True, env=environment,
                            timeout=DEADLINE, check=False)
    assert result.returncode == 4 and b"it's; none" in result.stderr, result
    assert vmctl.json('list') == []
    result = vmctl.run('--host=-oProxyCommand=x', status=2)
    assert b'HOST' in result.stderr, result


@with_command
def test_every_verb_has_a_help_and_needs_a_daemon(vmctl):
    text = subprocess.run([f'{vmctl.host.build}/programs/vmctl', '--help'], check=True,
                          capture_output=True).stdout.decode()
    verbs = [line.split()[0] for line in text.split('Verbs:\n')[1].split('\n\n')[0].splitlines()
             if line.startswith('  ') and line[2] != ' ']
    assert len(verbs) > 20, verbs
    path = vmctl.config('one')
    archive = make_archive(vmctl.host.build, f'{vmctl.host.directory}/app.apk',
                           Signer(vmctl.host.directory), {'bin/payload': b'a program'})
    arguments = {'run-app': [archive], 'exec': ['x', '--', 'true'], 'connect': ['x', '5000'],
                 'capture': ['x', '-w', 'file'],
                 'balloon': ['x', '1M'], 'create-partition': ['file', '1M'],
                 'create-idsig': [path, 'file'], 'run': [path], 'create': [path],
                 'validate': [path], 'list': [], 'show': [], 'events': [], 'info': [],
                 'limits': []}
    vmctl.host.stop_daemon()
    for verb in verbs:
        assert vmctl.text(verb, '--help').startswith('Usage: vmctl [OPTIONS] ' + verb), verb
        if verb == 'create-payload':
            continue
        result = vmctl.run(verb, *arguments.get(verb, ['x']), status=69)
        assert result.stdout == b'' and result.stderr.count(b'\n') == 1, (verb, result)
        assert b'starts it' in result.stderr, (verb, result)
    assert sorted(os.listdir(vmctl.directory)) == ['one.json'], 'nothing is made'


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
