#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Apps on microguest: identity, secrets, storage, updates, what a payload may do. Each test is the
counterpart of AVF's of that subject (MicrodroidTests, MicrodroidHostTests)."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, with_host  # noqa: E402
from microguest import MIB, Instance, Signer, ask, fails, make_archive, run  # noqa: E402


def probe_files(host, program='app-probe'):
    """The probe's program is a libtool wrapper's own where it is linked with a shared library."""
    path = f'{host.build}/programs/payloads'
    built = f'{path}/.libs/{program}'
    with open(host.payload('greet'), 'rb') as file:
        data = file.read()  # as a file it would bring its mode along
    return {'bin/payload': built if os.path.exists(built) else f'{path}/{program}',
            'assets/file': b'what is in the archive\n', 'bin/true': host.payload('greet'),
            'assets/program': data}


def probe(host, name='probe', program='app-probe', signer=None, **more):
    return make_archive(host.build, f'{host.directory}/{name}.apk',
                        signer or Signer(host.directory, f'{name}-signer'),
                        probe_files(host, program), **more)


@with_host
def test_secrets_differ_between_instances_and_identifiers_and_stay(host):
    archive = probe(host)
    one, other = Instance(host, archive, 'one'), Instance(host, archive, 'other')
    first = run(one, 'secret a', 'secret b', 'new')
    assert first[2] == 'yes\n' and first[0] != first[1], first
    assert run(one, 'secret a', 'secret b', 'new') == [*first[:2], 'no\n']
    assert not set(run(other, 'secret a', 'secret b')) & set(first)


@with_host
def test_debugging_flips_the_identity_both_ways(host):
    archive = probe(host)
    normal, debuggable = Instance(host, archive, 'normal'), Instance(host, archive, 'debuggable')
    secret, = run(normal, 'secret a')
    run(debuggable, 'secret a', debug='full')
    fails(normal, 'firmware-instance-image-changed', 'not debuggable and is booted debuggable',
          debug='full')
    fails(debuggable, 'firmware-instance-image-changed', 'debuggable and is booted not debuggable')
    assert run(normal, 'secret a') == [secret]  # a refusal has changed nothing
    # The same image of an instance, and another mode: no secret in common.
    fresh = Instance(host, archive, 'fresh')
    fresh.instance_id = normal.instance_id
    assert run(fresh, 'secret a', debug='full') != [secret]


@with_host
def test_an_update_of_the_same_signer_keeps_secrets_and_storage(host):
    signer = Signer(host.directory)
    archive = probe(host, 'v3', signer=signer, version=3)
    instance = Instance(host, archive, storage=16 * MIB)
    secret, _ = run(instance, 'secret a', 'write /mnt/encryptedstore/kept text')
    instance.archive = probe(host, 'v4', signer=signer, version=4)
    assert run(instance, 'secret a', 'read /mnt/encryptedstore/kept', 'new') == [
        secret, 'text', 'no\n']
    instance.archive = archive
    fails(instance, 'payload-has-changed', 'version 3, and 4 has run')
    instance.archive = probe(host, 'other', version=5)
    fails(instance, 'payload-has-changed', 'signed by another key')
    instance.archive = probe(host, 'renamed', signer=signer, version=5, package='org.example.new')
    fails(instance, 'payload-has-changed', "package 'org.example.new'")
    instance.archive = probe(host, 'v4-again', signer=signer, version=4)
    assert run(instance, 'secret a') == [secret]


@with_host
def test_what_is_run_is_a_part_of_the_identity(host):
    archive = probe(host)
    instance = Instance(host, archive)
    run(instance, 'new')
    fails(instance, 'payload-has-changed', "made to run 'binary:payload', not 'binary:true'",
          payload={'binary': 'true'})


