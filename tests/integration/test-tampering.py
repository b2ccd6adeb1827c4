#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes that are flipped in what an app VM is made of: microguest says which, in words, and its
payload is never handed one. The host's own checks are passed by, as the VMs have raw configurations;
what the host checks is in the last test."""
import os
import random
import shutil
import sys

import dbus

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, with_host  # noqa: E402
from microguest import (Instance, RawInstance, Signer, ask, install_system,  # noqa: E402
                        make_archive, run)

VERIFICATION = 'payload-verification-failed'
ASSET_SIZE = 1 << 20  # with a hash tree of two levels
SAMPLES = random.Random(20260601)  # the same in every run, so that a failure can be found again


def make_instance(host):
    """One whose archive has enough in it to be read in parts."""
    archive = make_archive(
        host.build, f'{host.directory}/probe.apk', Signer(host.directory),
        {'bin/payload': host.payload('app-probe-static'),
         'assets/data': random.Random(1).randbytes(ASSET_SIZE)})
    return RawInstance(host, archive)


def flip(path, target, offset):
    """A copy of the file with one bit of that byte turned over."""
    shutil.copyfile(path, target)
    with open(target, 'r+b') as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << offset % 8]))
    return target


def sample(start, end, count):
    """So many offsets, one somewhere in each part of the range."""
    step = (end - start) / count
    return [start + int(step * i + SAMPLES.random() * step) for i in range(count)]


def finish(vm, *commands):
    """Asks a payload that runs, and ends it; None in place of what was not answered."""
    vm.wait_until_ready_or_dead()
    answers = []
    for command in (*commands, 'exit 0'):
        try:
            answers.append(ask(vm, command) if vm.find('PayloadReady') else None)
        except Exception:  # it is gone: by libdbus's error or the socket's
            answers.append(None)
    return answers[:-1], vm.death()


def refused(instance, label, offset, reason=VERIFICATION):
    """That a flip keeps the payload from starting. Returns what the host is told."""
    path = flip(instance.files[label], instance.path('flipped'), offset)
    vm = instance.run(**{label.replace('-', '_'): path})
    record = vm.death()
    what = (label, offset, record['reason'], record['message'])
    assert record['reason'] in (reason if isinstance(reason, tuple) else (reason,)), what
    assert record['message'], what
    vm.wait_for_output_end()
    assert vm.output['payload-out'] == b'' and not vm.find('PayloadStarted'), (what, vm.names())
    return record['message']


def caught_when_read(instance, label, offsets, commands, reasons):
    """That a payload is handed either what it should be or nothing, and says so in the end.
    Returns how many of the flips made a difference."""
    expected = run(instance, *commands)
    n_caught = 0
    for offset in offsets:
        path = flip(instance.files[label], instance.path('flipped'), offset)
        vm = instance.run(**{label.replace('-', '_'): path})
        answers, record = finish(vm, *commands)
        what = (label, offset, record['reason'], record['message'], answers)
        if record['reason'] == 'shutdown':
            assert answers == expected, what
            continue
        assert record['reason'] in reasons, what
        assert all(answer in (None, '', right) or 'Input/output error' in answer
                   for answer, right in zip(answers, expected)), what
        if record['reason'] == 'crash':
            assert b'dm-verity device corrupted' in vm.wait_for_output_end('console-out'), what
        n_caught += 1
    return n_caught


@with_host
def test_vbmeta(host):
    instance = make_instance(host)
    size = os.path.getsize(instance.files['vbmeta_a'])
    # Behind the header a hash of 32 and a signature of 512 bytes, and, up to the next 64, nothing that
    # would be signed.
    unsigned = 256 + 32 + 512
    for offset in [0, size - 1, *sample(0, 256, 4), *sample(256, size, 10),
                   *sample(unsigned, unsigned + 32, 2)]:
        refused(instance, 'vbmeta_a', offset, (VERIFICATION, 'firmware-public-key-mismatch'))


@with_host
def test_system_and_its_tree(host):
    """A panic, as nobody in the guest could tell what depends on the block."""
    instance = make_instance(host)
    path = instance.files['super']
    size = os.path.getsize(path)
    tree = 17 * 4096  # at the end, its top first
    offsets = [1024, *sample(0, size - tree, 5), *sample(size - tree, size - tree + 4096, 1),
               *sample(size - tree + 4096, size, 2)]
    n_caught = caught_when_read(instance, 'super', offsets, ('sum-tree /usr', 'sum-tree /'),
                                ('crash',))
    assert n_caught >= 4, n_caught


@with_host
def test_archive_before_it_is_known(host):
    instance = make_instance(host)
    size = os.path.getsize(instance.archive)
    for offset in [0, size - 1, *sample(0, size, 6), *sample(size - 8192, size, 4)]:
        refused(instance, 'microdroid-apk', offset)


@with_host
def test_archive_that_is_known(host):
    instance = make_instance(host)
    size = os.path.getsize(instance.archive)
    n_caught = caught_when_read(instance, 'microdroid-apk',
                                [0, *sample(0, size, 7), size - 1],
                                ('sum-tree /mnt/apk', 'secret a'), (VERIFICATION,))
    assert n_caught >= 6, n_caught


@with_host
def test_idsig(host):
    instance = make_instance(host)
    header = os.path.getsize(instance.files['microdroid-apk-idsig']) % 4096
    for known in (False, True):
        for offset in [0, header - 1, *sample(0, header, 5)]:
            refused(instance, 'microdroid-apk-idsig', offset)
        if not known:
            run(instance, 'secret a')
    size = os.path.getsize(instance.files['microdroid-apk-idsig'])
    n_caught = caught_when_read(instance, 'microdroid-apk-idsig',
                                [header, *sample(header, size, 5)],
                                ('sum-tree /mnt/apk', 'secret a'), (VERIFICATION,))
    assert n_caught >= 1, n_caught


@with_host
def test_instance_image(host):
    """Of its records: refused, or a byte that nobody uses. What was stored is never another."""
    instance = make_instance(host)
    commands = ('secret a', 'read-rollback', 'new')
    run(instance, 'write-rollback kept')
    with open(instance.path('instance'), 'rb') as file:
        data = file.read()
    used = [i for i in range(0, len(data), 512) if data[i:i + 512].strip(b'\0')]
    first, last = used[0], max(i for i in used if i < 1 << 20)
    journal = [i for i in used if i >= 1 << 20]
    saved = instance.path('saved')
    shutil.copyfile(instance.path('instance'), saved)
    expected = run(instance, *commands)
    assert expected[1:] == ['32 kept\n', 'no\n'], expected
    n_caught = 0
    # A byte of every sector of the beginning, and some of the rest.
    offsets = [*[i + SAMPLES.randrange(16) for i in used[:5]], *sample(first, last + 512, 10),
               *[i + SAMPLES.randrange(32) for i in journal[:2]]]
    for offset in offsets:
        path = flip(saved, instance.path('flipped'), offset)
        vm = instance.run(vm_instance=path)
        answers, record = finish(vm, *commands)
        what = (offset, record['reason'], record['message'], answers)
        if record['reason'] == 'shutdown':
            assert answers[0] == expected[0] and answers[2] == expected[2], what
            assert answers[1] == expected[1] or answers[1].startswith('-'), what
            n_caught += answers != expected
            continue
        n_caught += 1
        assert record['reason'] in ('firmware-instance-image-changed', 'payload-has-changed'), what
        assert not vm.find('PayloadStarted'), what
    assert n_caught >= 8, n_caught


@with_host
def test_metadata(host):
    """Nobody signs it: what it says differently is refused, as a part of who the instance is."""
    instance = make_instance(host)
    expected = run(instance, 'secret a')
    with open(instance.files['payload-metadata'], 'rb') as file:
        size = len(file.read().rstrip(b'\0'))
    for offset in sample(0, size, 10):
        path = flip(instance.files['payload-metadata'], instance.path('flipped'), offset)
        vm = instance.run(payload_metadata=path)
        answers, record = finish(vm, 'secret a')
        what = (offset, record['reason'], record['message'], answers)
        if record['reason'] == 'shutdown':
            assert answers == expected, what
        else:
            assert record['reason'] in ('invalid-payload-config', 'payload-has-changed'), what
            assert not vm.find('PayloadStarted'), what


@with_host
def test_what_the_host_boots(host):
    """Kernel and initrd, before there is a VM that could run them."""
    system = install_system(host)
    archive = make_archive(host.build, f'{host.directory}/probe.apk', Signer(host.directory),
                           {'bin/payload': host.payload('app-probe-static')})
    for name in ('vmlinux', 'initrd_normal.img'):
        path = f'{system}/{name}'
        shutil.copyfile(path, f'{path}.kept')
        for offset in sample(0, os.path.getsize(path), 3):
            flip(f'{path}.kept', path, offset)
            instance = Instance(host, archive, f'{name}-{offset}')
            try:
                instance.run()
                raise AssertionError(f'{name} was booted with byte {offset} altered')
            except dbus.DBusException as error:
                assert error.get_dbus_name().endswith('.Error.ImageInvalid'), error
                assert 'was altered' in error.get_dbus_message(), error
        os.replace(f'{path}.kept', path)
    vm = Instance(host, archive, 'good').run()
    vm.wait_for('PayloadReady')
    assert finish(vm, 'new')[0] == ['yes\n']


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
