#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""apk sign and apk verify, with apksigner, unzip and Python's zipfile for a second opinion."""
import concurrent.futures
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402

MANIFEST = b'''<manifest xmlns:android="http://schemas.android.com/apk/res/android"
 package="org.example"><uses-sdk android:minSdkVersion="30"/></manifest>
'''
KEYS = {'rsa2048': 'rsa-pkcs1-sha256', 'rsa3072': 'rsa-pkcs1-sha256',
        'rsa4096': 'rsa-pkcs1-sha512', 'rsa8192': 'rsa-pkcs1-sha512',
        'P-256': 'ecdsa-sha256', 'P-384': 'ecdsa-sha512', 'P-521': 'ecdsa-sha512'}
KEYS_DIRECTORY = os.path.join(os.environ['top_srcdir'], 'tests', 'keys')
AT_ONCE = 2  # a Java machine takes a core and some hundred MB


def run(*command, status=0, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, **options)
    assert done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
    return done


def all_of(function, values):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(function, values))


class Work:
    """A directory with keys and a zip, made when they are first asked for."""

    def __init__(self, directory, build):
        self.directory = directory
        self.tool_path = os.path.abspath(f'{build}/programs/composite-disk')
        self.plain = self.path('plain.zip')
        with zipfile.ZipFile(self.plain, 'w') as archive:
            archive.writestr('AndroidManifest.xml', MANIFEST)
            archive.writestr('config.json', b'{"a": "b"}' * 1000, zipfile.ZIP_DEFLATED)
            archive.writestr('blob', os.urandom(3 << 20))  # more than a chunk, and not all of one
        all_of(self._make_key, KEYS)

    def path(self, name):
        return f'{self.directory}/{name}'

    def _make_key(self, name):
        kept = f'{KEYS_DIRECTORY}/rsa-{name[3:]}.pem'
        if os.path.exists(kept):  # the large ones take their time
            shutil.copyfile(kept, self.path(f'{name}.pem'))
        else:
            kind = (['RSA', '-pkeyopt', f'rsa_keygen_bits:{name[3:]}'] if name.startswith('rsa')
                    else ['EC', '-pkeyopt', f'ec_paramgen_curve:{name}'])
            run('openssl', 'genpkey', '-algorithm', *kind, '-out', self.path(f'{name}.pem'))
        self._make_certificate(name)

    def _make_certificate(self, name):
        pem = self.path(f'{name}.pem')
        run('openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', pem, '-outform', 'DER', '-out',
            self.path(f'{name}.der'))
        run('openssl', 'req', '-x509', '-new', '-key', pem, '-subj', f'/CN={name}', '-days', '9999',
            '-out', self.path(f'{name}.crt'))

    def make_dsa_key(self):
        run('openssl', 'genpkey', '-genparam', '-algorithm', 'DSA', '-pkeyopt',
            'dsa_paramgen_bits:2048', '-pkeyopt', 'dsa_paramgen_q_bits:256', '-out',
            self.path('dsa.parameters'))
        run('openssl', 'genpkey', '-paramfile', self.path('dsa.parameters'), '-out',
            self.path('dsa.pem'))
        self._make_certificate('dsa')

    def apksigner_sign(self, key, out, *options):
        run('apksigner', 'sign', '--key', self.path(f'{key}.der'), '--cert',
            self.path(f'{key}.crt'), '--in', self.plain, '--out', out, *options)
        return out

    def signed(self, key='P-256'):
        """Signed by apksigner, with v2 and v3; once for all tests."""
        out = self.path(f'theirs-{key}.apk')
        if not os.path.exists(out):
            self.apksigner_sign(key, out, '--min-sdk-version', '24')
        return out

    def tool(self, *arguments, **options):
        return json.loads(run(self.tool_path, 'apk', *arguments, '--json', **options).stdout)

    def refused(self, words, *arguments, status=1, **options):
        done = run(self.tool_path, 'apk', *arguments, status=status, **options)
        assert words in done.stderr, (words, done.stderr)

    def refused_bytes(self, words, data, *options):
        with tempfile.NamedTemporaryFile(dir=self.directory) as file:
            file.write(data)
            file.flush()
            self.refused(words, 'verify', *options, file.name)


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def find_end(data):
    return data.rindex(b'PK\5\6')


def directory_offset(data):
    return struct.unpack_from('<I', data, find_end(data) + 16)[0]


