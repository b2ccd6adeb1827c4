#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Apps with modules (APEXes) on microguest: what a payload sees of them, what is refused, updates."""
import hashlib
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from apexes import BLOCK, ModuleInstance, encode_manifest, make_apex, make_key  # noqa: E402
from harness import Suite, with_host  # noqa: E402
from microguest import Signer, ask, fails, make_archive, run, start  # noqa: E402

NAME = 'org.example.module'
FAILED, CHANGED = 'payload-verification-failed', 'payload-has-changed'


def content(size, seed='content'):
    """Bytes that nothing compresses, no block like another."""
    return b''.join(hashlib.sha256(f'{seed} {part}'.encode()).digest() for part in range(size // 32))


def archive(host, files=()):
    built = f'{host.build}/programs/payloads'
    probe = f'{built}/.libs/app-probe'
    return make_archive(host.build, f'{host.directory}/probe.apk', Signer(host.directory),
                        {'bin/payload': probe if os.path.exists(probe) else f'{built}/app-probe',
                         **dict(files)})


def module(host, path='module', key=None, name=NAME, files=(), **more):
    return make_apex(host.build, f'{host.directory}/{path}.apex',
                     key or make_key(host.directory, f'{path}-key'), name,
                     {'file': b'what is in the module\n', **dict(files)}, **more)


def instance_with(host, *modules):
    instance = ModuleInstance(host, archive(host))
    instance.modules = {one.name: one.path for one in modules}
    return instance


def fails_when_read(instance, path, before):
    """That a payload gets the first @before bytes at least, then an error, and dies of it."""
    vm = start(instance)
    size, _, error = ask(vm, f'sum {path}').split(' ', 2)
    assert int(size) >= before and error == 'Input/output error\n', (size, error)
    ask(vm, 'exit 0')
    record = vm.death()
    assert record['reason'] == FAILED, record
    assert 'a block that is not what was verified' in record['message'], record['message']


def mounts(text):
    """file system and flags by the place where it is mounted"""
    return {line.split()[1]: (line.split()[2], line.split()[3].split(','))
            for line in text.splitlines()}


def veritysetup_takes(host, apex):
    """The tree, by the one other reader there is; and that it refuses another root."""
    path = f'{apex.path}.img'
    with open(path, 'wb') as file:
        file.write(apex.image())
    root = apex.tree['root-digest']
    for digest, status in ((root, 0), (root[:-1] + ('1' if root[-1] == '0' else '0'), 1)):
        done = subprocess.run(
            ['veritysetup', 'verify', '--no-superblock', '--hash=sha256',
             f'--hash-offset={apex.tree["tree-offset"]}', f'--salt={apex.tree["salt"]}',
             f'--data-blocks={apex.tree["image-size"] // BLOCK}', path, path, digest],
            cwd=host.directory, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (status == 0), done
    os.unlink(path)


@with_host
def test_a_payload_reads_its_module(host):
    apex = module(host, files={'bin/true': host.payload('greet'), 'large': content(2 << 20)})
    veritysetup_takes(host, apex)
    instance = instance_with(host, apex)
    expected = [f'what is in the module\n', '0\n', 'apex_manifest.pb\nbin\nfile\nlarge\n',
                f'{NAME}\n']
    images = []
    for _ in range(3):
        *answers, mounted = run(instance, f'read /apex/{NAME}/file', f'execute /apex/{NAME}/bin/true',
                                f'list /apex/{NAME}', 'list /apex', 'read /proc/mounts')
        answers[2] = ''.join(sorted(answers[2].splitlines(True)))
        assert answers == expected, answers
        filesystem, flags = mounts(mounted)[f'/apex/{NAME}']
        assert filesystem == 'erofs' and {'ro', 'nosuid', 'nodev'} <= set(flags), (filesystem, flags)
        assert 'noexec' not in flags, flags
        assert mounts(mounted)['/apex'][0] == 'tmpfs', mounted
        with open(instance.path('instance'), 'rb') as file:
            images.append(file.read())
    assert images[1] == images[0] and images[2] == images[0]  # nothing is recorded again


@with_host
def test_without_modules_nothing_is_mounted(host):
    listed, mounted = run(instance_with(host), 'list /apex', 'read /proc/mounts')
    assert listed == '' and '/apex' not in mounts(mounted), (listed, mounted)


@with_host
def test_modules_of_several_signers_and_file_systems(host):
    sizes = {'org.example.ext4': 'ext4', 'b': 'erofs', 'A-b_c.9': 'erofs'}
    modules = [module(host, f'm{i}', name=name, files={'number': b'%d\n' % i}, filesystem=kind)
               for i, (name, kind) in enumerate(sizes.items())]
    instance = instance_with(host, *modules)
    *answers, mounted = run(instance, *[f'read /apex/{name}/number' for name in sizes],
                            'read /proc/mounts')
    assert answers == ['0\n', '1\n', '2\n'], answers
    for name, kind in sizes.items():
        assert mounts(mounted)[f'/apex/{name}'][0] == kind, mounted
    # They are recorded in their order, and by number.
    instance.modules = {one.name: one.path for one in (modules[1], modules[0], modules[2])}
    fails(instance, CHANGED, "the module 'b' is another than the instance's 'org.example.ext4'")
    instance.modules = {one.name: one.path for one in modules[:2]}
    fails(instance, CHANGED, '1 APKs and 2 modules; the instance was made with 1 and 3')


@with_host
def test_a_configuration_names_the_modules_that_it_needs(host):
    apex = module(host)
    configs = {f'assets/{name}.json': json.dumps({
        'task': {'type': 'executable', 'command': '/mnt/apk/bin/payload'},
        'apexes': [{'name': one} for one in names]}).encode()
        for name, names in {'all': [NAME], 'more': [NAME, 'org.example.missing']}.items()}
    instance = instance_with(host, apex)
    instance.archive = archive(host, configs)
    assert run(instance, f'read /apex/{NAME}/file',
               payload={'config_path': 'assets/all.json'}) == ['what is in the module\n']
    other = ModuleInstance(host, instance.archive, 'other')
    other.modules = instance.modules
    fails(other, 'invalid-payload-config', "the module 'org.example.missing', which is not there",
          payload={'config_path': 'assets/more.json'})


@with_host
def test_what_is_signed_cannot_be_altered(host):
    apex = module(host)
    size = apex.places['apex_payload.img'][1]
    footer = size - 64
    instance = instance_with(host, apex)
    vbmeta = apex.image().rindex(b'AVB0')

    def refused(path, message):
        instance.modules = {NAME: path}
        fails(instance, FAILED, message)

    refused(apex.altered(vbmeta + 256, 'hash'), 'was altered: its hash is another')
    refused(apex.altered(vbmeta + 256 + 32, 'signature'), "the module 'org.example.module': ")
    refused(apex.altered(apex.image().rindex(bytes.fromhex(apex.tree['root-digest'])), 'root'),
            'was altered: its hash is another')
    refused(apex.altered(footer, 'footer'), 'has no AVB footer')
    key_at = apex.places['apex_pubkey'][0] - apex.places['apex_payload.img'][0]
    refused(apex.altered(key_at + 100, 'key'), 'apex_pubkey')
    key = make_key(host.directory)
    refused(module(host, 'other-key', key, public_key=make_key(host.directory, 'another')).path,
            'signed with another key')
    # The manifest beside the image says another version than the signed one in it.
    refused(module(host, 'manifest', key, manifest=encode_manifest(NAME, 1 << 60)).path,
            'the manifest in the image is another than the one beside it')
    refused(module(host, 'name', key, name='org.example.other').path,
            "the module 'org.example.other' is named 'org.example.module'")
    # None of these has been recorded.
    instance.modules = {NAME: apex.path}
    assert run(instance, 'new') == ['yes\n']


@with_host
def test_a_block_that_was_altered_is_found_when_it_is_read(host):
    large = content(2 << 20)
    apex = module(host, files={'large': large})
    place = apex.image().index(large[1 << 20:(1 << 20) + 64])
    instance = instance_with(host, apex)
    instance.modules = {NAME: apex.altered(place, 'data')}
    fails_when_read(instance, f'/apex/{NAME}/large', 0)
    # The tree has hashes of 128 blocks in a block, and one block of hashes above them.
    tree = apex.tree['tree-offset']
    assert apex.tree['tree-size'] > 4 * BLOCK
    instance.modules = {NAME: apex.altered(tree + 4 * BLOCK, 'tree')}
    fails_when_read(instance, f'/apex/{NAME}/large', 0)
    instance.modules = {NAME: apex.altered(tree, 'top')}
    fails(instance, FAILED, f"the module '{NAME}': cannot read ")
    instance.modules = {NAME: apex.altered(1024 + 16, 'superblock')}
    fails(instance, FAILED, f"the module '{NAME}': cannot read ")
    instance.modules = {NAME: apex.path}
    assert run(instance, f'sum /apex/{NAME}/large')[0].endswith(' whole\n')


@with_host
def test_an_update_is_of_the_same_signer_and_no_older(host):
    key = make_key(host.directory)
    old, new = (module(host, f'v{version}', key, version=version, files={'version': b'%d' % version})
                for version in (7, 8))
    instance = instance_with(host, old)
    secret, version = run(instance, 'secret a', f'read /apex/{NAME}/version')
    assert version == '7'
    instance.modules = {NAME: new.path}
    assert run(instance, 'secret a', f'read /apex/{NAME}/version', 'new') == [secret, '8', 'no\n']
    instance.modules = {NAME: old.path}
    fails(instance, CHANGED, f"the module '{NAME}' has version 7, and 8 has been in the instance")
    instance.modules = {NAME: module(host, 'other', version=9).path}
    fails(instance, CHANGED, f"the module '{NAME}' is another than the instance's '{NAME}'")
    instance.modules = {}
    fails(instance, CHANGED, '1 APKs and 0 modules; the instance was made with 1 and 1')
    instance.modules = {NAME: new.path}
    assert run(instance, 'secret a') == [secret]
    # Of the same name and version, but not of the same signer, is another instance's.
    other = ModuleInstance(host, instance.archive, 'other')
    other.modules = {NAME: module(host, 'same', version=8).path}
    assert run(other, 'secret a') != [secret]


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
