#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What vmctl does with bad input: one line that names the value, the exit status of its kind, nothing
on standard output, and nothing left behind."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Suite  # noqa: E402
from vmctl import run, with_folder, write_config  # noqa: E402


class Bench:
    """vmctl on a host's bus, in a folder in which nothing may stay."""

    def __init__(self, host, directory):
        self.host = host
        self.directory = directory

    def run(self, *arguments, environment=None):
        return run(self.host, *arguments, cwd=self.directory, env=environment)

    def refuses(self, arguments, status, *words):
        """Refused with @status in one line that has the @words; nothing is made."""
        before = sorted(os.listdir(self.directory))
        result = self.run(*arguments)
        what = (arguments, words, result)
        assert result.returncode == status, what
        assert result.stdout == b'', what
        assert result.stderr.count(b'\n') == 1 and result.stderr.startswith(b'vmctl: '), what
        for word in words:
            assert word.encode() in result.stderr, (word, what)
        assert sorted(os.listdir(self.directory)) == before, what
        assert self.host.manager().ListVms(True) == [], what

    def config(self, **changes):
        """The path of a good configuration with @changes; None takes a member away."""
        return write_config(self.host, self.directory, name=None, changes=changes,
                            file_name='config.json')

    def file(self, content, name='config.json'):
        path = os.path.join(self.directory, name)
        with open(path, 'wb') as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def refuses_config(self, changes, *words, status=1):
        for verb, expected in (('validate', status), ('create', status),
                               ('run', status if status in (2, 69) else 125)):
            self.refuses([verb, self.config(**changes)], expected, *words)


def with_bench(function):
    return with_folder(lambda host, directory: function(Bench(host, directory)))


@with_bench
def test_unknown_words_have_their_nearest_match(bench):
    for arguments, word in ((['lst'], "did you mean 'list'"),
                            (['creat-partition'], "did you mean 'create-partition'"),
                            (['list', '--jsn=short'], '--jsn'),
                            (['list', '--sate=ready'], "did you mean '--state'"),
                            (['list', '--state=redy'], "did you mean 'ready'"),
                            (['list', '--json=shrot'], "did you mean 'short'"),
                            (['stop', 'x', '--mode=gest'], "did you mean 'guest'"),
                            (['wait', 'x', '--for=rady'], "did you mean 'ready'"),
                            (['create-partition', 'x', '1M', '-t', 'isntance'],
                             "did you mean 'instance'"),
                            (['show', '-p', 'Memry'], "did you mean 'Memory'"),
                            (['frobnicate'], "'frobnicate'; see vmctl --help"),
                            (['-x'], "'-x'")):
        bench.refuses(arguments, 2, word)


@with_bench
def test_wrong_usage_is_named(bench):
    for arguments, word in ((['stop'], "'stop' needs"), (['balloon', 'x'], "'balloon' needs"),
                            (['create-idsig', 'x'], "'create-idsig' needs"),
                            (['info', 'x'], "too many: 'x'"),
                            (['stop', '--all', 'x'], "'stop' takes no option '--all'"),
                            (['list', '--state'], "'--state' needs a value"),
                            (['list', '--all=1'], "'--all' takes no value"),
                            (['list', '--user', '--system'], 'does not go with'),
                            (['run', '-d', '--rm', 'x'], 'does not go with'),
                            (['run', '-d', '--console', 'x'], 'does not go with'),
                            (['run', '--json=short', bench.config()], '--detach'),
                            (['list', '--owner=no-such-user'], "'no-such-user'")):
        bench.refuses(arguments, 2, word)


@with_bench
def test_sizes_and_times_have_their_range(bench):
    for size, words in (('0', ['from 1B to', "'0'"]), ('-1', ["'-1'"]), ('1.5M', ["'1.5M'"]),
                        ('1E', ["'1E'", 'K, M, G or T']), ('', ["''"]), ('M', ["'M'"]),
                        ('0x10', ["'0x10'"]), (' 1', ["' 1'"]), ('1 M', ["'1 M'"]),
                        ('8388608T', ['from 1B to']), ('99999999999999999999999', ['from 1B to']),
                        ('18446744073709551616', ['from 1B to'])):
        bench.refuses(['create-partition', '--', 'new', size], 2, *words)
    for time, words in (('-1', ["'-1'"]), ('1.5', ["'1.5'"]), ('1d', ["'1d'", 'ms, s, min or h']),
                        ('', ["''"]), ('2h', ['at most 1h']),
                        ('99999999999999999999999s', ['at most 1h'])):
        bench.refuses(['stop', f'--timeout={time}', 'x'], 2, *words)
    bench.refuses(['wait', '--timeout=9999999h', 'x'], 2, 'at most 365d')
    for size in ('-5', '1.5G', 'much', '16777216T'):
        bench.refuses(['balloon', '--', 'x', size], 2, f"'{size}'")


