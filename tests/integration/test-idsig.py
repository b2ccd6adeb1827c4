#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hash trees and idsigs, with fsverity, veritysetup and apksigner for a second opinion; payloads,
with apksigner, unzip, zipalign and protoc."""
import hashlib
import os
import stat
import struct
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402

BLOCK = 4096
SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 128 * BLOCK - 1, 128 * BLOCK, 128 * BLOCK + 1,
         256 * BLOCK, 256 * BLOCK + 1, 128 * 128 * BLOCK + 1, (150 << 20) + 12345]
MEMORY_MAX = 16 << 10  # KiB
MANIFEST = b'<manifest package="org.example"/>\n'


def with_tool(function):
    def test(suite):
        with Tool(suite) as tool:
            function(tool)
    return test


def bytes_like(size):
    """Not two blocks of them are equal."""
    return hashlib.shake_256(b'seed').digest(size)


def hash_tree(tool, file, threads=0, salt=''):
    """Root, KiB and tree of the library's builder."""
    program = os.path.abspath(f'{tool.suite.build}/programs/hash-tree')
    root, kib = run(program, threads, salt, file, tool.path('tree'), cwd=tool.directory).split()
    return root.decode(), int(kib), tool.read('tree')


def fsverity(tool, file, *options):
    """Root and tree of fsverity; the root is in the descriptor that its digest is of."""
    digest = run('fsverity', 'digest', '--compact', *options, '--out-merkle-tree=fs.tree',
                 '--out-descriptor=fs.descriptor', file, cwd=tool.directory).decode().strip()
    descriptor = tool.read('fs.descriptor')
    assert hashlib.sha256(descriptor).hexdigest() == digest, digest
    return descriptor[16:48].hex(), tool.read('fs.tree')


def veritysetup(tool, file, salt='-'):
    """Root and tree of dm-verity; it takes whole blocks only."""
    said = run('veritysetup', 'format', '--no-superblock', f'--salt={salt}', file, 'dm.tree',
               cwd=tool.directory).decode()
    return said.split('Root hash:')[1].split()[0], tool.read('dm.tree')


