#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""composite-disk vbmeta: against a reader of another make, openssl, mkfs.erofs and veritysetup."""
import hashlib
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402

BLOCK = 4096
KEYS = os.path.join(os.path.abspath(os.environ['top_srcdir']), 'tests', 'keys')
HEADER = struct.Struct('>4sIIQQIQQQQQQQQQQQII48s80s')
FIELDS = ('magic major minor authentication auxiliary algorithm hash_offset hash_size '
          'signature_offset signature_size key_offset key_size metadata_offset metadata_size '
          'descriptors_offset descriptors_size rollback_index flags location release '
          'reserved').split()
ALGORITHMS = ['NONE', 'SHA256_RSA2048', 'SHA256_RSA4096', 'SHA256_RSA8192', 'SHA512_RSA2048',
              'SHA512_RSA4096', 'SHA512_RSA8192']


def key_path(bits):
    return f'{KEYS}/rsa-{bits}.pem'


def modulus(path, *how):
    text = subprocess.run(['openssl', 'rsa', '-in', path, *how, '-noout', '-modulus'], check=True,
                          capture_output=True, text=True).stdout
    return int(text.strip().partition('=')[2], 16)


def encode_key(path, bits):
    """The public key as AVB has it, from openssl's modulus and arithmetic of this language."""
    number = modulus(path)
    inverse = -pow(number, -1, 1 << 32) % (1 << 32)
    size = bits // 8
    return (struct.pack('>II', bits, inverse) + number.to_bytes(size, 'big') +
            pow(2, 2 * bits, number).to_bytes(size, 'big'))


class Reader:
    """A vbmeta structure, taken apart by the list of its fields."""

    def __init__(self, data):
        self.data = data
        for name, value in zip(FIELDS, HEADER.unpack(data[:256])):
            setattr(self, name, value)
        assert self.magic == b'AVB0' and self.major == 1 and not any(self.reserved)
        assert self.authentication % 64 == 0 and self.auxiliary % 64 == 0
        block = data[256:256 + self.authentication]
        self.hash = block[self.hash_offset:][:self.hash_size]
        self.signature = block[self.signature_offset:][:self.signature_size]
        assert not any(block[self.hash_size + self.signature_size:])
        block = data[256 + self.authentication:][:self.auxiliary]
        self.key = block[self.key_offset:][:self.key_size]
        self.text = self.release.rstrip(b'\0').decode()
        self.signed = data[:256] + block
        self.descriptors = list(self.walk(block[self.descriptors_offset:]
                                          [:self.descriptors_size]))
        assert not any(block[self.metadata_offset + self.metadata_size:])
        assert len(data) == 256 + self.authentication + self.auxiliary

    @staticmethod
    def walk(rest):
        while rest:
            tag, size = struct.unpack('>QQ', rest[:16])
            assert size % 8 == 0 and len(rest) >= 16 + size
            yield tag, rest[16:16 + size]
            rest = rest[16 + size:]

    def of(self, tag):
        return [DECODERS[tag](body) for number, body in self.descriptors if number == tag]


def split(body, *sizes):
    parts = []
    for size in sizes:
        parts.append(body[:size])
        body = body[size:]
    assert not any(body) and len(body) < 8
    return parts


def read_property(body):
    key, value = struct.unpack('>QQ', body[:16])
    parts = split(body[16:], key, 1, value, 1)
    assert parts[1] == parts[3] == b'\0'
    return {'key': parts[0].decode(), 'value': parts[2].decode()}


def read_hashtree(body):
    fields = struct.unpack('>IQQQIIIQQ32sIIII', body[:104])
    assert fields[0] == 1 and not any(body[104:164])
    name, salt, digest = split(body[164:], *fields[10:13])
    return {'partition': name.decode(), 'image-size': fields[1], 'tree-offset': fields[2],
            'tree-size': fields[3], 'data-block-size': fields[4], 'hash-block-size': fields[5],
            'fec-roots': fields[6], 'fec-offset': fields[7], 'fec-size': fields[8],
            'algorithm': fields[9].rstrip(b'\0').decode(), 'salt': salt.hex(),
            'root-digest': digest.hex(), 'flags': fields[13]}


