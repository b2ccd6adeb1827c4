#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""apk-verify as guest-manager starts it, under its seccomp policy, with files in the place of
devices; openssl for a second opinion on who has signed."""
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import zipfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402

BLOCK = 4096
REASON_MAX = 511
KINDS = ['refusal', 'apk']


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


def decode(answer):
    """(kind, hash of the certificate or reason) of each verdict."""
    verdicts = []
    while answer:
        if answer[0] == 0:
            size, = struct.unpack_from('<H', answer, 1)
            assert size <= REASON_MAX
            verdicts.append((KINDS[0], answer[3:3 + size].decode()))
            answer = answer[3 + size:]
            continue
        size, = struct.unpack_from('<H', answer, 73)
        verdicts.append((KINDS[answer[0]], answer[1:65].hex()))
        answer = answer[75 + size:]
    return verdicts


def verify(tool, *apks, status=0):
    """What apk-verify says of these (APK, header of the idsig) as bytes."""
    reader, writer = os.pipe()
    words, fds = [], [writer]
    for apk, idsig in apks:
        pair = []
        for number, data in enumerate((apk, idsig)):
            path = tool.write(f'given-{len(words)}-{number}', data)
            pair.append(os.open(path, os.O_RDONLY))
        words.append(f'--apk={pair[0]}:{pair[1]}')
        fds += pair
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


@with_tool
def test_without_its_policy_it_looks_at_nothing(tool):
    tool.verifier = shutil.copy(tool.verifier, tool.path('apk-verify'))
    said = verify(tool, (b'', b''), status=1)
    assert 'apk-verify: cannot open' in said and said.count('\n') == 1, said


@with_tool
def test_arguments_that_are_none_are_refused(tool):
    for words in ([], ['--apk=3:4'], ['--result-fd=1', '--apk=3'], ['--result-fd=1', '--apk=3:x'],
                  ['--result-fd=-1'], ['--result-fd=1', 'x'], ['--result-fd=1', '--apk=3:4:5'],
                  ['--result-fd=1'] + ['--apk=3:4'] * 128):
        done = subprocess.run([tool.verifier, *words], capture_output=True, check=False)
        assert done.returncode == 2 and done.stderr.startswith(b'Usage: '), (words, done)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