@with_host
def test_storage_is_the_instances_alone(host):
    archive = probe(host)
    one = Instance(host, archive, 'one', storage=16 * MIB)
    other = Instance(host, archive, 'other', storage=16 * MIB)
    assert run(one, 'paths', 'write /mnt/encryptedstore/file secret words') == [
        '/mnt/apk /mnt/encryptedstore\n', 'written\n']
    with open(one.path('storage'), 'rb') as file:
        assert b'secret words' not in file.read()
    run(other, 'new')
    shutil.copyfile(one.path('storage'), other.path('storage'))
    fails(other, 'unknown-runtime-error', 'it belongs to another instance')
    assert run(one, 'read /mnt/encryptedstore/file') == ['secret words']
    assert run(Instance(host, archive, 'none'), 'paths') == ['/mnt/apk none\n']


@with_host
def test_storage_is_not_run_from(host):
    program = '/mnt/encryptedstore/program'
    archive = probe(host)
    instance = Instance(host, archive, storage=16 * MIB)
    mounts, _, denied, run_bin = run(instance, 'read /proc/mounts', f'write {program} #!/x',
                                     f'execute {program}', 'execute /mnt/apk/bin/true')
    flags = {line.split()[1]: line.split()[3].split(',') for line in mounts.splitlines()}
    assert {'noexec', 'nosuid', 'nodev'} <= set(flags['/mnt/encryptedstore']), flags
    assert {'ro', 'nosuid', 'nodev'} <= set(flags['/mnt/apk']), flags
    assert {'ro', 'nodev'} <= set(flags['/']), flags
    assert denied == '113\n', denied  # EACCES
    assert run_bin == '0\n', run_bin


@with_host
def test_a_file_without_the_mode_is_not_executed(host):
    answers = run(Instance(host, probe(host)), 'execute /mnt/apk/bin/true',
                  'execute /mnt/apk/assets/program', 'read /mnt/apk/assets/file')
    assert answers == ['0\n', '113\n', 'what is in the archive\n'], answers


@with_host
def test_a_payload_has_no_privilege(host):
    answers = run(Instance(host, probe(host)), 'escape', 'read /proc/self/status', 'list /bin',
                  'list /sbin', 'read /proc/self/cgroup', 'list /')
    tried = dict(line.split(': ') for line in answers[0].splitlines())
    assert 'done' not in tried.values(), tried
    status = dict(line.split(':\t', 1) for line in answers[1].splitlines() if ':\t' in line)
    for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        assert int(status[name], 16) == 0, status
    assert status['Uid'].split() == ['6000'] * 4 and status['Gid'].split() == ['6000'] * 4, status
    assert status['NoNewPrivs'] == '1' and status['Seccomp'] == '2', status
    # No shell, and nothing else that would run what it is given.
    assert answers[2] in ('No such file or directory\n', '') and answers[3] == 'mke2fs\n', answers
    assert answers[4].strip().endswith('/payload'), answers[4]
    assert 'instance-secret' not in answers[5] and 'init' not in answers[5].split(), answers[5]


@with_host
def test_rollback_protected_secrets_survive(host):
    instance = Instance(host, probe(host))
    assert run(instance, 'read-rollback', 'write-rollback one', 'read-rollback') == [
        '-1 \n', '32\n', '32 one\n']
    assert run(instance, 'read-rollback', 'write-rollback two') == ['32 one\n', '32\n']
    assert run(instance, 'read-rollback') == ['32 two\n']


@with_host
def test_a_static_payload_runs(host):
    assert run(Instance(host, probe(host, program='app-probe-static')), 'new') == ['yes\n']


@with_host
def test_a_library_is_a_payload(host):
    archive = make_archive(host.build, f'{host.directory}/hello.apk', Signer(host.directory),
                           {'lib/x86_64/libhello.so': f'{host.build}/programs/payloads/libhello.so'})
    vm = Instance(host, archive).run(payload={'binary': 'libhello.so'})
    record = vm.death()
    assert record['reason'] == 'shutdown' and record['payload-exit-code'] == 0, record
    assert 'PayloadReady' in vm.names(), vm.names()
    assert vm.wait_for_output_end(), vm.output


