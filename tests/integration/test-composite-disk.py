#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Composite disks: what the tool writes, read by others' tools; what others write, read by it; a
guest that mounts them; and what is no disk."""
import fcntl
import hashlib
import os
import resource
import struct
import subprocess
import sys
import tempfile
import termios

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, with_host  # noqa: E402
from tool import Tool, run  # noqa: E402

PROTO = os.path.join(os.environ['top_srcdir'], 'composite-disk/composite-descriptor.proto')
MAGIC = b'composite_disk\x1d'
MIB = 1 << 20


def with_tool(function):
    def test(suite):
        with Tool(suite) as tool:
            function(tool)
    return test


def varint(value):
    data = b''
    while value > 0x7f:
        data += bytes([value & 0x7f | 0x80])
        value >>= 7
    return data + bytes([value])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def descriptor(components, length, version=2):
    """(path, offset, writable, file offset) of each."""
    return MAGIC + field(1, version) + b''.join(
        field(2, field(1, path.encode()) + (field(2, offset) if offset else b'') +
              (field(3, 1) if writable else b'') + (field(4, more) if more else b''))
        for path, offset, writable, more in components) + field(3, length)


def make_parts(tool):
    tool.write('a.img', os.urandom(MIB))
    tool.write('b.bin', os.urandom(5000))
    tool.write('c.bin', os.urandom(513))
    return {'alpha': 'a.img', 'beta': 'b.bin', 'gamma ✓': 'c.bin'}


def raw_of(tool, disk='d.img'):
    tool.ok('extract', '-f', disk, '-o', 'raw')
    return tool.path('raw')


@with_tool
def test_others_find_nothing_wrong_with_the_disk(tool):
    parts = make_parts(tool)
    tool.ok('create', '-o', 'd.img', *(f'{label}={file}' for label, file in parts.items()))
    raw = raw_of(tool)
    assert 'No problems found' in run('sgdisk', '-v', raw).decode()
    run('sfdisk', '--verify', raw)
    assert b'PTTYPE="gpt"' in run('blkid', '-p', raw)
    shown = run('sfdisk', '-d', raw).decode()
    data = tool.read('raw')
    for row in tool.json('info', 'd.img')['partitions']:
        escaped = row['label'].replace('✓', r'\xe2\x9c\x93')
        assert f'name="{escaped}"' in shown and row['guid'].upper() in shown, (row, shown)
        file = tool.read(parts[row['label']])
        assert data[row['offset']:row['offset'] + len(file)] == file
        assert row['size'] == -(-len(file) // 4096) * 4096 and row['offset'] % 4096 == 0
        assert not any(data[row['offset'] + len(file):row['offset'] + row['size']])
    text = run('protoc', f'-I{os.path.dirname(PROTO)}', '--decode=composite_descriptor.Descriptor',
               os.path.basename(PROTO), data=tool.read('d.img')[len(MAGIC):]).decode()
    assert 'path: "d-header.img"' in text and 'version: 2' in text and f'length: {len(data)}' in text


@with_tool
def test_types_guids_and_attributes_are_what_sfdisk_reads(tool):
    make_parts(tool)
    guid = 'deadbeef-0123-4567-89ab-cdef01234567'
    tool.ok('create', '-o', 'd.img', 'a=a.img:rw,type=esp',
            f'b=b.bin,guid={guid},attributes=required+no-auto',
            'c=c.bin,type=root-x86-64-verity',
            'd=c.bin:ro,type=00112233-4455-6677-8899-AABBCCDDEEFF')
    shown = run('sfdisk', '-d', raw_of(tool)).decode()
    lines = {line.split('name="')[1].split('"')[0]: line for line in shown.splitlines()
             if 'name="' in line}
    assert 'type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B' in lines['a']
    assert f'uuid={guid.upper()}' in lines['b'] and 'attrs="RequiredPartition GUID:63"' in lines['b']
    assert 'type=2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5' in lines['c']
    assert 'type=00112233-4455-6677-8899-AABBCCDDEEFF' in lines['d']
    rows = {row['label']: row for row in tool.json('info', 'd.img')['partitions']}
    assert rows['a']['type'] == 'esp' and rows['b']['attributes'] == 'required+no-auto'
    access = [row['access'] for row in tool.json('info', 'd.img')['components']]
    assert access.count('rw') == 1


# What libfdisk calls our types; it has no name for luks, user-home and the signature of a tree.
LIBFDISK_NAMES = {
    'linux-generic': 'Linux filesystem', 'esp': 'EFI System', 'bios-boot': 'BIOS boot',
    'xbootldr': 'Linux extended boot', 'swap': 'Linux swap', 'home': 'Linux home',
    'srv': 'Linux server data', 'var': 'Linux variable data', 'tmp': 'Linux temporary data',
    'root-x86-64': 'Linux root (x86-64)', 'root-x86-64-verity': 'Linux root verity (x86-64)',
    'usr-x86-64': 'Linux /usr (x86-64)', 'usr-x86-64-verity': 'Linux /usr verity (x86-64)',
    'root-arm64': 'Linux root (ARM-64)', 'root-arm64-verity': 'Linux root verity (ARM-64)',
    'usr-arm64': 'Linux /usr (ARM-64)', 'usr-arm64-verity': 'Linux /usr verity (ARM-64)',
    'lvm': 'Linux LVM', 'raid': 'Linux RAID', 'microsoft-basic-data': 'Microsoft basic data'}


@with_tool
def test_the_types_are_those_that_libfdisk_knows(tool):
    lines = run('sfdisk', '--list-types', '-X', 'gpt').decode().splitlines()
    known = {guid: name for guid, name in (line.split('  ', 1) for line in lines if '-' in line[:9])}
    tool.sparse('p', 4096)
    for name, libfdisk in LIBFDISK_NAMES.items():
        tool.ok('create', '-f', '-o', 'd.img', f'p=p,type={name}')
        shown = run('sfdisk', '-d', raw_of(tool)).decode()
        guid = shown.split('type=')[1].split(',')[0]
        assert known[guid] == libfdisk, (name, guid, known.get(guid))


@with_tool
def test_sectors_of_4096_bytes_are_what_a_guest_with_such_a_disk_reads(tool):
    make_parts(tool)
    tool.ok('create', '--sector-size=4096', '-o', 'd.img', 'a=a.img', 'b=b.bin')
    raw = raw_of(tool)
    assert tool.json('info', 'd.img')['sector-size'] == 4096
    tool.ok('check', 'd.img')
    loop = run('losetup', '--sector-size', '4096', '-r', '-f', '--show', raw).decode().strip()
    try:
        shown = run('sfdisk', '-d', loop).decode()
        assert 'sector-size: 4096' in shown and 'name="b"' in shown, shown
        assert 'No problems found' in run('sgdisk', '-v', loop).decode()
    finally:
        run('losetup', '-d', loop)


@with_tool
def test_a_table_of_sgdisk_in_a_component_is_read(tool):
    tool.sparse('g', 4 * MIB)
    run('sgdisk', '-n', '1:2048:+1M', '-c', '1:one', '-t', '1:ef00', tool.path('g'))
    assert [row['label'] for row in tool.json('info', 'g')['partitions']] == ['one']
    tool.write('d.img', descriptor([('g', 0, False, 0)], 4 * MIB))
    assert tool.json('check', 'd.img')['problems'] == []


@with_tool
def test_a_disk_is_as_large_as_its_files_say_and_costs_the_same(tool):
    sizes = {}
    for size in (MIB, 4 << 30, 4 << 40):
        tool.sparse('p', size)
        done = tool.json('create', '-f', '-o', 'd.img', 'p=p')
        sizes[done['size']] = done['written']
        assert done['written'] < 66000
        assert tool.json('check', 'd.img')['problems'] == []
    assert max(sizes.values()) - min(sizes.values()) < 16
    tool.sparse('q', 4 << 40)
    tool.ok('create', '-o', 'e.img', 'p=p:rw', 'q=q:rw')
    assert tool.json('info', 'e.img')['size'] > 8 << 40


@with_tool
def test_holes_of_many_tib_are_not_read(tool):
    make_parts(tool)
    tool.sparse('huge', 4 << 40)
    with open(tool.path('huge'), 'r+b') as file:
        file.seek(3 << 40)
        file.write(b'in the middle')
    tool.ok('create', '-o', 'd.img', 'a=a.img', 'huge=huge', 'b=b.bin')
    tool.ok('extract', 'd.img', '-o', 'raw')  # would take longer than anybody waits
    assert os.stat(tool.path('raw')).st_blocks * 512 < 4 * MIB
    at = {row['label']: row['offset'] for row in tool.json('info', 'd.img')['partitions']}
    with open(tool.path('raw'), 'rb') as file:
        for label, offset, data in (('a', 0, tool.read('a.img')), ('b', 0, tool.read('b.bin')),
                                    ('huge', 3 << 40, b'in the middle')):
            file.seek(at[label] + offset)
            assert file.read(len(data)) == data, label
    assert 'No problems found' in run('sgdisk', '-v', tool.path('raw')).decode()


@with_tool
def test_qemu_reads_the_same_disk_as_vmdk(tool):
    parts = make_parts(tool)
    words = [f'{label}={file},guid=00000000-0000-4000-8000-00000000000{i}'
             for i, (label, file) in enumerate(parts.items(), 1)]
    tool.ok('create', '--format=vmdk', '-o', 'd.vmdk', *words)
    tool.ok('create', '-o', 'd.img', *words)
    run('qemu-img', 'convert', '-O', 'raw', 'd.vmdk', 'q.raw', cwd=tool.directory)
    ours, theirs = tool.read(os.path.basename(raw_of(tool))), tool.read('q.raw')
    assert ours[20480:-20480] == theirs[20480:-20480]  # the tables have another disk's GUID
    run('sgdisk', '-v', tool.path('q.raw'))
    tool.refuses("partition 'a' is writable and 'b' is read-only", 'create', '--format=vmdk', '-o',
                 'e.vmdk', 'a=a.img:rw', 'b=b.bin')
    tool.ok('create', '--format=device-mapper', '-o', 'd.table', 'alpha=a.img', 'beta=b.bin')
    rows = [line.split() for line in tool.read('d.table').decode().splitlines()]
    assert rows[1] == ['40', '2048', 'linear', 'a.img', '0'], rows
    at = 0
    for begin, count, *_ in rows:
        assert int(begin) == at
        at += int(count)


@with_tool
def test_append_keeps_what_there_was(tool):
    make_parts(tool)
    tool.ok('create', '-o', 'd.img', 'a=a.img:rw,type=esp', 'b=b.bin,attributes=no-auto')
    before = tool.json('info', 'd.img')
    tool.ok('append', 'd.img', 'c=c.bin')
    after = tool.json('info', 'd.img')
    assert after['partitions'][:2] == before['partitions']
    assert after['disk-guid'] == before['disk-guid']
    assert [row['label'] for row in after['partitions']] == ['a', 'b', 'c']
    assert tool.json('check', 'd.img')['problems'] == []
    assert 'No problems found' in run('sgdisk', '-v', raw_of(tool)).decode()
    assert [name for name in tool.names() if name.startswith('d-')] == [
        'd-filler-2.img', 'd-footer-2.img', 'd-header-2.img']
    tool.refuses("two partitions with the label 'a'", 'append', 'd.img', 'a=c.bin')
    tool.write('b.bin', os.urandom(9000))
    tool.refuses("partition 'b' would not stay where it is", 'append', 'd.img', 'e=c.bin')
    assert tool.json('info', 'd.img')['partitions'] == after['partitions']


@with_tool
def test_a_partition_named_as_a_file_beside_the_disk_is_never_removed(tool):
    for name in ('d-header-7.img', 'd-footer-7.img', 'd-filler-7.img'):
        tool.write(name, os.urandom(4096))
    words = ['a=d-header-7.img', 'b=d-filler-7.img', 'c=d-footer-7.img']
    tool.ok('create', '-o', 'd.img', *words)
    tool.ok('create', '-f', '-o', 'd.img', *words)
    assert tool.json('check', 'd.img')['problems'] == []
    tool.write('other', bytes(4096))
    tool.ok('create', '-f', '-o', 'd.img', 'other=other')
    assert tool.names() == ['d-filler-7.img', 'd-footer-7.img', 'd-footer.img', 'd-header-7.img',
                            'd-header.img', 'd.img', 'other']
    # One of the size of a filler, for as long as the disk has it.
    tool.write('d-filler-7.img', os.urandom(100))
    tool.ok('create', '-f', '-o', 'd.img', 'b=d-filler-7.img')
    tool.ok('append', 'd.img', 'other=other')
    assert tool.json('check', 'd.img')['problems'] == []


@with_tool
def test_what_several_append_at_once_is_there_or_was_refused(tool):
    make_parts(tool)
    tool.ok('create', '-o', 'd.img', 'a=a.img')
    with open(tool.path('d.img'), 'rb') as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        for words in (['append', 'd.img', 'c=c.bin'], ['create', '-f', '-o', 'd.img', 'b=b.bin']):
            tool.refuses("'d.img' is in use by another process", *words)
    expected = ['a']
    for turn in range(10):
        running = {f'{turn} {i}': subprocess.Popen(
            [tool.program, 'append', 'd.img', f'{turn} {i}=c.bin'], cwd=tool.directory,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for i in range(4)}
        for label, process in running.items():
            error = process.communicate()[1]
            assert process.returncode == 0 or b'process' in error, error
            expected += [label] if process.returncode == 0 else []
        assert any(label.startswith(str(turn)) for label in expected)
    labels = [row['label'] for row in tool.json('info', 'd.img')['partitions']]
    assert sorted(labels) == sorted(expected)
    assert tool.json('check', 'd.img')['problems'] == []
    assert len([name for name in tool.names() if name.startswith('d-')]) == 3, tool.names()


@with_tool
def test_a_file_by_its_descriptor_is_named_for_whoever_opens_the_disk(tool):
    make_parts(tool)
    with open(tool.path('a.img'), 'rb') as file:
        number = file.fileno()
        done = tool.call('create', '-o', 'd.img', f'a=/proc/self/fd/{number}', pass_fds=[number])
        assert done.returncode == 0, done
        shown = tool.call('info', 'd.img', pass_fds=[number])
        assert shown.returncode == 0 and f' /proc/self/fd/{number}\n' in shown.stdout.decode()
        for name in (f'/dev/fd/{number}', f'/proc/{os.getpid()}/fd/{number}'):
            tool.refuses('is a descriptor of this process', 'create', '-o', 'e.img', f'a={name}',
                         pass_fds=[number], status=2)


@with_tool
def test_paths_are_relative_below_the_disk_and_absolute_elsewhere(tool):
    os.mkdir(tool.path('sub'))
    make_parts(tool)
    tool.write('sub/in.img', bytes(4096))
    tool.ok('create', '-o', 'sub/d.img', 'in=sub/in.img', 'out=a.img')
    paths = [row['path'] for row in tool.json('info', 'sub/d.img')['components']]
    assert paths == ['d-header.img', 'in.img', os.path.realpath(tool.path('a.img')),
                     'd-footer.img'], paths
    tool.ok('check', 'sub/d.img')
    os.rename(tool.path('sub'), tool.path('moved'))
    tool.ok('check', 'moved/d.img')


@with_tool
def test_nested_disks_are_read_through(tool):
    make_parts(tool)
    tool.ok('create', '-o', 'inner.img', 'a=a.img', 'b=b.bin')
    tool.ok('create', '-o', 'outer.img', 'inner=inner.img', 'c=c.bin')
    tool.ok('extract', 'outer.img', 'inner', '-o', 'out')
    tool.ok('extract', 'inner.img', '-o', 'in')
    assert tool.read('in') == tool.read('out')
    # A part of a nested disk, by the newer descriptors' offset into the file.
    tool.write('part.img', descriptor([('inner.img', 0, False, 20480)], MIB + 4096))
    tool.ok('extract', 'part.img', '-o', 'part')
    assert tool.read('part')[:MIB] == tool.read('a.img')
    # Version 1 has paths from where the program is.
    tool.write('old.img', descriptor([('a.img', 0, False, 0)], MIB, version=1))
    tool.ok('extract', 'old.img', '-o', 'old')
    assert tool.read('old') == tool.read('a.img')


@with_tool
def test_what_is_no_disk_is_refused_with_its_reason(tool):
    make_parts(tool)
    os.mkdir(tool.path('dir'))
    os.mkfifo(tool.path('fifo'))
    os.symlink('nowhere', tool.path('dangling'))
    os.symlink('loop', tool.path('loop'))
    tool.write('self.img', descriptor([('self.img', 0, False, 0)], MIB))
    tool.write('qcow.img', b'QFI\xfb' + bytes(4092))
    tool.write('sparse.img', b'\x3a\xff\x26\xed' + bytes(4092))
    for i in range(12):
        inner = f'nest{i + 1}.img' if i < 11 else 'a.img'
        tool.write(f'nest{i}.img', descriptor([(inner, 0, False, 0)], 4096))
    cases = {
        'is a directory': [('dir', 0, False, 0)],
        'is a pipe': [('fifo', 0, False, 0)],
        'is a character device': [('/dev/null', 0, False, 0)],
        "'dangling': No such file": [('dangling', 0, False, 0)],
        'Too many levels of symbolic links': [('loop', 0, False, 0)],
        "'self.img' is in itself": [('self.img', 0, False, 0)],
        'is a qcow2 image, which is not read here': [('qcow.img', 0, False, 0)],
        'is an Android sparse image': [('sparse.img', 0, False, 0)],
        'is writable and begins like a qcow2 image': [('qcow.img', 0, True, 0)],
        'is writable and begins like a composite disk': [('nest11.img', 0, True, 0)],
        'is a composite disk in more than 10 others': [('nest0.img', 0, False, 0)],
        "'a.img' and 'b.bin' are both at 0": [('a.img', 0, False, 0), ('b.bin', 0, False, 0)],
        "'b.bin' at 9223372036854775807 is behind": [('a.img', 0, False, 0),
                                                     ('b.bin', 2 ** 63 - 1, False, 0)],
        "first component 'a.img' is at 1": [('a.img', 1, False, 0)],
        'Bad file descriptor': [('/proc/self/fd/3', 0, False, 0)],
    }
    for reason, components in cases.items():
        tool.write('d.img', descriptor(components, 4096))
        for verb in (['check', 'd.img'], ['extract', 'd.img', '-o', 'never']):
            tool.refuses(reason, *verb)
    with open(tool.path('a.img'), 'rb') as file:
        tool.write('d.img', descriptor([(f'/proc/self/fd/{file.fileno()}', 0, False, 0)], MIB))
        assert tool.call('extract', 'd.img', '-o', 'given',
                         pass_fds=[file.fileno()]).returncode == 0
    assert tool.read('given') == tool.read('a.img')


def on_terminal(tool, columns, *words):
    """What the tool writes to a terminal that is so wide."""
    ours, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    with open(ours, 'rb', buffering=0) as reader:
        with subprocess.Popen([tool.program, *words], cwd=tool.directory, stdin=terminal,
                              stdout=terminal, stderr=terminal) as process:
            os.close(terminal)
            output = b''
            try:
                while data := reader.read(65536):
                    output += data
            except OSError:  # the terminal has gone
                pass
        assert process.returncode == 0, output
    return output.decode().replace('\r\n', '\n')


@with_tool
def test_a_name_adds_no_row_and_a_narrow_terminal_breaks_none(tool):
    name = 'a\n  0  1  rw  0  shadow\x1b[31m\r\n'
    tool.write(name, bytes(4096))
    tool.ok('create', '-o', 'd.img', f'a={name}')
    shown = tool.ok('info', 'd.img')
    assert r'a\x0a  0  1  rw  0  shadow\x1b[31m\x0d\x0a' in shown and '\x1b' not in shown, shown
    paths = [row['path'] for row in tool.json('info', 'd.img')['components']]
    assert len(paths) == 3 and paths[1].startswith(r'a\x0a'), paths

    tool.write('short', bytes(4096))
    tool.ok('create', '-f', '-o', 'd.img', 'a=short')
    narrow = on_terminal(tool, 80, 'info', 'd.img')
    assert max(len(line) for line in narrow.splitlines()) <= 80, narrow
    assert '  label:      a\n' in narrow and '0       20480  ro' in narrow, narrow
    wide = on_terminal(tool, 120, 'info', 'd.img')
    assert wide == tool.ok('info', 'd.img') and '  label  offset' in wide, wide


@with_tool
def test_check_finds_what_is_wrong_with_a_disk(tool):
    parts = make_parts(tool)
    tool.ok('create', '-o', 'd.img', *(f'{label}={file}' for label, file in parts.items()))

    def problems():
        return ' / '.join(tool.json('check', 'd.img', status=1)['problems'])
    os.truncate(tool.path('a.img'), 4096)
    assert "'a.img' has 4096 bytes, and its place on the disk needs 1048576" in problems()
    os.truncate(tool.path('a.img'), MIB)
    footer = tool.read('d-footer.img')
    tool.write('d-footer.img', footer[:-512] + bytes(512))
    assert 'the backup partition table is not there' in problems()
    tool.write('d-footer.img', footer)
    header = bytearray(tool.read('d-header.img'))
    header[1024] ^= 1
    tool.write('d-header.img', header)
    assert 'wrong checksum of its entries' in problems()
    tool.write('twice.img', descriptor([('a.img', 0, True, 0), ('a.img', 4096, True, 0)], 8192))
    assert 'at 0 and at 4096, and writable' in str(
        tool.json('check', 'twice.img', status=1)['problems'])
    os.link(tool.path('a.img'), tool.path('other name'))
    tool.write('twice.img', descriptor([('a.img', 0, True, 0), ('other name', 4096, False, 0),
                                        ('./a.img', 8192, False, 0)], 12288))
    found = [text for text in tool.json('check', 'twice.img', status=1)['problems']
             if 'and writable' in text]
    assert len(found) == 1 and 'at 0 and at 4096' in found[0], found
    tool.write('often.img', descriptor([('a.img', i * 4096, True, 0) for i in range(1000)],
                                       1000 * 4096))
    assert len(tool.json('check', 'often.img', status=1)['problems']) == 1000
    tool.write('odd.img', descriptor([('a.img', 0, False, 0)], 4097))
    assert 'is no multiple of 4096' in str(tool.json('check', 'odd.img', status=1)['problems'])


@with_tool
def test_bad_input_is_named_and_leaves_nothing(tool):
    make_parts(tool)
    tool.sparse('empty', 0)
    os.mkdir(tool.path('dir'))
    os.mkfifo(tool.path('fifo'))
    tool.write('qcow.img', b'QFI\xfb' + bytes(4092))
    tool.write('there.img', b'precious')
    usage = {
        "unknown verb 'crate': did you mean 'create'?": ['crate'],
        "unknown option '--ouput': did you mean '--output'?": ['create', '--ouput=x', 'a=b'],
        "'create' needs '-o DISK'": ['create', 'a=a.img'],
        "'create' needs LABEL=FILE": ['create', '-o', 'd.img'],
        "'a.img' is no partition: write LABEL=FILE": ['create', '-o', 'd.img', 'a.img'],
        "did you mean 'root-x86-64'?": ['create', '-o', 'd.img', 'a=a.img,type=root-x86_64'],
        "no partition type 'ext4'": ['create', '-o', 'd.img', 'a=a.img,type=ext4'],
        "'1234' is no GUID": ['create', '-o', 'd.img', 'a=a.img,guid=1234'],
        "no partition attribute 'hidden'": ['create', '-o', 'd.img', 'a=a.img,attributes=hidden'],
        "takes 512 or 4096, not '1024'": ['create', '--sector-size=1024', '-o', 'd', 'a=a.img'],
        "takes 'crosvm', 'vmdk'": ['create', '--format=qcow2', '-o', 'd', 'a=a.img'],
        "'info' has an argument too many: 'y'": ['info', 'x', 'y'],
        "option '--json' takes": ['info', '--json=yaml', 'x'],
    }
    for sentence, words in usage.items():
        tool.refuses(sentence, *words, status=2)
    failures = {
        "cannot open 'nothing': No such file": ['a=nothing'],
        "'dir' is a directory": ['a=dir'],
        "'fifo' is a pipe": ['a=fifo'],
        "'/dev/null' is a character device": ['a=/dev/null'],
        "the file of partition 'a' is empty": ['a=empty'],
        "two partitions with the label 'a'": ['a=a.img', 'a=b.bin'],
        "writable partition 'b' has 5000 bytes, which is no multiple of 4096": ['b=b.bin:rw'],
        "has 37 UTF-16 units": ['x' * 37 + '=a.img'],
        'have the same GUID': [f'{x}=a.img,guid=00000000-0000-4000-8000-000000000001' for x in 'ab'],
        "are the same file 'a.img', and one of them is writable": ['a=a.img:rw', 'b=a.img'],
        "of partition 'q' is a qcow2 image": ['q=qcow.img'],
    }
    for sentence, words in failures.items():
        tool.refuses(sentence, 'create', '-o', 'd.img', *words)
    tool.refuses("'there.img': File exists; --force replaces it\n", 'create', '-o', 'there.img',
                 'a=a.img')
    tool.refuses('cannot make', 'create', '-o', 'no/where.img', 'a=a.img')
    tool.refuses("would replace the file of its partition 'a'", 'create', '-f', '-o', 'a.img',
                 'a=a.img', status=2)
    assert tool.read('there.img') == b'precious'


@with_tool
def test_extract_replaces_nothing_that_the_disk_is_made_of(tool):
    make_parts(tool)
    tool.ok('create', '-o', 'd.img', 'a=a.img', 'b=b.bin')
    os.symlink('a.img', tool.path('link'))
    before = {name: tool.read(name) for name in tool.names()}
    for file, words in {'a.img': "replace component 'a.img'", 'link': "replace component 'a.img'",
                        'd-header.img': "replace component 'd-header.img'",
                        'd.img': 'replace the disk itself'}.items():
        tool.refuses(words, 'extract', '-f', 'd.img', 'b', '-o', file, status=2)
    tool.refuses('replace the disk itself', 'extract', '-f', 'a.img', '-o', 'a.img', status=2)
    assert {name: tool.read(name) for name in tool.names()} == before


@with_tool
def test_a_file_that_somebody_writes_is_not_read(tool):
    make_parts(tool)
    tool.ok('create', '-o', 'd.img', 'a=a.img:rw')
    with open(tool.path('a.img'), 'rb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        tool.refuses("'a.img' is in use by another process", 'extract', 'd.img', '-o', 'x')
        tool.ok('info', 'd.img')
    tool.ok('extract', 'd.img', '-o', 'x')


@with_tool
def test_a_disk_may_have_more_files_than_the_usual_limit(tool):
    tool.write('a', bytes(4096))
    tool.write('inner', descriptor([('a', i, False, 0) for i in range(100)], 100))
    tool.write('d.img', descriptor([('inner', 100 * i, False, 0) for i in range(40)], 4000))

    def few(hard):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

    assert tool.call('check', 'd.img', preexec_fn=few(5000)).stdout.count(b'pieces: 4000') == 1
    tool.refuses("'a': Too many open files", 'check', 'd.img', preexec_fn=few(1000))


def limited(size):
    """Lets files grow to @size bytes only, as a full disk would."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@with_tool