@with_tool
def test_trees_are_fsveritys_and_veritysetups(tool):
    data = bytes_like(max(SIZES))
    for size in SIZES:
        file = tool.write('data', data[:size])
        theirs = fsverity(tool, file)
        for threads in (1, 0, 5):
            root, _, tree = hash_tree(tool, file, threads)
            assert (root, tree) == theirs, (size, threads)
        if size:
            os.truncate(file, -(-size // BLOCK) * BLOCK)
            assert veritysetup(tool, file)[0] == root, size
            if tree:
                assert veritysetup(tool, file)[1] == tree, size


@with_tool
def test_salted_trees_are_theirs_too(tool):
    file = tool.write('data', bytes_like(300 * BLOCK))
    for salt in ('00', '0123456789abcdef' * 4, 'fe' * 256):
        root, _, tree = hash_tree(tool, file, 0, salt)
        assert (root, tree) == veritysetup(tool, file, salt), salt
        if len(salt) <= 64:  # fs-verity's is padded to a block of SHA-256
            root, _, tree = hash_tree(tool, file, 0, salt.ljust(128, '0'))
            assert (root, tree) == fsverity(tool, file, f'--salt={salt}'), salt


@with_tool
def test_a_large_file_needs_no_more_memory_than_a_small_one(tool):
    for size, threads in ((1, 1), (3 << 30, 1), (3 << 30, 0), (1 << 30, 64)):
        _, kib, tree = hash_tree(tool, tool.sparse('data', size), threads)
        assert len(tree) >= size // 128
        # What a sanitizer needs for itself is not the program's.
        assert 0 < kib < MEMORY_MAX or tool.suite.sanitized, (size, threads, kib)


# --- APKs ---

def make_key(tool, name='key', kind='EC', option='ec_paramgen_curve:P-256'):
    run('openssl', 'genpkey', '-algorithm', kind, '-pkeyopt', option, '-out', f'{name}.pem',
        cwd=tool.directory)
    run('openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', f'{name}.pem', '-outform', 'DER', '-out',
        f'{name}.der', cwd=tool.directory)
    run('openssl', 'req', '-x509', '-new', '-key', f'{name}.pem', '-subj', f'/CN={name}', '-days',
        '9999', '-out', f'{name}.crt', cwd=tool.directory)


def make_apk(tool, size=3 << 20, name='a.apk'):
    """Signed by apksigner, which makes an idsig with it."""
    if not os.path.exists(tool.path('key.pem')):
        make_key(tool)
    tool.write('AndroidManifest.xml', MANIFEST)
    tool.write('data', bytes_like(size))
    if os.path.exists(tool.path('plain.zip')):
        os.unlink(tool.path('plain.zip'))
    run('zip', '-q', '-0', 'plain.zip', 'AndroidManifest.xml', 'data', cwd=tool.directory)
    run('apksigner', 'sign', '--min-sdk-version', '30', '--v4-signing-enabled', 'true', '--key',
        'key.der', '--cert', 'key.crt', '--in', 'plain.zip', '--out', name, cwd=tool.directory)
    os.rename(tool.path(f'{name}.idsig'), tool.path('theirs.idsig'))


def apksigner_verifies(tool, apk, idsig):
    said = run('apksigner', 'verify', '--min-sdk-version', '30', '-v', '--v4-signature-file', idsig,
               apk, cwd=tool.directory).decode()
    assert 'v4 scheme (APK Signature Scheme v4): true' in said, said


def tree_of(idsig):
    """The tree in an idsig, found by its lengths alone."""
    at = 4
    for _ in range(2):
        at += 4 + struct.unpack_from('<I', idsig, at)[0]
    size, = struct.unpack_from('<I', idsig, at)
    assert len(idsig) == at + 4 + size
    return idsig[at + 4:]


@with_tool
def test_idsigs_of_apksigner_are_taken_and_ours_by_it(tool):
    make_apk(tool)
    theirs = tool.json('idsig', 'verify', 'a.apk', 'theirs.idsig')
    assert theirs['signed'] and theirs['algorithm'] == 'ecdsa-sha256', theirs
    assert theirs['root-hash'] == fsverity(tool, 'a.apk')[0]
    assert tree_of(tool.read('theirs.idsig')) == tool.read('fs.tree')

    ours = tool.json('idsig', 'create', 'a.apk')
    assert ours['state'] == 'written' and not ours['signed'], ours
    assert tree_of(tool.read('a.apk.idsig')) == tool.read('fs.tree')
    verified = tool.json('idsig', 'verify', 'a.apk')
    assert verified['root-hash'] == theirs['root-hash'] and not verified['signed'], verified

    for _ in range(3):  # signatures of different sizes
        ours = tool.json('idsig', 'create', '--key=key.pem', '-f', 'a.apk')
        assert ours['signed'] and ours['apk-digest'] == theirs['apk-digest'], ours
        apksigner_verifies(tool, 'a.apk', 'a.apk.idsig')
        assert tool.json('idsig', 'verify', 'a.apk')['signed']
    assert tree_of(tool.read('a.apk.idsig')) == tool.read('fs.tree')


@with_tool
def test_a_flip_in_any_field_is_refused_with_the_reason(tool):
    make_apk(tool, 700000)
    good = tool.read('theirs.idsig')
    at = {'apk digest': 0x3d}
    at['certificate'] = at['apk digest'] + 32 + 4
    at['additional'] = at['certificate'] + struct.unpack_from('<I', good, at['certificate'] - 4)[0]
    at['public key'] = at['additional'] + 8
    at['algorithm'] = at['public key'] + struct.unpack_from('<I', good, at['public key'] - 4)[0]
    at['signature'] = at['algorithm'] + 8
    tree = len(good) - len(tree_of(good))
    for offset, words in (
            (0, 'version 3'), (4, 'signing info has'), (8, 'hash algorithm 0'),
            (12, 'blocks of 2^13'), (13, 'root hash has'), (17, "root hash has 33 bytes"),
            (0x15, 'signature is not one'), (0x35, 'its sign'),
            (0x39, 'ends within its certificate'), (at['apk digest'], 'for another APK'),
            (at['certificate'], 'not one certificate'),
            (at['additional'] - 1, 'signature is not one'),
            (at['additional'], 'ends within its'), (at['public key'] + 30, 'key'),
            (at['algorithm'], 'signature algorithm 0x200'), (at['signature'] + 10, 'signature'),
            (tree - 3, 'within its tree'), (tree, "block 0 of the idsig's tree"),
            (len(good) - 1, "of the idsig's tree")):
        bad = bytearray(good)
        bad[offset] ^= 1
        tool.write('bad.idsig', bad)
        try:
            tool.refuses(words, 'idsig', 'verify', 'a.apk', 'bad.idsig')
        except AssertionError as problem:
            raise AssertionError(hex(offset)) from problem
    tool.write('bad.idsig', good + b'\0')
    tool.refuses('1 bytes behind its tree', 'idsig', 'verify', 'a.apk', 'bad.idsig')
    tool.write('bad.idsig', good[:-1])
    tool.refuses('ends within its tree', 'idsig', 'verify', 'a.apk', 'bad.idsig')


@with_tool
def test_an_idsig_is_for_one_apk(tool):
    make_apk(tool, 700000)
    os.rename(tool.path('theirs.idsig'), tool.path('of-a.idsig'))
    make_apk(tool, 700001, 'b.apk')
    tool.refuses('for another APK', 'idsig', 'verify', 'b.apk', 'of-a.idsig')
    data = bytearray(tool.read('a.apk'))
    data[5000] ^= 1
    tool.write('a.apk', data)
    tool.refuses('digest', 'idsig', 'verify', 'a.apk', 'of-a.idsig')

    make_key(tool, 'other')
    tool.refuses('signed with another key', 'idsig', 'create', '--key=other.pem', '-o', 'x.idsig',
                 'b.apk', status=2)


@with_tool
def test_what_is_up_to_date_is_left_and_junk_is_not_lost(tool):
    make_apk(tool, 700000)
    tool.ok('idsig', 'create', 'a.apk')
    before, data = os.stat(tool.path('a.apk.idsig')), tool.read('a.apk.idsig')
    assert 'up to date' in tool.ok('idsig', 'create', 'a.apk')
    after = os.stat(tool.path('a.apk.idsig'))
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert 'written' in tool.ok('idsig', 'create', '-f', 'a.apk')
    assert tool.read('a.apk.idsig') == data

    # One that is not signed is not what was asked for with a key; the other way round it is.
    assert tool.json('idsig', 'create', '--key=key.pem', 'a.apk')['state'] == 'written'
    assert tool.json('idsig', 'create', '--key=key.pem', 'a.apk')['state'] == 'up to date'
    left = tool.json('idsig', 'create', 'a.apk')
    assert left['state'] == 'up to date' and left['signed'], left

    make_apk(tool, 800000)  # a new build: its old idsig is replaced
    assert tool.json('idsig', 'create', 'a.apk')['state'] == 'written'
    tool.ok('idsig', 'verify', 'a.apk')

    tool.write('a.apk.idsig', b'letters to grandmother')
    tool.refuses('is there and no idsig', 'idsig', 'create', 'a.apk')
    assert tool.read('a.apk.idsig') == b'letters to grandmother'
    assert 'written' in tool.ok('idsig', 'create', '-f', 'a.apk')
    tool.ok('idsig', 'verify', 'a.apk')


@with_tool
def test_files_of_the_wrong_kind_are_refused(tool):
    make_apk(tool, 5000)
    os.mkdir(tool.path('directory'))
    os.mkfifo(tool.path('pipe'))
    tool.write('empty', b'')
    for name, words in (('directory', 'is a directory'), ('pipe', 'is a pipe'),
                        ('/dev/null', 'is a character device'), ('missing', 'No such file'),
                        ('empty', 'zip'), ('plain.zip', 'is not signed')):
        tool.refuses(words, 'idsig', 'create', '-o', 'new.idsig', name)
        if name != 'plain.zip' and name != 'empty':
            tool.refuses(words, 'idsig', 'verify', 'a.apk', name)
    for name in ('directory', 'pipe', '/dev/null'):
        tool.refuses('', 'idsig', 'create', '-o', name, 'a.apk')
        tool.refuses('', 'idsig', 'create', '-f', '-o', name, 'a.apk')
    apk = tool.read('a.apk')
    os.link(tool.path('a.apk'), tool.path('same'))
    for name in ('a.apk', 'same'):
        tool.refuses('is the APK itself', 'idsig', 'create', '-f', '-o', name, 'a.apk', status=2)
    assert tool.read('a.apk') == apk


# --- payloads ---

def make_folder(tool):
    for name, data, mode in (('AndroidManifest.xml', MANIFEST, 0o600),
                             ('assets/vm_config.json', b'{}', 0o664), ('assets/zero', b'', 0o644),
                             ('lib/x86_64/main.so', bytes_like(300000), 0o700)):
        path = tool.path(f'folder/{name}')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(data)
        os.chmod(path, mode)
    os.makedirs(tool.path('folder/nothing'))


@with_tool
def test_a_folder_becomes_a_payload_that_all_tools_take(tool):
    make_key(tool, 'rsa', 'RSA', 'rsa_keygen_bits:2048')
    make_folder(tool)
    said = tool.json('payload', 'create', '--key=rsa.pem', '--cert=rsa.crt', '-o', 'a.apk',
                     'folder')
    assert said['entries'] == 8 and said['size'] == len(tool.read('a.apk')), said
    apksigner_verifies(tool, 'a.apk', 'a.apk.idsig')
    tool.ok('idsig', 'verify', 'a.apk')
    tool.ok('apk', 'verify', 'a.apk')
    run('unzip', '-t', 'a.apk', cwd=tool.directory)
    run('zipalign', '-c', '-p', '4', 'a.apk', cwd=tool.directory)
    run('unzip', '-q', 'a.apk', '-d', 'out', cwd=tool.directory)
    run('diff', '-r', 'folder', 'out', cwd=tool.directory)
    assert stat.S_IMODE(os.stat(tool.path('out/lib/x86_64/main.so')).st_mode) & 0o111
    assert not stat.S_IMODE(os.stat(tool.path('out/assets/zero')).st_mode) & 0o111


@with_tool
def test_the_same_folder_makes_the_same_bytes(tool):
    make_key(tool, 'rsa', 'RSA', 'rsa_keygen_bits:2048')
    make_folder(tool)
    options = ('payload', 'create', '--key=rsa.pem', '--cert=rsa.crt')
    tool.ok(*options, '-o', 'a.apk', 'folder')
    os.rename(tool.path('folder'), tool.path('old'))
    run('cp', '-r', 'old', 'folder', cwd=tool.directory)  # other times, other inodes
    os.chmod(tool.path('folder/assets/zero'), 0o400)
    tool.ok(*options, '-o', 'b.apk', 'folder/')
    for suffix in ('', '.idsig'):
        assert tool.read(f'a.apk{suffix}') == tool.read(f'b.apk{suffix}')
    tool.write('folder/assets/zero', b'1')
    tool.ok(*options, '-f', '-o', 'b.apk', 'folder')
    assert tool.read('a.apk.idsig') != tool.read('b.apk.idsig')
    tool.ok('idsig', 'verify', 'b.apk')


@with_tool
def test_a_payload_is_whole_or_not_there(tool):
    make_key(tool)
    make_folder(tool)
    options = ('payload', 'create', '--key=key.pem', '-o', 'a.apk')
    bad = tool.path('folder/lib/bad')
    for make, words in ((lambda: os.symlink('main.so', bad), "'lib/bad' is a symbolic link"),
                        (lambda: os.mkfifo(bad), "'lib/bad' is a pipe"),
                        (lambda: os.mknod(bad, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
                         "'lib/bad' is a device")):
        make()
        tool.refuses(words, *options, 'folder')
        os.unlink(bad)
    with open(tool.path('folder/lib/a\nb'), 'wb'):
        tool.refuses('control character', *options, 'folder')
    os.unlink(tool.path('folder/lib/a\nb'))
    tool.refuses('is empty', *options, 'folder/nothing')
    tool.refuses('No such file', *options, 'missing')
    tool.refuses('Not a directory', *options, 'key.pem')
    tool.refuses("'--key=FILE' is missing", 'payload', 'create', '-o', 'a.apk', 'folder', status=2)
    tool.refuses("'--output=FILE' is missing", 'payload', 'create', '--key=key.pem', 'folder',
                 status=2)
    tool.write('a.apk.idsig', b'letters to grandmother')
    tool.refuses("'a.apk.idsig': File exists", *options, 'folder')
    assert tool.read('a.apk.idsig') == b'letters to grandmother'
    tool.ok(*options, '-f', 'folder')
    tool.ok('idsig', 'verify', 'a.apk')


@with_tool
def test_metadata_is_what_protoc_reads_and_writes(tool):
    proto = os.path.abspath(f"{os.environ['top_srcdir']}/composite-disk/payload-metadata.proto")
    protoc = ('protoc', f'-I{os.path.dirname(proto)}')
    apexes = ['com.android.art', 'com.android.i18n']
    tool.ok('payload', 'metadata', 'config', '--config=/mnt/apk/assets/c.json',
            *(f'--apex={name}' for name in apexes))
    data = tool.read('config')
    assert struct.unpack_from('>i', data)[0] == len(data) - 4
    text = run(*protoc, '--decode=payload_metadata_wire.Metadata', proto, data=data[4:]).decode()
    for words in ('version: 1', 'name: "com.android.i18n"', 'partition: "microdroid-apex-1"',
                  'partition: "microdroid-apk"', 'idsig_partition: "microdroid-apk-idsig"',
                  'config_path: "/mnt/apk/assets/c.json"'):
        assert words in text, text
    assert run(*protoc, '--encode=payload_metadata_wire.Metadata', proto,
               data=text.encode()) == data[4:]

    tool.write('config', data + bytes(512 - len(data)))  # as on a partition
    info = tool.json('payload', 'info', 'config')
    assert [apex['name'] for apex in info['apexes']] == apexes, info
    tool.ok('payload', 'metadata', 'program', '--binary=main.so', '--extra-apks=2')
    info = tool.json('payload', 'info', 'program')
    assert (info['binary'], info['extra-apks'], info['apexes']) == ('main.so', 2, []), info

    tool.write('bad', struct.pack('>i', 2) + b'\x08\x02')
    tool.refuses('version 2; only 1', 'payload', 'info', 'bad')
    tool.refuses('at most', 'payload', 'info', tool.sparse('huge', 1 << 40))
    tool.refuses('is needed', 'payload', 'metadata', 'new', status=2)
    tool.refuses("'--extra-apks'", 'payload', 'metadata', 'new', '--binary=x', '--extra-apks=63',
                 status=2)


@with_tool
def test_a_payload_disk_has_what_a_guest_looks_for(tool):
    make_key(tool)
    for name in ('app', 'extra0', 'extra1'):
        os.mkdir(tool.path(name))
        tool.write(f'{name}/file', os.urandom(10000))
        tool.ok('payload', 'create', '--key=key.pem', '-o', f'{name}.apk', name)
    tool.write('os.apex', os.urandom(5000))
    words = ['payload', 'disk', '--binary=main.so', '--extra-apk=extra0.apk',
             '--extra-apk=extra1.apk', '--apex=com.android.os:os.apex', 'app.apk']
    tool.refuses("needs '-o DISK'", *words, status=2)
    tool.ok(*words, '-o', 'd.img')
    assert tool.json('check', 'd.img')['problems'] == []
    partitions = [row['label'] for row in tool.json('info', 'd.img')['partitions']]
    assert partitions == ['payload-metadata', 'microdroid-apex-0', 'microdroid-apk',
                          'microdroid-apk-idsig', 'extra-apk-0', 'extra-idsig-0', 'extra-apk-1',
                          'extra-idsig-1'], partitions
    for label, file in (('microdroid-apk', 'app.apk'), ('extra-apk-1', 'extra1.apk'),
                        ('extra-idsig-0', 'extra0.apk.idsig'), ('microdroid-apex-0', 'os.apex')):
        tool.ok('extract', '-f', '-o', 'part', 'd.img', label)
        data = tool.read(file)
        assert tool.read('part')[:len(data)] == data, label
    tool.ok('extract', '-f', '-o', 'part', 'd.img', 'payload-metadata')
    info = tool.json('payload', 'info', 'part')
    assert (info['binary'], info['extra-apks']) == ('main.so', 2), info
    assert info['apexes'][0]['name'] == 'com.android.os'
    tool.ok('extract', '-f', '-o', 'part', 'd.img', 'microdroid-apk')
    tool.ok('apk', 'verify', '--padded', 'part')
    tool.refuses('File exists', *words, '-o', 'd.img')
    os.unlink(tool.path('extra1.apk.idsig'))
    tool.refuses("cannot open 'extra1.apk.idsig'", *words, '-o', 'e.img')
    tool.refuses("takes NAME:FILE, not 'os.apex'", 'payload', 'disk', '--config=/a', '-o', 'e.img',
                 '--apex=os.apex', 'app.apk', status=2)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