@with_host
def test_bad_payloads_are_told_apart(host):
    signer = Signer(host.directory)
    libraries = {'lib/x86_64/libnone.so': b'no library', 'bin/text': b'no program',
                 'assets/vm_config.json': b'{"task": {"type": "executable", "comand": "x"}}',
                 'assets/good.json': b'{"task": {"type": "executable", "command": "/mnt/apk/bin/none"}}'}
    archive = make_archive(host.build, f'{host.directory}/bad.apk', signer, libraries)

    def end(number, **payload):
        vm = Instance(host, archive, f'i{number}').run(payload=payload)
        record = vm.death()
        return record['reason'], record['message'], vm.wait_for_output_end().decode(), vm.names()

    reason, message, _, names = end(0, binary='missing')
    assert reason == 'invalid-payload-config' and 'lib/x86_64/missing nor bin/missing' in message
    assert 'PayloadStarted' not in names
    reason, message, output, _ = end(1, binary='libnone.so')
    assert reason == 'shutdown' and 'Failed to dlopen' in output, (reason, message, output)
    reason, message, _, names = end(2, config_path='assets/vm_config.json')
    assert reason == 'invalid-payload-config' and '/task/comand' in message, message
    assert 'PayloadStarted' not in names
    reason, message, _, _ = end(3, config_path='assets/none.json')
    assert reason == 'invalid-payload-config' and 'assets/none.json' in message, message
    reason, message, _, _ = end(4, config_path='assets/good.json')
    assert reason == 'invalid-payload-config' and 'bin/none' in message, message


@with_host
def test_a_configuration_in_the_archive_says_what_runs(host):
    files = {**probe_files(host), 'assets/vm_config.json':
             b'{"os": {"name": "microguest"}, "task": {"type": "executable",'
             b' "command": "/mnt/apk/bin/payload"}, "export_tombstones": true}'}
    archive = make_archive(host.build, f'{host.directory}/a.apk', Signer(host.directory), files)
    instance = Instance(host, archive)
    options = {'payload': {'config_path': 'assets/vm_config.json'}}
    assert run(instance, 'new', **options) == ['yes\n']
    vm = instance.run(**options)
    vm.wait_for('PayloadReady')
    ask(vm, 'crash')
    record = vm.death()
    assert record['reason'] == 'unknown-runtime-error' and record['payload-signal'] == 11, record
    report = record['crash-report']
    assert 'SIGSEGV' in report and '/mnt/apk/bin/payload' in report, report


@with_host
def test_a_crash_is_reported_where_debugging_is_allowed(host):
    archive = probe(host)
    for debug, reported in (('full', True), ('none', False)):
        vm = Instance(host, archive, debug).run(debug=debug)
        vm.wait_for('PayloadReady')
        ask(vm, 'crash')
        record = vm.death()
        assert record['payload-signal'] == 11 and ('crash-report' in record) == reported, record


@with_host
def test_extra_archives_in_order(host):
    signer = Signer(host.directory)
    extras = [make_archive(host.build, f'{host.directory}/extra{i}.apk', signer,
                           {'assets/number': b'%d\n' % i}, package=f'org.example.extra{i}')
              for i in range(12)]
    instance = Instance(host, probe(host, signer=signer))
    instance.extras = extras
    commands = [f'read /mnt/extra-apk/{i}/assets/number' for i in range(12)]
    assert run(instance, *commands) == [f'{i}\n' for i in range(12)]
    assert run(instance, *commands) == [f'{i}\n' for i in range(12)]
    instance.extras = [extras[1], extras[0], *extras[2:]]
    fails(instance, 'payload-has-changed', "package 'org.example.extra1'")
    instance.extras = extras[:-1]
    fails(instance, 'payload-has-changed', '12 APKs and 0 modules; the instance was made with 13')


@with_host
def test_too_little_memory_is_no_hang(host):
    vm = Instance(host, probe(host)).run(memory_mib=40)
    record = vm.death()
    assert record['reason'] in ('reboot', 'crash', 'hangup'), record


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