def test_a_disk_that_cannot_be_written_is_not_there(tool):
    make_parts(tool)
    tool.ok('create', '-o', 'd.img', 'a=a.img', 'b=b.bin')
    before = {name: tool.read(name) for name in tool.names()}
    for size in (0, 1, 50, 131, 4095, 20479):
        for words in (['create', '-o', 'e.img', 'a=a.img', 'b=b.bin'],
                      ['create', '-f', '-o', 'd.img', 'a=a.img', 'b=b.bin'],
                      ['append', 'd.img', 'c=c.bin'], ['extract', 'd.img', '-o', 'x']):
            done = tool.refuses('File too large', *words, preexec_fn=lambda: limited(size))
            assert done.stdout == b''
        assert {name: tool.read(name) for name in tool.names()} == before


@with_tool
def test_a_full_file_system_leaves_nothing_behind(tool):
    make_parts(tool)
    # A file system of its own that has no room for two of the three files.
    script = '''set -eu
        mount -t tmpfs -o size=32k,nr_inodes=20 none full
        status=0
        "$1" create -o full/d.img a=a.img b=b.bin 2>error || status=$?
        ls full >left
        test "$status" = 1 && grep -q "No space left on device" error'''
    os.mkdir(tool.path('full'))
    run('unshare', '-m', '--propagation', 'private', 'bash', '-c', script, 'bash', tool.program,
        cwd=tool.directory)
    assert tool.read('left') == b''


