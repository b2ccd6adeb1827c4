#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Disks and images as the kernel itself takes them: dm-verity, the device mapper, file systems."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402


def with_tool(function):
    def test(suite):
        with Tool(suite) as tool:
            function(tool)
    return test


class Verity:
    """A dm-verity device without a superblock, as long as it is wanted."""

    def __init__(self, name, data, tree, blocks, offset, salt, root):
        self.name = name
        self.path = f'/dev/mapper/{name}'
        run('veritysetup', 'open', '--no-superblock', f'--data-blocks={blocks}',
            f'--hash-offset={offset}', f'--salt={salt}', data, name, tree, root)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run('veritysetup', 'close', self.name)


class Mount:
    def __init__(self, tool, device, kind):
        self.path = tool.path('mounted')
        os.makedirs(self.path, exist_ok=True)
        run('mount', '-t', kind, '-o', 'ro', device, self.path)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        run('umount', self.path)


def make_verified_image(tool):
    """An erofs with a hash tree behind it; what the kernel has to be told of it."""
    os.mkdir(tool.path('content'))
    tool.write('content/file', os.urandom(3 << 20))
    run('mkfs.erofs', 'root.img', 'content', cwd=tool.directory)
    run('openssl', 'genrsa', '-out', 'key.pem', '2048', cwd=tool.directory)
    tool.ok('vbmeta', 'add-hashtree', '--name=root', '--key=key.pem', '-o', 'v.img', 'root.img')
    tool.ok('vbmeta', 'verify', '--key=key.pem', 'v.img')
    return tool.json('vbmeta', 'info', 'v.img')['hashtrees'][0]


def verity_of(tool, image, tree):
    blocks = tree['image-size'] // tree['data-block-size']
    return Verity('disks-root', image, image, blocks, tree['tree-offset'], tree['salt'],
                  tree['root-digest'])


@with_tool
def test_a_hash_tree_behind_an_image_is_dm_veritys(tool):
    tree = make_verified_image(tool)
    with verity_of(tool, tool.path('v.img'), tree) as verity, \
            Mount(tool, verity.path, 'erofs') as root:
        with open(f'{root}/file', 'rb') as file:
            assert file.read() == tool.read('content/file')


@with_tool
def test_one_flipped_bit_is_an_error_of_reading(tool):
    tree = make_verified_image(tool)
    at = tree['image-size'] - 5000
    data = bytearray(tool.read('v.img'))
    data[at] ^= 1
    tool.write('bad.img', data)
    with verity_of(tool, tool.path('bad.img'), tree) as verity:
        with open(verity.path, 'rb', buffering=0) as device:
            assert len(os.pread(device.fileno(), 4096, 0)) == 4096
            try:
                os.pread(device.fileno(), 4096, at // 4096 * 4096)
            except OSError as problem:
                assert problem.errno == 5, problem  # EIO
            else:
                raise AssertionError('the altered block was read')
    tool.json('vbmeta', 'verify', '--key=key.pem', 'bad.img', status=1)


@with_tool
def test_the_tree_of_an_idsig_is_dm_veritys(tool):
    run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out',
        'key.pem', cwd=tool.directory)
    os.mkdir(tool.path('folder'))
    tool.write('folder/file', os.urandom(3 << 20))
    tool.ok('payload', 'create', '--key=key.pem', '-o', 'a.apk', 'folder')
    facts = tool.json('idsig', 'verify', 'a.apk')
    # As partitions: the APK with zeros behind it, the tree at the beginning of a block.
    apk = tool.read('a.apk')
    padded = apk + bytes(-len(apk) % 4096)
    tool.write('apk.part', padded)
    tool.write('tree.part', tool.read('a.apk.idsig')[-facts['tree-size']:])
    with Verity('disks-apk', tool.path('apk.part'), tool.path('tree.part'), len(padded) // 4096, 0,
                '-', facts['root-hash']) as verity:
        with open(verity.path, 'rb') as device:
            assert device.read() == padded


@with_tool
def test_the_device_mapper_makes_the_disk_of_its_table(tool):
    for name, size in (('a.img', 1 << 20), ('b.img', 2 << 20)):
        with open(tool.path(name), 'wb') as file:
            file.truncate(size)
        run('mke2fs', '-q', '-t', 'ext4', '-L', name[0], tool.path(name))
    tool.ok('create', '--format=device-mapper', '-o', 'table', 'first=a.img:rw', 'second=b.img:rw')
    loops = {}
    try:
        lines = []
        for line in tool.read('table').decode().splitlines():
            begin, count, kind, name, offset = line.split()
            if name not in loops:
                loops[name] = run('losetup', '-f', '--show', tool.path(name)).decode().strip()
            lines.append(' '.join((begin, count, kind, loops[name], offset)))
        run('dmsetup', 'create', 'disks-composite', data='\n'.join(lines).encode())
        try:
            shown = run('sfdisk', '-d', '/dev/mapper/disks-composite').decode()
            assert 'name="first"' in shown and 'name="second"' in shown, shown
            part = run('losetup', '-f', '--show', '-P', '/dev/mapper/disks-composite').decode().strip()
            try:
                run('udevadm', 'settle')
                assert run('blkid', '-o', 'value', '-s', 'LABEL', f'{part}p2') == b'b\n'
                with Mount(tool, f'{part}p2', 'ext4') as mounted:
                    assert os.path.isdir(f'{mounted}/lost+found')
            finally:
                run('losetup', '-d', part)
        finally:
            run('dmsetup', 'remove', '--retry', 'disks-composite')
    finally:
        for loop in loops.values():
            subprocess.run(['losetup', '-d', loop], check=False)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