def read_hash(body):
    fields = struct.unpack('>Q32sIIII', body[:56])
    assert not any(body[56:116])
    name, salt, digest = split(body[116:], *fields[2:5])
    return {'partition': name.decode(), 'image-size': fields[0],
            'algorithm': fields[1].rstrip(b'\0').decode(), 'salt': salt.hex(),
            'digest': digest.hex(), 'flags': fields[5]}


def read_cmdline(body):
    flags, size = struct.unpack('>II', body[:8])
    return {'flags': flags, 'text': split(body[8:], size)[0].decode()}


def read_chain(body):
    location, name_size, key_size, flags = struct.unpack('>IIII', body[:16])
    assert not any(body[16:76])
    name, key = split(body[76:], name_size, key_size)
    return {'partition': name.decode(), 'rollback-index-location': location,
            'public-key-sha256': hashlib.sha256(key).hexdigest(), 'flags': flags}


DECODERS = {0: read_property, 1: read_hashtree, 2: read_hash, 3: read_cmdline, 4: read_chain}
ARRAYS = {0: 'properties', 1: 'hashtrees', 2: 'hashes', 3: 'kernel-cmdlines',
          4: 'chain-partitions'}


class Tool:
    def __init__(self, suite, directory):
        self.path = os.path.join(os.path.abspath(suite.build), 'programs', 'composite-disk')
        self.directory = directory

    def run(self, *words, **more):
        return subprocess.run([self.path, 'vbmeta', *words], cwd=self.directory, text=True,
                              timeout=60, capture_output=True, check=False, **more)

    def __call__(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, (words, done)
        return done.stdout

    def json(self, *words):
        return json.loads(self(*words, '--json=short'))

    def refuses(self, says, *words, status=1):
        done = self.run(*words)
        assert done.returncode == status and says in done.stderr, (says, words, done)

    def read(self, name):
        with open(f'{self.directory}/{name}', 'rb') as file:
            return file.read()

    def write(self, name, data):
        with open(f'{self.directory}/{name}', 'wb') as file:
            file.write(data)

    def names(self):
        return sorted(os.listdir(self.directory))


def with_tool(function):
    def run(suite):
        with tempfile.TemporaryDirectory() as directory:
            function(Tool(suite, directory))
    return run


def make_erofs(tool, name, size):
    """A file system with files of @size bytes in all."""
    tree = f'{tool.directory}/tree'
    os.mkdir(tree)
    for number in range(4):
        with open(f'{tree}/file-{number}', 'wb') as file:
            for part in range(size // 4 // 32):
                file.write(hashlib.sha256(f'{number} {part}'.encode()).digest())
    subprocess.run(['mkfs.erofs', '-T0', name, 'tree'], cwd=tool.directory, check=True,
                   capture_output=True)
    shutil.rmtree(tree)


def verity(tool, action, *words, check=True):
    return subprocess.run(['veritysetup', action, '--no-superblock', *words], cwd=tool.directory,
                          check=check, capture_output=True, text=True)


def verity_words(name, tree):
    return [f'--hash-offset={tree["tree-offset"]}', '--hash=sha256',
            f'--data-blocks={tree["image-size"] // BLOCK}', f'--salt={tree["salt"] or "-"}',
            '--data-block-size=4096', '--hash-block-size=4096', name, name, tree['root-digest']]


@with_tool
def test_every_field_is_what_another_reader_finds(tool):
    tool.write('boot', os.urandom(10000))
    for number, algorithm in enumerate(ALGORITHMS[1:], 1):
        bits = int(algorithm[-4:])
        name = algorithm.lower()
        tool('make', '-o', name, f'--key={key_path(bits)}', f'--algorithm={algorithm}',
             '--rollback-index=18446744073709551615:7', '--flags=4', '--prop=com.example.a:1:2',
             '--prop=empty:', '--cmdline=quiet panic=-1', '--cmdline=x',
             f'--chain=vendor:2:{key_path(4096)}', f'--chain=odm:1:{key_path(2048)}',
             '--hash=boot:boot', '--salt=00ff10')
        data = tool.read(name)
        reader, info = Reader(data), tool.json('info', name)
        assert (reader.algorithm, reader.rollback_index, reader.location, reader.flags) == \
            (number, 2 ** 64 - 1, 7, 4)
        assert reader.key == encode_key(key_path(bits), bits), algorithm
        for tag, array in ARRAYS.items():
            assert info[array] == reader.of(tag), (array, info[array], reader.of(tag))
        assert [tag for tag, _ in reader.descriptors] == [4, 4, 0, 0, 3, 3, 2]
        assert [row['partition'] for row in info['chain-partitions']] == ['odm', 'vendor']
        assert info['properties'][0] == {'key': 'com.example.a', 'value': '1:2'}
        digest = hashlib.sha256(b'\x00\xff\x10' + tool.read('boot')).hexdigest()
        assert info['hashes'][0]['digest'] == digest
        assert info['algorithm'] == algorithm and info['version'] == f'1.{reader.minor}' == '1.2'
        assert info['release'] == reader.text and info['vbmeta-size'] == len(data)
        assert info['rollback-index'] == 2 ** 64 - 1
        assert info['public-key-sha256'] == hashlib.sha256(reader.key).hexdigest()
        hasher = 'sha256' if number <= 3 else 'sha512'
        assert reader.hash == hashlib.new(hasher, reader.signed).digest()
        tool.write('signed', reader.signed)
        tool.write('signature', reader.signature)
        subprocess.run(['openssl', 'dgst', f'-{hasher}', '-prverify', key_path(bits), '-signature',
                        'signature', 'signed'], cwd=tool.directory, check=True,
                       capture_output=True)


@with_tool
def test_what_another_writer_makes_is_verified(tool):
    """Signed by openssl, with the parts of each block in another order and room between them."""
    key = encode_key(key_path(2048), 2048)
    descriptor = struct.pack('>QQII', 3, 16, 0, 5) + b'quiet\0\0\0'
    auxiliary = key + bytes(8) + descriptor
    auxiliary += bytes(-len(auxiliary) % 64)
    header = HEADER.pack(b'AVB0', 1, 0, 320, len(auxiliary), 1, 288, 32, 16, 256, 0, len(key),
                         0, 0, len(key) + 8, len(descriptor), 5, 0, 0, b'other', bytes(80))
    tool.write('signed', header + auxiliary)
    subprocess.run(['openssl', 'dgst', '-sha256', '-sign', key_path(2048), '-out', 'signature',
                    'signed'], cwd=tool.directory, check=True)
    digest = hashlib.sha256(header + auxiliary).digest()
    block = bytes(16) + tool.read('signature') + bytes(16) + digest
    tool.write('vbmeta', header + block + auxiliary + b'behind it')
    subprocess.run(['openssl', 'pkey', '-in', key_path(2048), '-pubout', '-out', 'public'],
                   cwd=tool.directory, check=True)
    tool.write('avb-key', key)
    for trusted in key_path(2048), 'public', 'avb-key':
        tool('verify', f'--key={trusted}', 'vbmeta')
    assert tool.json('info', 'vbmeta')['kernel-cmdlines'] == [{'flags': 0, 'text': 'quiet'}]
    tool.refuses('with another key', 'verify', f'--key={key_path(4096)}', 'vbmeta')


@with_tool
def test_veritysetup_takes_the_tree_of_a_file_system(tool):
    for size, salt in ((3 << 20, 'aa' * 32), (100000, ''), (20 << 20, '00')):
        make_erofs(tool, 'erofs', size)
        tool('add-hashtree', '--name=root', '-fo', 'image', f'--salt={salt}',
             f'--key={key_path(2048)}', 'erofs')
        tree = tool.json('info', 'image')['hashtrees'][0]
        assert tree['salt'] == salt
        verity(tool, 'verify', *verity_words('image', tree))
        # The same bytes as those of a tree that veritysetup makes.
        erofs = tool.read('erofs')
        assert len(erofs) % BLOCK == 0
        made = verity(tool, 'format', '--hash=sha256', f'--salt={salt or "-"}', 'erofs', 'tree')
        assert tree['root-digest'] in made.stdout, made.stdout
        data = tool.read('image')
        assert data[:len(erofs)] == erofs
        assert data[len(erofs):][:tree['tree-size']] == tool.read('tree')
        os.unlink(f'{tool.directory}/tree')
        # What dm-verity would refuse, both of them do.
        flipped = bytearray(data)
        flipped[5 * BLOCK + 17] ^= 1
        tool.write('flipped', flipped)
        assert verity(tool, 'verify', *verity_words('flipped', tree), check=False).returncode != 0
        tool.refuses('hash of block 5', 'verify', 'flipped')


@with_tool
def test_the_footer_leads_to_a_structure_that_another_reader_reads(tool):
    tool.write('odd', os.urandom(300 * BLOCK + 77))
    made = tool.json('add-hashtree', '--name=system', '-o', 'image', '--salt=01',
                     f'--key={key_path(4096)}', '--rollback-index=3', '--prop=a:b', '--cmdline=c',
                     f'--partition-size={400 * BLOCK}', 'odd')
    data = tool.read('image')
    assert len(data) == 400 * BLOCK == made['partition-size']
    magic, major, minor, original, offset, size = struct.unpack('>4sIIQQQ', data[-64:-28])
    assert (magic, major, minor, original) == (b'AVBf', 1, 0, 300 * BLOCK + 77)
    assert not any(data[-28:]) and not any(data[offset + size:-64])
    reader = Reader(data[offset:offset + size])
    assert [tag for tag, _ in reader.descriptors] == [1, 0, 3]
    tree = reader.of(1)[0]
    assert tree['image-size'] == tree['tree-offset'] == 301 * BLOCK
    assert tree['tree-size'] == 4 * BLOCK and offset == 305 * BLOCK
    assert not any(data[original:301 * BLOCK]) and data[:original] == tool.read('odd')
    assert tree['root-digest'] == made['root-digest']
    verity(tool, 'verify', *verity_words('image', tree))
    info = tool.json('info', 'image')
    assert info['original-image-size'] == original and info['hashtrees'] == [tree]
    # Once more on what has a footer already: the same image, and so the same bytes.
    tool('add-hashtree', '--name=system', '-o', 'again', '--salt=01', f'--key={key_path(4096)}',
         '--rollback-index=3', '--prop=a:b', '--cmdline=c', f'--partition-size={400 * BLOCK}',
         'image')
    assert tool.read('again') == data
    os.rename(f'{tool.directory}/odd', f'{tool.directory}/in-place')
    tool('add-hashtree', '--name=system', '--in-place', '--salt=01', f'--key={key_path(4096)}',
         '--rollback-index=3', '--prop=a:b', '--cmdline=c', f'--partition-size={400 * BLOCK}',
         'in-place')
    assert tool.read('in-place') == data
    tool.refuses('has an AVB footer already', 'add-hashtree', '--name=x', '--in-place', 'in-place')
    assert tool.read('in-place') == data


@with_tool
def test_flipped_bytes_are_refused_with_a_reason(tool):
    tool.write('data', os.urandom(200 * BLOCK))
    tool('add-hashtree', '--name=system', '-o', 'image', f'--key={key_path(2048)}', 'data')
    good = tool.read('image')
    info = tool.json('info', 'image')
    tree, at = info['hashtrees'][0]['tree-offset'], info['vbmeta-offset']
    auxiliary = at + 256 + 320
    cases = [(0, 'hash of block 0'), (200 * BLOCK - 1, 'hash of block 199'),
             (tree, f'altered at offset {tree} '), (at - 1, f'altered at offset {at - 1} '),
             (at, 'AVB0'), (at + 7, 'version'), (at + 31, 'algorithm'), (at + 19, 'vbmeta'),
             (at + 47, 'overlap'), (at + 119, 'was altered'), (at + 128, 'was altered'),
             (at + 200, 'was altered'), (at + 256, 'was altered'),
             (at + 256 + 32, 'signature is not one'), (at + 256 + 32 + 255, 'signature is not one'),
             (auxiliary, 'was altered'), (auxiliary + 200, 'was altered'),
             (at + info['vbmeta-size'] - 1, 'was altered'),
             (len(good) - 64, 'AVB0'),  # no footer, and no structure at the beginning either
             (len(good) - 64 + 7, 'footer of version'), (len(good) - 64 + 20, 'AVB footer'),
             (len(good) - 64 + 28, 'AVB footer')]
    for offset, says in cases:
        data = bytearray(good)
        data[offset] ^= 1
        tool.write('image', data)
        tool.refuses(says, 'verify', f'--key={key_path(2048)}', 'image')
    tool.write('image', good)
    tool('verify', f'--key={key_path(2048)}', 'image')
    for size in (len(good) - 1, 100 * BLOCK, 63, 0):
        tool.write('image', good[:size])
        assert tool.run('verify', 'image').returncode == 1


@with_tool
def test_an_image_without_a_name_is_verified_too(tool):
    data = os.urandom(10 * BLOCK)
    tool.write('data', data)
    tool('add-hashtree', '--name=', '-o', 'image', f'--key={key_path(2048)}', 'data')
    tool('verify', f'--key={key_path(2048)}', 'image')
    image = bytearray(tool.read('image'))
    image[5 * BLOCK] ^= 1
    tool.write('image', image)
    tool.refuses('hash of block 5', 'verify', f'--key={key_path(2048)}', 'image')


@with_tool
def test_each_image_has_its_own_verdict(tool):
    for name in 'boot', 'init', 'root':
        tool.write(name, os.urandom(30 * BLOCK))
    tool('add-hashtree', '--name=root', '-o', 'root.img', f'--key={key_path(2048)}', 'root')
    tool('make', '-o', 'vbmeta', f'--key={key_path(4096)}', '--include=root.img',
         '--hash=init:init', '--hash=boot:boot', f'--chain=vendor:1:{key_path(2048)}')
    assert [tag for tag, _ in Reader(tool.read('vbmeta')).descriptors] == [4, 2, 2, 1]
    images = ['boot=boot', 'init=init', 'root=root.img', 'vendor=root.img']
    rows = tool.json('verify', 'vbmeta', *images)['partitions']
    assert [(row['partition'], row['type'], row['result']) for row in rows] == [
        ('vendor', 'chain-partition', 'verified'), ('boot', 'hash', 'verified'),
        ('init', 'hash', 'verified'), ('root', 'hashtree', 'verified')], rows
    rows = tool.json('verify', 'vbmeta', 'boot=boot')['partitions']
    assert [row['result'] for row in rows] == ['not checked', 'verified'] + 2 * ['not checked']
    done = tool.run('verify', '--json', 'vbmeta', 'boot=init', 'init=init', 'root=root',
                    'vendor=vbmeta')
    assert done.returncode == 1 and 'signed with another key' in done.stderr, done
    results = [row['result'] for row in json.loads(done.stdout)['partitions']]
    assert 'signed with another key' in results[0] and "'boot' was altered" in results[1]
    assert results[2] == 'verified' and "'root' has" in results[3], results
    tool.refuses("nothing of a partition 'other'", 'verify', 'vbmeta', 'other=boot')
    tool.refuses("two images are given for partition 'boot'", 'verify', 'vbmeta', 'boot=boot',
                 'boot=init', status=2)
    tool.refuses("'boot' is not PARTITION=IMAGE", 'verify', 'vbmeta', 'boot', status=2)
    tool.refuses("No such file", 'verify', 'vbmeta', 'boot=none')


@with_tool
def test_unsigned_disabled_and_rolled_back_structures_are_refused(tool):
    tool('make', '-o', 'unsigned', '--prop=a:b')
    assert tool.json('info', 'unsigned')['algorithm'] == 'NONE'
    tool.refuses('is not signed', 'verify', 'unsigned')
    tool.refuses('is not signed', 'verify', f'--key={key_path(2048)}', 'unsigned')
    for flags, says in ((1, 'hash trees off (flags 1)'), (2, 'everything off'), (3, 'everything')):
        tool('make', '-fo', 'flags', f'--flags={flags}', f'--key={key_path(2048)}')
        tool.refuses(says, 'verify', 'flags')
    tool('make', '-o', 'index', '--rollback-index=5', f'--key={key_path(2048)}')
    tool('verify', '--min-rollback-index=5', 'index')
    tool.refuses('index 5, which is below 6', 'verify', '--min-rollback-index=6', 'index')


@with_tool
def test_wrong_words_and_files_are_refused_and_nothing_is_made(tool):
    key = f'--key={key_path(2048)}'
    tool.write('image', bytes(BLOCK))
    tool.write('there', b'old')
    os.mkfifo(f'{tool.directory}/pipe')
    for bits, name in ((3072, 'rsa-3072'), (1024, 'rsa-1024')):
        subprocess.run(['openssl', 'genrsa', '-out', name, str(bits)], cwd=tool.directory,
                       check=True, capture_output=True)
    subprocess.run(['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-out', 'ec'], cwd=tool.directory, check=True,
                   capture_output=True)
    before = tool.names()
    usage = [("'--output' is needed", ['make']), ('3072 bits; AVB has', ['make', '-o', 'x',
                                                                        '--key=rsa-3072']),
             ('takes a key of 4096 bits, not of 2048', ['make', '-o', 'x', key,
                                                        '--algorithm=SHA256_RSA4096']),
             ('needs a key', ['make', '-o', 'x', '--algorithm=SHA256_RSA4096']),
             ("not 'SHA1'", ['make', '-o', 'x', '--algorithm=SHA1']),
             ("not '1:'", ['make', '-o', 'x', '--rollback-index=1:']),
             ("'18446744073709551616'", ['make', '-o', 'x',
                                         '--rollback-index=18446744073709551616']),
             ("not '1:4294967296'", ['make', '-o', 'x', '--rollback-index=1:4294967296']),
             ("KEY:VALUE, not 'x'", ['make', '-o', 'x', '--prop=x']),
             ("NAME:LOCATION:KEY, not 'a:b'", ['make', '-o', 'x', '--chain=a:b']),
             ('location 0', ['make', '-o', 'x', f'--chain=a:0:{key_path(2048)}',
                             '--rollback-index=0:1']),
             ('location 2 is used twice', ['make', '-o', 'x', f'--chain=a:2:{key_path(2048)}',
                                           f'--chain=b:2:{key_path(2048)}']),
             ('location 1 is used twice', ['make', '-o', 'x', f'--chain=a:1:{key_path(2048)}',
                                           '--rollback-index=0:1']),
             ("'a' has a hash descriptor twice", ['make', '-o', 'x', '--hash=a:image',
                                                  '--hash=a:there']),
             ('in hexadecimal', ['make', '-o', 'x', '--hash=a:image', '--salt=0']),
             ('in hexadecimal', ['make', '-o', 'x', '--hash=a:image', '--salt=0g']),
             ('in hexadecimal', ['make', '-o', 'x', '--hash=a:image', '--salt=' + '00' * 257]),
             ('do not fit', ['make', '-o', 'x', '--prop=a:' + 'v' * 66000]),
             ('boot loaders take 65536', ['make', '-o', 'x', '--prop=a:' + 'v' * 65400]),
             ("'--name' is needed", ['add-hashtree', '-o', 'x', 'image']),
             ("'--in-place' is needed", ['add-hashtree', '--name=a', 'image']),
             ("'--in-place' is needed", ['add-hashtree', '--name=a', '-o', 'x', '--in-place',
                                         'image']),
             ('at least 12288', ['add-hashtree', '--name=a', '-o', 'x', '--partition-size=8192',
                                 'image']),
             ('at least 12288', ['add-hashtree', '--name=a', '-o', 'x', '--partition-size=12289',
                                 'image']),
             ('name of 32 bytes', ['add-hashtree', '--name=' + 32 * 'n', '-o', 'x', 'image'])]
    for says, words in usage:
        tool.refuses(says, *words, status=2)
        assert tool.names() == before, words
    for says, words in [('1024 bits', ['make', '-o', 'x', '--key=rsa-1024']),
                        ('File exists', ['make', '-o', 'there']),
                        ('AVB0', ['make', '-o', 'x', '--include=image']),
                        ('is a pipe', ['make', '-o', 'x', '--hash=a:pipe']),
                        ('is a directory', ['make', '-o', 'x', '--hash=a:.']),
                        ('is a character device', ['make', '-o', 'x', '--hash=a:/dev/zero']),
                        ('is a pipe', ['info', 'pipe']), ('is a directory', ['verify', '.']),
                        ('is a pipe', ['add-hashtree', '--name=a', '-o', 'x', 'pipe']),
                        ('directory', ['add-hashtree', '--name=a', '--in-place', '.']),
                        ('No such file', ['add-hashtree', '--name=a', '-o', 'x/y', 'image'])]:
        tool.refuses(says, *words)
        assert tool.names() == before, words
    tool.refuses('RSA', 'make', '-o', 'x', '--key=ec', status=2)
    tool.refuses('is a pipe', 'add-hashtree', '--name=a', '--in-place', 'pipe')
    assert tool.read('there') == b'old'
    tool('make', '-f', '-o', 'there')
    assert tool.read('there')[:4] == b'AVB0'


@with_tool
def test_a_limit_of_file_size_leaves_nothing_behind(tool):
    tool.write('image', os.urandom(150 * BLOCK))
    before = tool.names()
    data = tool.read('image')
    words = ['add-hashtree', '--name=system', '--salt=01', f'--key={key_path(2048)}']

    def limited(*more, size):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        # SIGXFSZ stays ignored, as this interpreter has it: the tool sees errors.
        return tool.run(*words, *more, preexec_fn=limit, restore_signals=False)

    total = 0
    while True:
        done = limited('-o', 'new', 'image', size=total)
        if done.returncode == 0:
            break
        assert 'File too large' in done.stderr, (total, done)
        assert tool.names() == before, total
        total += 5 * BLOCK - 1 if total < 140 * BLOCK else BLOCK // 2
    needed = 155 * BLOCK  # with three blocks of tree, one of vbmeta, one of footer
    assert needed <= total < needed + BLOCK // 2, total
    tool('verify', 'new')
    os.unlink(f'{tool.directory}/new')
    failures = 0
    for size in range(150 * BLOCK, needed, BLOCK // 2):
        done = limited('--in-place', 'image', size=size)
        assert done.returncode == 1 and 'File too large' in done.stderr, (size, done)
        assert tool.read('image') == data
        failures += 1
    assert failures == 10
    assert limited('--in-place', 'image', size=needed).returncode == 0


@with_tool
def test_a_full_disk_leaves_nothing_behind(tool):
    """A file system of its own, of all sizes up to the one that does; in a mount namespace."""
    os.mkdir(f'{tool.directory}/small')
    tool.write('image', os.urandom(20 * BLOCK))
    script = '''
        set -eu
        for pages in $(seq 1 40); do
            mount -t tmpfs -o size=$((pages * 4096)) none small
            if "$0" vbmeta add-hashtree --name=a --key="$1" -o small/new image >/dev/null 2>error; then
                "$0" vbmeta verify small/new >&2
                echo $pages
                exit
            fi
            grep -q 'No space left' error || { cat error >&2; exit 1; }
            test -z "$(ls -A small)"
            umount small
        done
        exit 1
    '''
    done = subprocess.run(['unshare', '-m', 'sh', '-c', script, tool.path, key_path(2048)],
                          cwd=tool.directory, capture_output=True, text=True, check=False,
                          timeout=60)
    assert done.returncode == 0, done
    assert 22 <= int(done.stdout) <= 26, done.stdout  # image, tree, vbmeta, footer


@with_tool
def test_a_large_image_of_holes_is_copied_as_holes(tool):
    with open(f'{tool.directory}/image', 'wb') as file:
        file.truncate(64 << 20)
        file.seek(30 << 20)
        file.write(b'data')
    tool('add-hashtree', '--name=a', '-o', 'new', f'--partition-size={1 << 40}', 'image')
    status = os.stat(f'{tool.directory}/new')
    assert status.st_size == 1 << 40 and status.st_blocks * 512 < 2 << 20, status
    tool('make', '-o', 'vbmeta', '--include=new', f'--key={key_path(2048)}')
    tool('verify', 'vbmeta', 'a=new')


@with_tool
def test_a_public_key_is_exported_as_vbmeta_has_it(tool):
    for bits in (2048, 4096, 8192):
        tool('export-key', '-f', '-o', 'key', key_path(bits))
        with open(f'{tool.directory}/key', 'rb') as file:
            assert file.read() == encode_key(key_path(bits), bits)
    tool.refuses("option '--output' is needed", 'export-key', key_path(2048), status=2)
    tool.refuses('exists', 'export-key', '-o', 'key', key_path(2048))


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