@with_bench
def test_vms_that_are_not_there(bench):
    for verb in ('status', 'show', 'start', 'stop', 'kill', 'suspend', 'resume', 'wait', 'forget'):
        if verb == 'show':
            result = bench.run(verb, 'nobody')
            assert (result.returncode, result.stdout) == (4, b''), result
        for name in ('nobody', 'cid:2', 'cid:x', 'no*', '', '..', '../etc', 'a/b', 'x' * 200):
            bench.refuses([verb, name], 4, f"{name.removeprefix('cid:')[:100]}")
    bench.refuses(['balloon', 'nobody', '1M'], 4, "'nobody'")
    # What is no text at all, or drives a terminal, is shown escaped.
    bench.refuses(['stop', b'\xff\xfe'], 2, '\\xff')
    bench.refuses(['stop', 'a\x1b[31m'], 4, '\\x1b')
    bench.refuses(['stop', 'a\nb'], 4, 'a')


@with_bench
def test_names_of_vms(bench):
    for name in ('', 'x' * 65, '.hidden', '-dash', '..', 'a/b', 'a b', 'a\nb', 'ä', 'a\x00b'):
        bench.refuses_config({'name': name}, '/name')
    for name in ('x' * 65, 'a/b'):
        bench.refuses(['create', f'--name={name}', bench.config()], 1, '/name')
    bench.refuses(['create', b'--name=\xff', bench.config()], 2, 'UTF-8')


@with_bench
def test_configurations_that_are_none(bench):
    deep = '[' * 100 + ']' * 100
    for content, words in (('', ['no JSON']), ('{', ['no JSON', 'byte']), ('[]', ['expected object']),
                           ('{} {}', ['no JSON']), ('{"a": 1, "a": 2}', ['a']),
                           ('{"a": ' + deep + '}', ['no JSON']), (b'{"a": "\xff"}', ['UTF-8']),
                           ('{"a": 1}\0', ['NUL']), (b' ' * 70000, ['65536']),
                           ("{'a': 1}", ['double quotes'])):
        path = bench.file(content)
        for verb in ('validate', 'create'):
            bench.refuses([verb, path], 1, path, *words)
    bench.refuses(['validate', 'missing.json'], 1, "'missing.json'")
    bench.refuses(['validate', bench.directory], 1, bench.directory)
    bench.refuses(['run', 'missing.json'], 125, "'missing.json'")


@with_bench
def test_configurations_that_say_the_wrong_thing(bench):
    kernel = bench.host.image('vmlinux')
    disk = {'image': kernel, 'partitions': [{'label': 'a', 'path': kernel}], 'writable': False}
    for changes, *words in (({'colour': 'red'}, '/colour'),
                            ({'memory_mib': 'much'}, '/memory_mib'),
                            ({'memory_mib': 0}, '/memory_mib'), ({'memory_mib': -1}, '/memory_mib'),
                            ({'memory_mib': 1.5}, '/memory_mib'),
                            ({'memory_mib': 1 << 40}, '/memory_mib'),
                            ({'cpu_topology': 'many'}, '/cpu_topology', 'match_host'),
                            ({'bootloader': kernel}, 'bootloader'),
                            ({'kernel': None, 'initrd': None}, 'kernel'),
                            ({'disks': [disk]}, '/disks/0'), ({'disks': [{}]}, '/disks/0'),
                            ({'disks': [{'image': kernel}] * 40}, '/disks'),
                            ({'platform_version': 'x'}, 'platform_version')):
        bench.refuses_config(changes, *words)
    bench.refuses_config({'protected': True}, 'protected')
    bench.refuses_config({'devices': ['/sys/x']}, 'devices')


