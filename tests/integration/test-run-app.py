#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vmctl run-app as its user runs it, on the real microguest."""
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import DEADLINE, NAME, PROPERTIES, VM, Host, Suite, wait_until  # noqa: E402
from microguest import MIB, Signer, ask, install_system, make_archive  # noqa: E402
from vmctl import command  # noqa: E402

SECRETS = ('secret a', 'new')


class User:
    """Somebody with a home, and a directory to be in, of which every file is known."""

    def __init__(self, host):
        self.host = host
        self.directory = f'{host.directory}/user'
        self.state = f'{self.directory}/home/.local/state/vmctl'
        os.makedirs(f'{self.directory}/home')
        self.signer = Signer(host.directory)
        self.environment = {key: value for key, value in os.environ.items()
                            if key != 'XDG_STATE_HOME'}
        self.environment['HOME'] = f'{self.directory}/home'

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def write(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)

    def archive(self, name, files, **more):
        make_archive(self.host.build, self.path(name), self.signer, files, **more)

    def probe(self, name='probe.apk', files=(), **more):
        self.archive(name, {'bin/payload': self.host.payload('app-probe-static'), **dict(files)},
                     **more)

    def start(self, *words):
        return subprocess.Popen(
            command(self.host, *words), cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def call(self, *words, status=0):
        """Returns what it printed, to standard output and error."""
        with self.start(*words) as process:
            output, error = process.communicate(timeout=DEADLINE)
        assert process.returncode == status, (words, process.returncode, output, error)
        return output.decode(), error.decode()

    def all(self):
        """Everything that is there: names, sizes, what files are."""
        return {os.path.join(path, name): os.lstat(os.path.join(path, name)).st_ino
                for path, directories, files in os.walk(self.directory)
                for name in directories + files}

    def instances(self):
        """Ids that the service has given."""
        return set(os.listdir(f'{self.host.directory}/state/instances'))

    def refused(self, sentence, *words, status=125, leaves_vm=False):
        """One line that has the sentence, and all is as it was."""
        before = self.all(), self.instances(), len(self.host.manager().ListVms(True))
        output, error = self.call(*words, status=status)
        assert output == '' and sentence in error, (words, sentence, error)
        assert error.startswith('vmctl: ') and error.count('\n') == 1, error
        after = self.all(), self.instances(), len(self.host.manager().ListVms(True))
        assert after[:2] == before[:2], (words, set(after[0]) ^ set(before[0]))
        assert leaves_vm or after[2] == before[2], words

    def living(self, state='ready'):
        return [vm for vm in self.host.manager().ListVms(False) if vm[3] == state]

    def wait_for_vm(self, process=None):
        """The VM that is ready."""
        def is_there():
            assert not process or process.poll() is None, process.communicate()
            return self.living()
        wait_until(is_there, 'a VM that is ready')
        vm = self.host.bus.get_object(NAME, self.living()[0][0], introspect=False)
        vm.methods = dbus.Interface(vm, VM)
        return vm

    def tell_probe(self, *commands, words=('probe.apk',)):
        """Runs the probe and has it do the commands; returns the answers."""
        with self.start('run-app', *words) as process:
            try:
                vm = self.wait_for_vm(process)
                answers = [ask(vm, command) for command in commands]
                ask(vm, 'exit 0')
                process.communicate(timeout=DEADLINE)
                assert process.returncode == 0, process.returncode
                wait_until(lambda: not self.host.manager().ListVms(False), 'the end of the VM')
            finally:
                process.kill()
        return answers


def with_user(function):
    def run(suite):
        host = Host(suite.build)
        try:
            install_system(host)
            function(User(host))
        finally:
            status, left = host.close()
            assert not left, left
            assert status == 0, status
    return run


# --- the first thing and the next ---

@with_user
def test_a_folder_becomes_an_app_that_runs_and_runs_again(user):
    os.makedirs(user.path('hello/lib/x86_64'))
    shutil.copy(user.host.payload('libhello.so'), user.path('hello/lib/x86_64'))
    user.call('create-payload', 'hello', '-o', 'hello.apk')
    output, error = user.call('run-app', 'hello.apk')
    assert output == 'Hello from /mnt/apk\n', output
    assert error == f"vmctl: made an instance of 'hello.apk' in '{user.state}/hello'\n", error
    made = user.all()
    names = {os.path.relpath(path, user.state) for path in made if path.startswith(user.state)}
    assert names == {'.', 'hello', 'hello/apk.idsig', 'hello/instance.img', 'hello/instance_id'}
    assert os.stat(f'{user.state}/hello').st_mode & 0o7777 == 0o700
    assert len(user.read(f'{user.state}/hello/instance_id')) == 64
    assert os.path.getsize(f'{user.state}/hello/instance.img') == 10 * MIB
    assert user.instances() == {user.read(f'{user.state}/hello/instance_id').hex()}
    # From elsewhere, too: the archive's name is the instance's.
    assert user.call('run-app', './../user/hello.apk') == (output, '')
    assert user.all() == made and len(user.instances()) == 1


@with_user
def test_secrets_are_the_instances(user):
    user.probe()
    first, is_new = user.tell_probe(*SECRETS)
    assert is_new == 'yes\n'
    assert user.tell_probe(*SECRETS) == [first, 'no\n']
    other = user.tell_probe(*SECRETS, words=('--name=other', 'probe.apk'))
    assert other[0] != first and other[1] == 'yes\n'
    # The name chooses the directory, and so the instance.
    assert user.tell_probe('new', words=('--work-dir', f'{user.state}/other', 'probe.apk')) == \
        ['no\n']
    # An update by the same signer is the same instance; its idsig is made anew.
    idsig = user.read(f'{user.state}/probe/apk.idsig')
    user.probe(version=2)
    assert user.tell_probe(*SECRETS) == [first, 'no\n']
    assert user.read(f'{user.state}/probe/apk.idsig') != idsig


@with_user
def test_a_counter_counts_in_encrypted_storage(user):
    user.archive('counter.apk', {'lib/x86_64/libsealed-counter.so':
                                 user.host.payload('libsealed-counter.so')})
    for words in (('--storage-size=10M',), (), ('--storage-size', str(10 * MIB))):
        before = user.read(f'{user.state}/counter/storage.img') if words == () else None
        output, _ = user.call('run-app', *words, 'counter.apk')
        assert before != user.read(f'{user.state}/counter/storage.img')
    assert output == 'This is run 3 of the instance\n', output
    user.refused(f"'{user.state}/counter/storage.img' has {10 * MIB} bytes, and keeps them",
                 'run-app', '--storage-size=11M', 'counter.apk', status=2)
    # A file that is named, of a size that is rounded up; and none at all.
    output, _ = user.call('run-app', '--name=other', '--storage=s', '--storage-size=12000001',
                          'counter.apk')
    assert output == 'This is run 1 of the instance\n', output
    assert os.path.getsize(user.path('s')) == 12001280
    output, error = user.call('run-app', '--name=none', 'counter.apk', status=1)
    assert output == 'The VM has no encrypted storage\n', (output, error)


@with_user
def test_files_have_the_names_that_they_are_given(user):
    """As AVF's vm has them."""
    user.probe()
    words = ('probe.apk', 'idsig', 'instance', '--payload-binary-name', 'payload')
    first = user.tell_probe('secret a', words=words)
    made = {name: user.read(name) for name in ('idsig', 'instance', 'instance.id')}
    assert not os.path.exists(user.state)
    assert len(made['instance']) == 10 * MIB and len(made['instance.id']) == 64
    # An idsig that is missing is made again, and one of another archive is brought up to date.
    os.unlink(user.path('idsig'))
    assert user.tell_probe('secret a', words=words) == first
    assert user.read('idsig') == made['idsig']
    user.archive('other.apk', {'bin/payload': b'x' * 100000})
    user.call('run-app', 'other.apk', '--work-dir=w', status=125)
    shutil.copy(user.path('w/apk.idsig'), user.path('idsig'))
    words = words[:3] + ('--payload_path=payload', '--instance-id-file', 'id')
    shutil.move(user.path('instance.id'), user.path('id'))
    assert user.tell_probe('secret a', words=words) == first
    assert user.read('idsig') == made['idsig'] and user.read('id') == made['instance.id']
    assert not os.path.exists(user.path('instance.id'))


@with_user
def test_an_id_that_the_service_forgot_is_claimed(user):
    user.probe()
    secret = user.tell_probe('secret a')
    known = user.instances()
    user.host.manager().RemoveInstance(
        dbus.ByteArray(user.read(f'{user.state}/probe/instance_id')))
    assert not user.instances()
    assert user.tell_probe('secret a') == secret and user.instances() == known
    # Not if the file is another user's, whose it might be.
    user.host.manager().RemoveInstance(
        dbus.ByteArray(user.read(f'{user.state}/probe/instance_id')))
    os.chown(f'{user.state}/probe/instance_id', 12345, -1)
    user.refused('ClaimInstance', 'run-app', 'probe.apk')


# --- more archives ---

@with_user
def test_extra_archives_are_there(user):
    for number in range(2):
        user.archive(f'extra{number}.apk', {'assets/number': b'%d\n' % number},
                     package=f'org.example.extra{number}')
    user.probe()
    commands = [f'read /mnt/extra-apk/{number}/assets/number' for number in range(2)]
    words = ('--extra-apk=extra0.apk', '--extra-apk', 'extra1.apk', 'probe.apk')
    assert user.tell_probe(*commands, words=words) == ['0\n', '1\n']
    assert os.path.exists(f'{user.state}/probe/extra-apk-1.idsig')
    words = ('probe.apk', 'idsig', 'instance', *words[:3], '--extra-idsig=e0', '--extra-idsig=e1')
    assert user.tell_probe(*commands, words=words) == ['0\n', '1\n']
    assert user.read('e1') == user.read(f'{user.state}/probe/extra-apk-1.idsig')
    for count in (1, 3):
        user.refused(f'2 extra APKs and {count} extra idsigs', 'run-app', *words[:6],
                     *['--extra-idsig=e'] * count, status=2)
    user.refused('2 extra APKs and 0 extra idsigs', 'run-app', *words[:6], status=2)
    user.refused("cannot make the idsig of 'idsig'", 'run-app', 'probe.apk', '--extra-apk=idsig',
                 '--work-dir=new')
    user.refused("'missing'", 'run-app', 'probe.apk', '--extra-apk=missing')


@with_user
def test_a_configuration_in_the_archive_names_program_and_archives(user):
    os.mkdir(user.path('apps'))
    user.archive('apps/extra.apk', {'assets/number': b'7\n'}, package='org.example.extra')
    config = {'task': {'type': 'executable', 'command': '/mnt/apk/bin/payload'},
              'extra_apks': [{'path': 'extra.apk'}]}
    user.probe('apps/probe.apk', {'assets/vm_config.json': json.dumps(config).encode(),
                                  'bin/other': b'x'})
    words = ('apps/probe.apk', '--config-path=assets/vm_config.json')
    assert user.tell_probe('read /mnt/extra-apk/0/assets/number', words=words) == ['7\n']
    assert os.path.exists(f'{user.state}/probe/extra-apk-0.idsig')
    user.refused("from 'other', 'payload', or use '--config-path=assets/vm_config.json'",
                 'run-app', 'apps/probe.apk', status=2)
    user.refused("no file 'assets/x', but 'assets/vm_config.json'", 'run-app', 'apps/probe.apk',
                 '--config-path=assets/x', status=2)
    user.refused("'--extra-apk' does not go with '--config-path'", 'run-app', *words,
                 '--extra-apk=apps/extra.apk', status=2)
    user.refused("'--config-path' does not go with '--payload-binary-name'", 'run-app', *words,
                 '--payload-binary-name=payload', status=2)
    os.unlink(user.path('apps/extra.apk'))
    user.refused("'apps/extra.apk': No such file", 'run-app', *words)


# --- options ---

@with_user
def test_options_are_the_vms(user):
    user.probe()
    shutil.copytree(f'{user.host.directory}/os/microguest', f'{user.host.directory}/os/other')
    identity, error = user.call(
        'run-app', '-d', '--name=named', '--mem=200', '--cpu-topology=match_host', '--debug=full',
        '--os', 'other', '--console=con', '--log=log', '--storage-size=10M', 'probe.apk')
    assert f"'{user.state}/named'" in error, error
    vm = user.wait_for_vm()
    properties = vm.GetAll(VM, dbus_interface=PROPERTIES)
    assert properties['Id'] == identity.strip()
    assert (properties['Name'], properties['Memory'], properties['Cpus']) == \
        ('named', 200 * MIB, os.cpu_count()), properties
    payload = json.loads(vm.methods.GetConfig())['payload']
    assert (payload['os'], payload['debug_level'], payload['binary']) == \
        ('other', 'full', 'payload'), payload
    assert payload['encrypted_storage'] == f'{user.state}/named/storage.img'
    # It is there already, whoever asks: by its name, by its files.
    user.refused("'named'", 'run-app', '--name=named', '--work-dir=w', 'probe.apk')
    user.refused("'named'", 'run-app', '-d', '--name=named', '--work-dir=w', 'probe.apk', status=6)
    user.refused("used by VM 'named'", 'run-app', '-d', f'--work-dir={user.state}/named',
                 '--name=x', 'probe.apk', status=6)
    user.call('stop', 'named')
    assert not user.host.manager().ListVms(False)
    wait_until(lambda: b'reboot: Power down' in user.read('con'), 'the console')
    assert b'payload is ready' in user.read('log')
    assert b'payload is ready' in user.read('con'), 'a debuggable guest logs to its console'


@with_user
def test_a_dry_run_shows_what_would_be_run(user):
    user.probe()
    before = user.all()
    words = ('run-app', '--dry-run', '--json=short', '--extra-apk=probe.apk', 'probe.apk')
    plan = json.loads(user.call(*words)[0])
    assert plan['name'] == 'probe' and user.all() == before and not user.instances()
    labels = [partition['label'] for disk in plan['disks'] for partition in disk['partitions']]
    assert labels[2:] == ['vm-instance', 'payload-metadata', 'microdroid-apk',
                          'microdroid-apk-idsig', 'extra-apk-0', 'extra-idsig-0'], labels
    user.refused('/memory_mib', *words, '--mem=9999999', status=1)
    # And with --rm nothing is left of one that was.
    user.archive('exit.apk', {'lib/x86_64/libexit-code.so': user.host.payload('libexit-code.so')})
    output, error = user.call('run-app', '--rm', '--quiet', 'exit.apk', status=7)
    assert error == '' and not user.host.manager().ListVms(True), error
    assert os.path.exists(f'{user.state}/exit/instance.img')


@with_user
def test_interrupts_stop_it(user):
    user.probe()
    with user.start('run-app', 'probe.apk') as process:
        user.wait_for_vm(process)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=DEADLINE)
    assert process.returncode == 128 + signal.SIGTERM, (process.returncode, error)
    assert b'stopping VM probe' in error, error