@with_tool
def test_killed_at_any_time_it_leaves_the_old_disk_or_the_new(tool):
    make_parts(tool)
    tool.ok('create', '-o', 'd.img', 'a=a.img', 'b=b.bin')
    for delay in range(0, 6000, 200):
        process = subprocess.Popen([tool.program, 'append', 'd.img', f'p{delay}=c.bin'],
                                   cwd=tool.directory, stdout=subprocess.DEVNULL)
        try:
            process.wait(delay / 1e6)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert tool.json('check', 'd.img')['problems'] == []


@with_tool
def test_files_of_a_disk_that_was_never_finished_are_in_nobodys_way(tool):
    make_parts(tool)
    tool.write('d-header.img', b'left')
    tool.write('d-footer-2.img', b'left')
    tool.ok('create', '-o', 'd.img', 'a=a.img', 'b=b.bin')
    assert tool.json('check', 'd.img')['problems'] == []
    assert [name for name in tool.names() if name.startswith('d-')] == [
        'd-filler.img', 'd-footer-2.img', 'd-footer.img', 'd-header-2.img', 'd-header.img']
    assert tool.read('d-header.img') == tool.read('d-footer-2.img') == b'left'


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()


def make_file_system(directory, name, label):
    path = os.path.join(directory, f'{name}.img')
    with tempfile.TemporaryDirectory() as content:
        with open(f'{content}/name', 'w', encoding='utf-8') as file:
            file.write(f'{label}\n')
        run('mke2fs', '-q', '-t', 'ext4', '-d', content, path, '4M')
    os.chmod(path, 0o666)
    return path