def block_offset(data):
    directory = directory_offset(data)
    return directory - struct.unpack_from('<Q', data, directory - 24)[0] - 8


class Value:
    """Where things are in the v3 block of an APK with one signer and one signature."""

    def __init__(self, data):
        def skip(offset):
            return offset + 4 + struct.unpack_from('<I', data, offset)[0]
        self.id = data.index(struct.pack('<I', 0xf05368c0), block_offset(data))
        self.signers = self.id + 4
        self.signed_data = self.signers + 8
        self.digest = self.signed_data + 20  # behind the lengths of data, list and item, and its id
        self.sdks = skip(self.signed_data)
        self.algorithm = self.sdks + 16
        self.signature = self.algorithm + 8
        self.public_key = skip(self.sdks + 8) + 4


WORK = None


def test_what_apksigner_signs_with_any_key_is_taken(_suite):
    def check(key):
        result = WORK.tool('verify', WORK.signed(key))
        assert result['scheme'] == 'v3' and result['algorithm'] == KEYS[key], result
        der = subprocess.check_output(['openssl', 'x509', '-in', WORK.path(f'{key}.crt'),
                                       '-outform', 'DER'])
        assert result['certificate-sha256'] == hashlib.sha256(der).hexdigest(), result
        public = subprocess.check_output(['openssl', 'pkey', '-in', WORK.path(f'{key}.pem'),
                                          '-pubout', '-outform', 'DER'], stderr=subprocess.DEVNULL)
        assert result['public-key'] == public.hex(), result
    all_of(check, KEYS)


def test_what_is_signed_here_with_any_key_is_taken_by_apksigner(_suite):
    def check(key):
        out = WORK.path(f'ours-{key}.apk')
        result = WORK.tool('sign', f'--key={WORK.path(f"{key}.pem")}',
                           f'--cert={WORK.path(f"{key}.crt")}', '-o', out, WORK.plain)
        assert result['algorithm'] == KEYS[key] and result['apk'] == out, result
        assert WORK.tool('verify', out) == result
        told = run('apksigner', 'verify', '-v', '--print-certs', '--min-sdk-version', '30',
                   out).stdout
        assert 'v3 scheme (APK Signature Scheme v3): true' in told, told
        assert f'certificate SHA-256 digest: {result["certificate-sha256"]}' in told, told
        run('unzip', '-tq', out)
        with zipfile.ZipFile(out) as ours, zipfile.ZipFile(WORK.plain) as plain:
            assert ours.testzip() is None and ours.namelist() == plain.namelist()
        data = read(out)
        assert directory_offset(data) % 4096 == block_offset(data) % 4096 == 0
    all_of(check, KEYS)


def test_an_apk_is_signed_in_place_and_again_and_without_a_certificate(_suite):
    path = WORK.path('in-place.apk')
    with open(path, 'wb') as file:
        file.write(read(WORK.signed()))
    before = WORK.tool('verify', path)
    result = WORK.tool('sign', '-k', WORK.path('P-384.pem'), path)
    assert WORK.tool('verify', path) == result
    assert result['public-key'] != before['public-key']
    size = os.path.getsize(path)
    again = WORK.tool('sign', '-k', WORK.path('P-384.pem'), path)
    assert again['digest'] == result['digest'] and os.path.getsize(path) == size
    assert again['certificate-sha256'] != result['certificate-sha256']  # each has a number
    run('apksigner', 'verify', '--min-sdk-version', '30', path)


def test_scheme_v2_is_taken_when_it_is_asked_for(_suite):
    def check(key):
        out = WORK.apksigner_sign(key, WORK.path(f'v2-{key}.apk'), '--min-sdk-version', '24',
                                  '--v3-signing-enabled', 'false')
        WORK.refused('signed with scheme v2 only', 'verify', out)
        result = WORK.tool('verify', '--v2', out)
        assert result['scheme'] == 'v2' and result['algorithm'] == KEYS[key], result
    all_of(check, ['rsa2048', 'P-521'])


def test_a_signature_of_v3_that_was_taken_out_is_missed(_suite):
    data = bytearray(read(WORK.signed()))
    at = data.index(struct.pack('<I', 0xf05368c0), block_offset(data))
    data[at] ^= 1
    WORK.refused_bytes('signed with scheme v2 only', data)
    WORK.refused_bytes('signature of scheme v3 was taken out', data, '--v2')