@with_user
def test_what_types_is_a_pipe(user):
    user.probe()
    os.mkfifo(user.path('pipe'))
    with user.start('run-app', 'probe.apk', '--console-in=pipe') as process:
        with open(user.path('pipe'), 'wb') as pipe:  # which it waits for
            vm = user.wait_for_vm(process)
            pipe.write(b'typed\n')
            pipe.flush()
            ask(vm, 'exit 3')
            process.communicate(timeout=DEADLINE)
    assert process.returncode == 3
    user.refused("'console-in' is a regular file, not a pipe", 'run-app', 'probe.apk',
                 '--console-in=probe.apk')


# --- what is wrong ---

@with_user
def test_wrong_input_is_named_and_leaves_nothing(user):
    user.probe()
    user.archive('two.apk', {'bin/a': b'x', 'lib/x86_64/b.so': b'x', 'lib/arm64-v8a/c.so': b'x'})
    user.archive('none.apk', {'assets/a': b'x', 'lib/arm64-v8a/c.so': b'x'})
    user.write('text', b'no archive')
    shutil.copyfile(user.path('probe.apk'), user.path('cut.apk'))
    os.truncate(user.path('cut.apk'), 10000)
    usage = (
        ("'run-app' needs an archive", ),
        ("'a' behind the APK", 'probe.apk', 'a'),
        ("or is it for '--console=FILE'?", 'probe.apk', '--console', 'a'),
        ("too many: 'd'", 'probe.apk', 'b', 'c', 'd'),
        ("neither lib/x86_64/x nor bin/x, but 'payload'", 'probe.apk', '--payload-binary-name=x'),
        ("'--payload-binary-name' from 'a', 'b.so'", 'two.apk'),
        ('has nothing to be run', 'none.apk'),
        ("'--name=a/b'", 'probe.apk', '--name=a/b'),
        ("'--name=..'", 'probe.apk', '--name=..'),
        ("'--mem' takes a number of MiB, at least 1, not '0'", 'probe.apk', '--mem=0'),
        ("not '1G'", 'probe.apk', '-m', '1G'),
        ("'none' or 'full', not 'app'", 'probe.apk', '--debug=app'),
        ("'one_cpu' or 'match_host', not '2'", 'probe.apk', '--cpu-topology=2'),
        ("'--storage-size' is a whole number of bytes, or one with K, M, G or T, not '10MB'",
         'probe.apk', '--storage-size=10MB'),
        ("'--storage-size' with an INSTANCE needs '--storage=FILE'", 'probe.apk', 'b', 'c',
         '--storage-size=10M'),
        ("'--work-dir' is for an app without IDSIG and INSTANCE", 'probe.apk', 'b', 'c',
         '--work-dir=d'),
        ("'--console' does not go with '--detach'", 'probe.apk', '-d', '--console'),
        ("'run-app' has '--json' with '--detach' or '--dry-run' only", 'probe.apk', '--json=short'),
        ("unknown option '--hugepages'", 'probe.apk', '--hugepages'),
        ("'run-app' takes no option '--all'", 'probe.apk', '-a'),
    )
    for sentence, *words in usage:
        user.refused(sentence, 'run-app', *words, status=2)
    failures = (
        ("'missing.apk': No such file", 'missing.apk'),
        ("'home'", 'home'),
        ("'text': a file of 10 bytes is no zip", 'text'),
        ("'cut.apk': ", 'cut.apk'),
        ("'text' is no idsig", 'probe.apk', 'text', 'instance'),
        ("'text' is no instance image", 'probe.apk', 'idsig', 'text'),
        ("'text' is no file of an instance id", 'probe.apk', '--instance-id-file=text'),
        ("cannot make 'no/idsig'", 'probe.apk', 'no/idsig', 'instance'),
        ("cannot make 'no/id'", 'probe.apk', '--instance-id-file=no/id'),
        ("'text/work'", 'probe.apk', '--work-dir=text/work'),
        ("'no/log'", 'probe.apk', '--console=con', '--log=no/log'),
        ("/payload/os: ", 'probe.apk', '--os=none', '--log=log', '--work-dir=a/b/c'),
        ("/protected: ", 'probe.apk', '--protected', '--storage-size=1M'),
        ("/memory_mib: 9999999", 'probe.apk', '--mem=9999999', '--storage=s'),
        ("cannot write 'same': File exists", 'probe.apk', 'same', 'instance', '--storage=same'),
    )
    for sentence, *words in failures:
        user.refused(sentence, 'run-app', *words)
    user.refused("'missing.apk': No such file", 'run-app', '-d', 'missing.apk', status=1)
    user.host.stop_daemon()
    output, error = user.call('run-app', 'probe.apk', status=69)
    assert output == '' and error.count('\n') == 1 and not os.path.exists(user.state), error
    user.host.start_daemon()