@with_host
def test_a_guest_mounts_every_partition_by_label_and_writes_where_it_may(host):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        disks, paths = [], {}
        for writable, count in ((False, 3), (True, 3)):
            parts = []
            for i in range(count):
                label = f'{"rw" if writable else "ro"} {i}'
                key = f'{"rw" if writable else "ro"}{i}'
                paths[key] = (make_file_system(directory, key, label), label, writable)
                parts.append({'label': label, 'path': key, 'writable': writable})
            disks.append({'partitions': parts, 'writable': writable})
        # Beside a file system that ends between sectors, one that nobody names.
        with open(paths['ro0'][0], 'ab') as file:
            file.write(b'x' * 100)
        bystander = make_file_system(directory, 'bystander', 'bystander')
        before = {path: digest(path) for path in [bystander, *(p for p, _, _ in paths.values())]}

        config, files = host.config(host.payload('probe'), 'probe=mount virtualizationd.debug=1')
        config['disks'] += disks
        opened = {key: os.open(path, os.O_RDWR if writable else os.O_RDONLY)
                  for key, (path, _, writable) in paths.items()}
        files.update(opened)
        try:
            vm = host.create(config, files, start=True)
        finally:
            for fd in opened.values():
                os.close(fd)
        record = vm.death()
        assert record['reason'] == 'shutdown', record
        output = vm.wait_for_output_end().decode()
        for path, label, writable in paths.values():
            mode = 'writable' if writable else 'read-only'
            assert f'{label}: {mode}, named {label}\n' in output, output
            if not writable:
                assert digest(path) == before[path], path
                continue
            assert run('debugfs', '-R', 'cat /written', path).decode().splitlines()[-1] == label
            run('e2fsck', '-fn', path)
        assert digest(bystander) == before[bystander]


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