def test_dsa_is_refused_by_name(_suite):
    WORK.make_dsa_key()
    dsa = WORK.apksigner_sign('dsa', WORK.path('dsa.apk'), '--min-sdk-version', '30')
    WORK.refused('0x0301 dsa-sha256', 'verify', dsa)
    WORK.refused('key of type DSA; taken are RSA and EC', 'sign', '-k', WORK.path('dsa.pem'), dsa)


def test_the_digest_of_verity_is_taken_as_well(_suite):
    def check(key):
        out = WORK.apksigner_sign(key, WORK.path(f'verity-{key}.apk'), '--min-sdk-version', '30',
                                  '--verity-enabled', 'true')
        result = WORK.tool('verify', out)
        assert result['algorithm'] == f'verity-{KEYS[key]}', result
        size = struct.pack('<Q', os.path.getsize(out) - directory_offset(read(out)) +
                           block_offset(read(out)))
        assert len(result['digest']) == 80 and result['digest'].endswith(size.hex()), result
        data = bytearray(read(out))
        data[data.index(b'android:')] ^= 1
        WORK.refused_bytes('has been changed', data)
    all_of(check, ['rsa2048', 'P-256'])


def test_damage_to_the_zip_has_its_reason(_suite):
    good = read(WORK.signed())
    end, directory = find_end(good), directory_offset(good)

    def changed(at, value):
        return good[:at] + value + good[at + len(value):]

    for words, data in (
            ('is no zip', b''),
            ('no end record', good[:directory]),
            ('is no zip', good[end:end + 21]),
            ('5 bytes behind the zip', good + b'extra'),
            ('100 bytes behind the zip', good + bytes(100)),
            ('5 bytes before the zip, or between', good[:end] + b'extra' + good[end:]),
            ('5 bytes before the zip, or between', b'extra' + good),
            ('the zip is cut short', good[:end - 1] + good[end:]),
            ('one for ZIP64', changed(end + 12, b'\xff' * 4)),
            ('of 4294967294 bytes', changed(end + 12, b'\xfe\xff\xff\xff')),
            ('one of several volumes', changed(end + 4, b'\1')),
            ("'/ndroidManifest.xml': its name is absolute", changed(directory + 46, b'/')),
            ("'BndroidManifest.xml': its local header has another name",
             changed(directory + 46, b'B'))):
        WORK.refused_bytes(words, data)
    padded = good + bytes(-len(good) % 4096)
    WORK.refused_bytes('behind the zip', padded + bytes(4096), '--padded')
    with tempfile.NamedTemporaryFile(dir=WORK.directory) as file:
        file.write(padded)
        file.flush()
        assert WORK.tool('verify', '--padded', file.name)['scheme'] == 'v3'


def test_damage_to_the_signature_has_its_reason(_suite):
    good = read(WORK.signed())
    directory, block, value = directory_offset(good), block_offset(good), Value(good)
    v2_id = good.index(struct.pack('<I', 0x7109871a), block)
    pair_size = struct.unpack_from('<Q', good, value.id - 8)[0]

    def changed(at, new):
        return good[:at] + new + good[at + len(new):]

    def flipped(at):
        return changed(at, bytes([good[at] ^ 1]))

    # A block with an empty list, and one of an unknown number for what is left.
    empty = changed(value.id - 8, struct.pack('<QIIQI', 8, 0xf05368c0, 0, pair_size - 16, 1))
    for words, data in (
            ("there is no 'APK Sig Block 42'", flipped(directory - 1)),
            ('has two sizes', flipped(block)),
            ('begins before the file', changed(directory - 24, struct.pack('<Q', len(good)))),
            ('has 23 bytes; taken are', changed(directory - 24, struct.pack('<Q', 23))),
            ('9223372036854775807 bytes', changed(directory - 24, struct.pack('<q', 2**63 - 1))),
            ('value 0 in the APK signing block ends', changed(block + 8, struct.pack('<Q', 2**40))),
            ('has the value 0xf05368c0 2 times', changed(v2_id, struct.pack('<I', 0xf05368c0))),
            ('the APK signature has no signer', empty),
            ('the list of signers', changed(value.signers, b'\xff' * 4)),
            ('a signer in the APK', changed(value.signers + 4, b'\xff' * 4)),
            ("a signer's data in the APK", changed(value.signed_data, b'\xff' * 4)),
            ('but these: 0x0301 dsa-sha256', changed(value.algorithm, b'\1\3')),
            ('but these: 0x7777', changed(value.algorithm, b'\x77\x77')),
            ('are not of the same algorithms', changed(value.algorithm, b'\x23\4')),
            ('but has signed', flipped(value.sdks)),
            ('none of the 1 signers of the APK is for', changed(value.sdks + 4, b'\x22\0\0\0')),
            ('is not one of this data', flipped(value.digest)),
            ('is not one of this data', flipped(value.signature + 10)),
            ('not a public key', flipped(value.public_key)),
            ('has been changed', flipped(block - 1)),
            ('has been changed', flipped(good.index(b'android:'))),
            ('has been changed', flipped(directory + 12))):
        WORK.refused_bytes(words, data)
    WORK.refused_bytes('none of the 1 signers of the APK is for SDK 23', good, '--sdk=23')