@with_user
def test_a_vm_that_is_not_started_leaves_nothing(user):
    user.probe()
    path = f'{user.host.directory}/os/microguest/initrd_normal.img'
    with open(path, 'r+b') as file:
        file.seek(1000)
        file.write(b'altered')
    user.refused("'microguest' is not what was signed", 'run-app', 'probe.apk', leaves_vm=True)


@with_user
def test_a_guest_that_refuses_the_instance_says_where_it_is(user):
    user.probe()
    user.call('run-app', 'probe.apk', '--extra-apk=probe.apk', '-d')
    user.wait_for_vm()
    user.call('kill', 'probe')
    for words in (('--debug=full',), ()):
        output, error = user.call('run-app', 'probe.apk', *words, status=125)
        assert output == '', output
        assert f"the instance in '{user.state}/probe' is not for this" in error, error
        assert '--work-dir' in error, error


# --- crashes ---

@with_user
def test_a_crash_is_shown(user):
    user.archive('crash.apk', {'lib/x86_64/libcrash.so': user.host.payload('libcrash.so')})
    status = 128 + signal.SIGSEGV
    _, error = user.call('run-app', 'crash.apk', status=status)
    assert 'killed by signal 11' in error and 'crash report' in error, error
    assert '--debug=full' in error and 'crash_here' not in error, error
    debug = ('--debug=full', '--name=debug', 'crash.apk')
    _, error = user.call('run-app', *debug, status=status)
    report = error.split("the payload's crash report:\n")[1]
    assert 'SIGSEGV' in report and 'libcrash.so' in report, error
    # Of one that nobody waited for it is to be had as well.
    identity, _ = user.call('run-app', '-d', *debug)
    wait_until(lambda: not user.host.manager().ListVms(False), 'the end of the VM')
    shown, error = user.call('status', identity.strip(), status=3)
    assert error == '' and 'Reason: unknown-runtime-error' in shown, (shown, error)
    assert 'SIGSEGV' in shown.split('Crash: ')[1], shown
    shown = json.loads(user.call('status', '--json=short', identity.strip(), status=3)[0])
    death = shown[0]['death']
    assert death['payload-signal'] == 11 and 'SIGSEGV' in death['crash-report'], death


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