@with_bench
def test_files_that_are_no_images(bench):
    def disks(path, writable=False):
        return {'disks': [{'image': path, 'writable': writable}]}

    fifo, folder = f'{bench.directory}/fifo', f'{bench.directory}/folder'
    os.mkfifo(fifo)
    os.mkdir(folder)
    empty = bench.file('', 'empty')
    bench.refuses_config(disks('/no/such/file'), "'/no/such/file'")
    bench.refuses_config(disks(folder), 'folder')
    bench.refuses_config(disks(fifo), 'fifo')
    bench.refuses_config(disks('/dev/null'), '/dev/null')
    bench.refuses_config(disks(empty), 'empty')


@with_bench
def test_an_image_in_use_names_who_has_it(bench):
    image = bench.file(b'\0' * 1048576, 'image')
    changes = {'disks': [{'image': image, 'writable': True}]}
    holder = bench.run('create', '--name=holder', bench.config(**changes))
    assert holder.returncode == 0, holder
    for verb, status in (('create', 6), ('validate', 6), ('run', 125)):
        result = bench.run(verb, bench.config(**changes))
        assert result.returncode == status and b'holder' in result.stderr, (verb, result)
        assert result.stdout == b'', result
    result = bench.run('create', '--name=holder', bench.config())
    assert result.returncode == 6 and b"'holder'" in result.stderr, result
    assert bench.run('kill', 'holder').returncode == 0


@with_bench
def test_more_files_than_can_be_validated(bench):
    parts = [{'label': f'p{n}', 'path': bench.file(b'\0' * 512, f'p{n}')} for n in range(17)]
    bench.refuses(['validate', bench.config(disks=[{'partitions': parts}])], 1, '19 files', '16')


@with_bench
def test_states_that_do_not_fit(bench):
    assert bench.run('create', '--name=one', bench.config()).returncode == 0
    for verb in (['suspend', 'one'], ['resume', 'one'], ['balloon', 'one', '1M'], ['forget', 'one']):
        result = bench.run(*verb)
        expected = 1 if verb[0] == 'balloon' else 3  # it has no balloon at all
        assert (result.returncode, result.stdout) == (expected, b''), (verb, result)
        assert b"'one'" in result.stderr, result
    assert bench.run('kill', 'one').returncode == 0
    for verb in ('start', 'stop', 'kill', 'suspend', 'resume'):
        result = bench.run(verb, 'one')
        assert (result.returncode, result.stdout) == (3, b''), (verb, result)
        assert b"'dead'" in result.stderr, result


@with_bench
def test_files_that_cannot_be_made(bench):
    bench.refuses(['create-partition', '/no/such/folder/x', '1M'], 1, "'/no/such/folder/x'")
    there = bench.file('precious', 'there')
    bench.refuses(['create-partition', there, '1M'], 6, there)
    with open(there, encoding='ascii') as file:
        assert file.read() == 'precious'
    bench.refuses(['create-partition', 'huge', '8388607T'], 1, 'bytes')
    bench.refuses(['create-idsig', 'missing.apk', 'new.idsig'], 1, "'missing.apk'")
    bench.refuses(['create-idsig', there, 'new.idsig'], 1)
    bench.refuses(['create-idsig', bench.directory, 'new.idsig'], 1)


@with_bench
def test_hosts_that_are_options(bench):
    for host in ('-oProxyCommand=touch made', '', '-x'):
        bench.refuses([f'--host={host}', 'list'], 2, 'HOST')


@with_bench
def test_a_bus_that_is_not_there(bench):
    for place in ('unix:path=/nonexistent', 'nonsense', 'tcp:host=127.0.0.1,port=1'):
        result = subprocess.run([f'{bench.host.build}/programs/vmctl', f'--bus={place}', 'list'],
                                capture_output=True, check=False, timeout=DEADLINE)
        assert (result.returncode, result.stdout) == (69, b''), result
        assert place.encode() in result.stderr and result.stderr.count(b'\n') == 1, result


@with_bench
def test_a_full_disk_is_told(bench):
    assert bench.run('create', '--name=one', bench.config()).returncode == 0
    with open('/dev/full', 'wb') as full:
        result = subprocess.run([f'{bench.host.build}/programs/vmctl',
                                 f'--bus={bench.host.address}', 'list'], stdout=full,
                                stderr=subprocess.PIPE, check=False, timeout=DEADLINE)
    assert result.returncode == 1 and b'standard output' in result.stderr, result


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