def test_files_that_are_no_apks_and_wrong_usage_are_refused(_suite):
    key = f'--key={WORK.path("P-256.pem")}'
    pipe = WORK.path('pipe')
    os.mkfifo(pipe)
    for path, words in ((WORK.directory, 'is a directory'), ('/dev/null', 'a character device'),
                        (pipe, 'is a pipe'), (WORK.path('none'), 'cannot open')):
        WORK.refused(words, 'verify', path)
        WORK.refused(words, 'sign', key, '-o', WORK.path('never'), path)
    WORK.refused("'--key=FILE' is missing", 'sign', WORK.plain, status=2)
    WORK.refused('takes a number', 'verify', '--sdk=new', WORK.plain, status=2)
    WORK.refused("is of another key", 'sign', key, f'--cert={WORK.path("P-384.crt")}', '-o',
                 WORK.path('never'), WORK.plain)
    WORK.refused('the APK is not signed', 'verify', WORK.plain)
    assert not os.path.exists(WORK.path('never'))


def test_an_output_is_there_whole_or_not_at_all(_suite):
    """A limit for the size of files is a disk that is full at that byte."""
    directory = WORK.path('full')
    os.mkdir(directory)
    out, key = f'{directory}/out.apk', f'--key={WORK.path("P-256.pem")}'
    WORK.tool('sign', key, '-o', WORK.path('whole.apk'), WORK.plain)
    whole = os.path.getsize(WORK.path('whole.apk'))

    def limit(size):
        def set_limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return set_limit

    for size in [0, 1, *range(4095, whole, whole // 9), whole - 23, whole - 1]:
        WORK.refused('cannot write the APK', 'sign', key, '-o', out, WORK.plain,
                     preexec_fn=limit(size))
        assert os.listdir(directory) == [], size
    with open(out, 'wb') as file:
        file.write(b'mine')
    WORK.refused('File exists', 'sign', key, '-o', out, WORK.plain)
    WORK.refused('cannot write the APK', 'sign', key, '-f', '-o', out, WORK.plain,
                 preexec_fn=limit(5000))
    assert os.listdir(directory) == ['out.apk'] and read(out) == b'mine'
    WORK.tool('sign', key, '-f', '-o', out, WORK.plain)
    assert os.listdir(directory) == ['out.apk'] and os.path.getsize(out) == whole


def test_entries_that_a_guest_could_not_show_are_not_signed(_suite):
    for name, words in (('../up', "'..' in its name"), ('a\\b', 'a backslash in its name')):
        made = io.BytesIO()
        with zipfile.ZipFile(made, 'w') as archive:
            archive.writestr('a', b'')
            archive.writestr(name, b'x')
        path = WORK.path('bad.zip')
        with open(path, 'wb') as file:
            file.write(made.getvalue())
        WORK.refused(words, 'sign', f'--key={WORK.path("P-256.pem")}', '-o', WORK.path('never'),
                     path)
        assert not os.path.exists(WORK.path('never'))
    link = WORK.path('link.zip')
    os.symlink('/etc/passwd', WORK.path('link'))
    run('zip', '-q', '--symlinks', link, 'link', cwd=WORK.directory)
    WORK.refused('it is a symbolic link', 'sign', f'--key={WORK.path("P-256.pem")}', link)


if __name__ == '__main__':
    suite = Suite()
    with tempfile.TemporaryDirectory(prefix='test-apk-') as work_directory:
        WORK = Work(work_directory, suite.build)
        sys.exit(suite.run(sys.modules[__name__]))
