#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""apk-verify as guest-manager starts it, under its seccomp policy, with files in the place of
devices; openssl and zipfile for a second opinion on who has signed, and where things are."""
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import zipfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from apexes import SALT, encode_manifest, make_apex  # noqa: E402
from apexes import make_key as make_rsa_key  # noqa: E402
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402

BLOCK = 4096
REASON_MAX = 511
APEX = struct.Struct('<64s32sQH')  # up to the name, and what is behind it
APEX_IMAGE = struct.Struct('<QQQQ32sH')


def with_tool(function):
    def test(suite):
        with Tool(suite) as tool:
            tool.verifier = os.path.abspath(f'{suite.build}/programs/apk-verify')
            function(tool)
    return test


def make_key(tool, name, *options):
    run('openssl', 'req', '-x509', '-newkey', *options, '-nodes', '-subj', f'/CN={name}', '-days',
        '9999', '-keyout', tool.path(f'{name}.pem'), '-out', tool.path(f'{name}.crt'),
        stdin=subprocess.DEVNULL)
    run('openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', tool.path(f'{name}.pem'), '-outform', 'DER',
        '-out', tool.path(f'{name}.der'))


def certificate_hash(tool, name):
    return hashlib.sha512(run('openssl', 'x509', '-in', tool.path(f'{name}.crt'), '-outform',
                              'DER')).hexdigest()


def make_apk(tool, name, key, content=b'content' * 100000):
    """Signed by apksigner, and so is its idsig."""
    with zipfile.ZipFile(tool.path('plain.zip'), 'w') as archive:
        archive.writestr('assets/content', content)
    run('apksigner', 'sign', '--min-sdk-version', '30', '--v4-signing-enabled', 'true', '--key',
        tool.path(f'{key}.der'), '--cert', tool.path(f'{key}.crt'), '--in', tool.path('plain.zip'),
        '--out', tool.path(name))


def header(idsig):
    """What an idsig has before its tree."""
    offset = 4
    for _ in range(2):
        offset += 4 + int.from_bytes(idsig[offset:offset + 4], 'little')
    return idsig[:offset + 4]


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def decode_apex(answer):
    """What is said of an APEX, and what is behind it."""
    key, manifest, version, size = APEX.unpack_from(answer)
    name, answer = answer[APEX.size:][:size].decode(), answer[APEX.size + size:]
    offset, image_size, blocks, tree, root, size = APEX_IMAGE.unpack_from(answer)
    salt, answer = answer[APEX_IMAGE.size:][:size], answer[APEX_IMAGE.size + size:]
    return {'key': key.hex(), 'manifest': manifest.hex(), 'version': version, 'name': name,
            'image': (offset, image_size), 'blocks': blocks, 'tree': tree, 'root': root.hex(),
            'salt': salt.hex()}, answer


def decode(answer):
    """(kind, hash of the certificate or reason) of each verdict; of an APEX all of it."""
    verdicts = []
    while answer:
        if answer[0] == 0:
            size, = struct.unpack_from('<H', answer, 1)
            assert size <= REASON_MAX
            verdicts.append(('refusal', answer[3:3 + size].decode()))
            answer = answer[3 + size:]
        elif answer[0] == 1:
            size, = struct.unpack_from('<H', answer, 73)
            verdicts.append(('apk', answer[1:65].hex()))
            answer = answer[75 + size:]
        else:
            assert answer[0] == 2, answer
            apex, answer = decode_apex(answer[1:])
            verdicts.append(('apex', apex))
    return verdicts


def verify(tool, *archives, status=0):
    """What apk-verify says of these (APK, header of the idsig), or of these APEXes, as bytes."""
    reader, writer = os.pipe()
    words, fds = [], [writer]
    for archive in archives:
        given = []
        for number, data in enumerate([archive] if isinstance(archive, bytes) else archive):
            path = tool.write(f'given-{len(words)}-{number}', data)
            given.append(os.open(path, os.O_RDONLY))
        words.append(f'--apex={given[0]}' if len(given) == 1 else f'--apk={given[0]}:{given[1]}')
        fds += given
    with subprocess.Popen([tool.verifier, f'--result-fd={writer}', *words], pass_fds=fds, env={},
                          stderr=subprocess.PIPE) as process:
        for fd in fds:
            os.close(fd)
        with open(reader, 'rb') as file:
            answer = file.read()
        said = process.stderr.read()
    assert process.returncode == status, (process.returncode, said)
    return decode(answer) if status == 0 else said.decode()


@with_tool
def test_signers_of_all_kinds_are_found(tool):
    keys = {'rsa2048': ['rsa:2048'], 'rsa4096': ['rsa:4096']}
    keys.update({curve: ['ec', '-pkeyopt', f'ec_paramgen_curve:{curve}']
                 for curve in ('P-256', 'P-384', 'P-521')})
    apks = []
    for name, options in keys.items():
        make_key(tool, name, *options)
        make_apk(tool, name, name)
        apks.append((padded(tool.read(name)), header(tool.read(f'{name}.idsig'))))
    assert verify(tool, *apks) == [('apk', certificate_hash(tool, name)) for name in keys]


@with_tool
def test_idsigs_as_the_service_makes_them_are_taken(tool):
    make_key(tool, 'key', 'rsa:2048')
    make_apk(tool, 'app', 'key')
    tool.ok('idsig', 'create', 'app', '--output', 'unsigned.idsig')
    app = tool.read('app')
    for data in (app, padded(app)):
        assert verify(tool, (data, header(tool.read('unsigned.idsig')))) == [
            ('apk', certificate_hash(tool, 'key'))]


@with_tool
def test_each_verdict_is_of_its_own_apk(tool):
    for name in ('one', 'two'):
        make_key(tool, name, 'rsa:2048')
        make_apk(tool, name, name, name.encode() * 100000)
    one, two = tool.read('one'), tool.read('two')
    one_idsig, two_idsig = header(tool.read('one.idsig')), header(tool.read('two.idsig'))
    altered = bytearray(one)
    altered[60000] ^= 1
    unsigned = tool.read('plain.zip')
    verdicts = verify(tool, (one, one_idsig), (altered, one_idsig), (one, two_idsig),
                      (unsigned, one_idsig), (b'', one_idsig), (one, b''), (one, bytes(2000)),
                      (one, one_idsig[:100]), (padded(one) + b'x', one_idsig),
                      (padded(one)[:-1] + b'x', one_idsig), (two, two_idsig))
    assert [kind for kind, _ in verdicts] == ['apk'] + ['refusal'] * 9 + ['apk'], verdicts
    for (_, reason), words in zip(verdicts[1:-1], (
            'has been changed', 'for another APK', 'not signed', '', 'idsig ends', 'version 0',
            'idsig ends', '', '')):
        assert words in reason, (words, reason)
    assert verdicts[0][1] == certificate_hash(tool, 'one')
    assert verdicts[-1][1] == certificate_hash(tool, 'two')


def encoded_key(path, bits):
    """A public key as AVB has it, from openssl's modulus and arithmetic of this language."""
    text = run('openssl', 'rsa', '-in', path, '-noout', '-modulus').decode()
    number = int(text.split('Modulus=')[1].split()[0], 16)
    inverse = -pow(number, -1, 1 << 32) % (1 << 32)
    return (struct.pack('>II', bits, inverse) + number.to_bytes(bits // 8, 'big') +
            pow(2, 2 * bits, number).to_bytes(bits // 8, 'big'))


@with_tool
def test_apexes_of_all_kinds_of_keys_are_taken(tool):
    expected, apexes = [], []
    for bits in (2048, 4096, 8192):
        key = make_rsa_key(tool.directory, f'key-{bits}', bits)
        name = f'org.example.m{bits}'
        apex = make_apex(tool.suite.build, tool.path(name), key, name, {'file': b'x' * 100000},
                         version=bits)
        apexes.append(padded(apex.read()))
        expected.append(('apex', {
            'key': hashlib.sha512(encoded_key(key, bits)).hexdigest(),
            'manifest': hashlib.sha256(encode_manifest(name, bits)).hexdigest(),
            'version': bits, 'name': name, 'image': apex.places['apex_payload.img'],
            'blocks': apex.tree['image-size'] // BLOCK, 'tree': apex.tree['tree-offset'] // BLOCK,
            'root': apex.tree['root-digest'], 'salt': SALT}))
    assert verify(tool, *apexes) == expected


@with_tool
def test_apks_and_apexes_are_told_apart(tool):
    make_key(tool, 'key', 'rsa:2048')
    make_apk(tool, 'app', 'key')
    apk, idsig = tool.read('app'), header(tool.read('app.idsig'))
    key = make_rsa_key(tool.directory)
    apex = make_apex(tool.suite.build, tool.path('apex'), key, 'a', {}).read()
    other = make_apex(tool.suite.build, tool.path('other'), key, 'a', {},
                      public_key=make_rsa_key(tool.directory, 'other-key')).read()
    altered = bytearray(apex)
    altered[apex.rindex(b'AVB0') + 300] ^= 1
    verdicts = verify(tool, apex, (apk, idsig), apk, (apex, idsig), other, bytes(altered), b'',
                      apex[:-1], padded(apex)[:-1] + b'x', padded(apex))
    kinds = ['apex', 'apk', *['refusal'] * 7, 'apex']
    assert [kind for kind, _ in verdicts] == kinds, verdicts
    for (_, reason), words in zip(verdicts[2:], (
            "no entry 'apex_manifest.pb'", '', 'signed with another key', '', 'is no zip', '',
            "behind the zip's end record")):
        assert words in reason, (words, reason)
    assert verdicts[0] == verdicts[-1]


@with_tool
def test_without_its_policy_it_looks_at_nothing(tool):
    tool.verifier = shutil.copy(tool.verifier, tool.path('apk-verify'))
    said = verify(tool, (b'', b''), status=1)
    assert 'apk-verify: cannot open' in said and said.count('\n') == 1, said


@with_tool
def test_arguments_that_are_none_are_refused(tool):
    for words in ([], ['--apk=3:4'], ['--result-fd=1', '--apk=3'], ['--result-fd=1', '--apk=3:x'],
                  ['--result-fd=-1'], ['--result-fd=1', 'x'], ['--result-fd=1', '--apk=3:4:5'],
                  ['--result-fd=1', '--apex=3:4'], ['--result-fd=1', '--apex=x'],
                  ['--result-fd=1'] + ['--apk=3:4', '--apex=3'] * 64):
        done = subprocess.run([tool.verifier, *words], capture_output=True, check=False)
        assert done.returncode == 2 and done.stderr.startswith(b'Usage: '), (words, done)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
