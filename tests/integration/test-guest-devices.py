#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Devices that the guest makes of partitions: loop, dm-verity over an APK, dm-crypt, in a real
guest, with veritysetup, libcrypto and e2fsck for a second opinion."""
import ctypes
import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Host, Suite, find_kernel_package  # noqa: E402
from tool import run  # noqa: E402

BLOCK = 4096
MODULES = ['loop', 'dm-verity', 'ecb', 'xts', 'dm-crypt']
STORAGE_SIZE = 32 << 20
TEXT, TEXT_LINES = b'not for the host\n', 65536
FLIPPED = 150 * BLOCK + 17  # a byte of the APK; its block is below the second leaf of the tree


class Work:
    """A host, and a directory with a payload that has the kernel's modules beside it."""

    def __init__(self, suite):
        self.host = Host(suite.build)
        self.directory = tempfile.mkdtemp(prefix='guest-devices-')

    def path(self, name):
        return f'{self.directory}/{name}'

    def read(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def write(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)
        return self.path(name)

    def _add_modules(self, root):
        """Puts the modules and those that they need into @root, with a list in order."""
        os.mkdir(f'{root}/modules')
        run('dpkg-deb', '-x', find_kernel_package(self.host.build), self.path('kernel'))
        version, = os.listdir(self.path('kernel/lib/modules'))
        run('/sbin/depmod', '-b', self.path('kernel'), version)
        needs = {}
        base = self.path(f'kernel/lib/modules/{version}')
        with open(f'{base}/modules.dep', encoding='ascii') as file:
            for line in file:
                module, _, others = line.partition(':')
                needs[os.path.basename(module)[:-3]] = [*reversed(others.split()), module]
        names = list(dict.fromkeys(path for module in MODULES for path in needs[module]))
        for path in names:
            shutil.copy(f'{base}/{path}', f'{root}/modules')
        with open(f'{root}/modules/list', 'w', encoding='ascii') as file:
            file.writelines(os.path.basename(path) + '\n' for path in names)
        shutil.rmtree(self.path('kernel'))

    @staticmethod
    def _add_program(root, path):
        """A program with its libraries, where they are here."""
        shutil.copy(path, root)
        for line in run('ldd', path).decode().splitlines():
            library = next((word for word in line.split() if word.startswith('/')), None)
            if library:
                os.makedirs(root + os.path.dirname(library), exist_ok=True)
                shutil.copy(library, root + library)

    def payload(self):
        root = self.path('root')
        if not os.path.isdir(root):
            os.mkdir(root)
            shutil.copy(self.host.payload('devices'), f'{root}/payload')
            for name in ('silent', 'short', 'talker', 'killed', 'apex'):
                shutil.copy(f'{root}/payload', f'{root}/liar-{name}')
            self._add_program(root, f'{self.host.build}/programs/apk-verify')
            self._add_program(root, '/sbin/mke2fs')
            os.mkdir(f'{root}/seccomp')
            shutil.copy(f'{self.host.build}/programs/seccomp/apk-verify.policy', f'{root}/seccomp')
            self._add_modules(root)
            run('mkfs.erofs', '--all-root', self.path('payload'), root)
        return self.path('payload')

    def run(self, mode, storage=None, **partitions):
        """What the payload prints as a dictionary; @partitions: label to file, '-' for '_'.
        @storage: the file that is the writable partition 'encryptedstore'."""
        config, files = self.host.config(self.payload(),
                                         f'devices={mode} virtualizationd.debug=1')
        parts = [{'label': label.replace('_', '-'), 'path': label} for label in partitions]
        if parts:
            config['disks'].append({'partitions': parts})
        files.update({label: self.path(name) for label, name in partitions.items()})
        if storage:
            config['disks'].append({'writable': True, 'partitions': [
                {'label': 'encryptedstore', 'path': 'storage', 'writable': True}]})
            files['storage'] = os.open(self.path(storage), os.O_RDWR)
        try:
            vm = self.host.create(config, files, start=True)
        finally:
            if storage:
                os.close(files['storage'])
        record = vm.death()
        lines = vm.wait_for_output_end().decode().splitlines()
        assert record['reason'] == 'shutdown' and lines[-1:] == ['devices end'], (record, lines)
        return dict(line.split(': ', 1) for line in lines[:-1] if line.count(': ')), lines

    def make_apk(self, name='app'):
        """An APK with an odd size, signed by apksigner, and its idsig; partition images of both."""
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
            '-nodes', '-subj', '/CN=test', '-days', '9999', '-keyout', self.path('key.pem'), '-out',
            self.path('key.crt'), stdin=subprocess.DEVNULL)
        run('openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', self.path('key.pem'), '-outform', 'DER',
            '-out', self.path('key.der'))
        with zipfile.ZipFile(self.path('plain.zip'), 'w') as archive:
            archive.writestr('assets/blob', os.urandom(800 * 1000))
        run('apksigner', 'sign', '--min-sdk-version', '30', '--v4-signing-enabled', 'true', '--key',
            self.path('key.der'), '--cert', self.path('key.crt'), '--in', self.path('plain.zip'),
            '--out', self.path(name))

    def close(self):
        _, left = self.host.close()
        shutil.rmtree(self.directory)
        assert not left, left


def with_work(function):
    def test(suite):
        work = Work(suite)
        try:
            function(work)
        finally:
            work.close()
    return test


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def tree_offset(idsig):
    """Where the tree begins in an idsig: behind version, two infos and its own size."""
    offset = 4
    for _ in range(2):
        offset += 4 + int.from_bytes(idsig[offset:offset + 4], 'little')
    return offset + 4


@with_work
def test_an_apk_is_seen_through_verity(work):
    work.make_apk()
    apk, idsig = padded(work.read('app')), work.read('app.idsig')
    offset = tree_offset(idsig)
    assert offset % 512, offset  # that is what the loop device has to cope with
    said, _ = work.run('apk', apk='app', idsig='app.idsig')
    theirs = run('veritysetup', 'format', '--no-superblock', '--salt=-',
                 work.write('padded', apk), work.path('tree')).decode()
    assert said['root'] == theirs.split('Root hash:')[1].split()[0], (said, theirs)
    assert work.read('tree') == idsig[offset:]
    assert said['header'] == hashlib.sha256(idsig[:offset]).hexdigest(), said


    assert said['contents'] == f'{len(apk)} {hashlib.sha256(apk).hexdigest()}', said
    assert said['write'] == 'Operation not permitted', said
    assert said['remove in use'] == 'busy' and said['loop0'] == 'free', said
    assert said['corrupted'] == 'no' and said['gone'] == 'yes', said


@with_work
def test_altered_bytes_are_never_seen(work):
    work.make_apk()
    apk, idsig = bytearray(padded(work.read('app'))), bytearray(work.read('app.idsig'))
    offset = tree_offset(idsig)
    apk[FLIPPED] ^= 1
    work.write('bad-app', apk)
    for name, where in (('tree', offset + BLOCK + 5), ('root', idsig.index(b'\x20\0\0\0') + 4)):
        altered = bytearray(idsig)
        altered[where] ^= 0x80
        work.write(f'bad-{name}', altered)
    work.write('short', idsig[:offset - 4] + (BLOCK).to_bytes(4, 'little') + idsig[offset:])
    _, lines = work.run('altered', apk='app', idsig='app.idsig', bad_apk='bad-app',
                        bad_tree='bad-tree', bad_root='bad-root', short_idsig='short')
    assert lines[:6] == [f'apk altered: Input/output error at {FLIPPED // BLOCK * BLOCK}',
                         'corrupted: yes', 'tree altered: Input/output error at 0',
                         'corrupted: yes', 'root altered: Input/output error at 0',
                         'corrupted: yes'], lines
    assert 'has a tree of 4096 bytes' in lines[6], lines


def hkdf(key, salt, info, size):
    """HKDF with SHA-512, RFC 5869."""
    extracted = hmac.new(salt, key, hashlib.sha512).digest()
    block, derived = b'', b''
    while len(derived) < size:
        block = hmac.new(extracted, block + info + bytes([len(derived) // 64 + 1]),
                         hashlib.sha512).digest()
        derived += block
    return derived[:size]


def decipher(data, key):
    """AES-256-XTS over blocks of 4096, numbered from 0, by libcrypto."""
    crypto = ctypes.CDLL('libcrypto.so.3')
    for name in ('EVP_CIPHER_CTX_new', 'EVP_aes_256_xts'):
        getattr(crypto, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    cipher = ctypes.c_void_p(crypto.EVP_aes_256_xts())
    plain, size = ctypes.create_string_buffer(BLOCK), ctypes.c_int()
    blocks = []
    for number in range(len(data) // BLOCK):
        assert crypto.EVP_DecryptInit_ex(context, cipher, None, key,
                                         number.to_bytes(16, 'little')) == 1
        assert crypto.EVP_DecryptUpdate(context, plain, ctypes.byref(size),
                                        data[number * BLOCK:(number + 1) * BLOCK], BLOCK) == 1
        blocks.append(plain.raw)
    crypto.EVP_CIPHER_CTX_free(context)
    return b''.join(blocks)


@with_work
def test_storage_is_formatted_once_and_kept(work):
    with open(work.path('storage'), 'wb') as file:
        file.write(b'UNFORMATTED-STORAGE')
        file.truncate(STORAGE_SIZE)
    said, lines = work.run('new-storage', storage='storage')
    assert said['killed'].endswith('/sbin/mke2fs was killed by signal 9'), lines
    assert said['no program'].endswith('/sbin/mke2fs ended with status 127'), lines
    assert said['first'] == 'formatted' and said['owner'] == '6000:6000', lines
    assert said['nosuid, nodev, noexec'] == '111' and said['unmount in use'] == 'busy', lines
    assert said['other key'] == ('Unable to prepare encrypted storage: it belongs to another '
                                 'instance'), lines
    assert said['again'] == 'mounted', lines

    content = TEXT * TEXT_LINES
    said, lines = work.run('old-storage', storage='storage')
    assert said['other key'].endswith('it belongs to another instance'), lines
    assert said['again'] == 'mounted', lines
    assert said['file'] == f'{len(content)} {hashlib.sha256(content).hexdigest()}', lines

    # What the host sees is no text; with the keys it is a file system, as others see it too.
    data = work.read('storage')
    header, rest = data[:BLOCK], data[BLOCK:]
    assert header[:32] == b'ENCRYPTED-STORAGE1'.ljust(32, b'\0') and not any(header[96:])
    assert TEXT not in data and len(data) == STORAGE_SIZE
    key, salt = bytes(range(64)), header[32:64]
    assert header[64:96] == hkdf(key, salt, b'virtualizationd encrypted storage check', 32)
    plain = decipher(rest,
                     hkdf(key, salt, b'virtualizationd encrypted storage key', 64))
    image = work.write('plain', plain)
    # The journal is replayed, as nobody has unmounted it the second time.
    assert subprocess.run(['/sbin/e2fsck', '-fp', image], stdout=subprocess.DEVNULL,
                          check=False).returncode in (0, 1)
    run('/sbin/e2fsck', '-fn', image)
    assert run('/sbin/debugfs', '-R', 'cat /file', image).endswith(content)
    assert run('/sbin/debugfs', '-R', 'cat /second', image).endswith(b'second\n')


@with_work
def test_the_verifier_is_believed_what_it_can_know(work):
    work.make_apk()
    apk = bytearray(padded(work.read('app')))
    apk[FLIPPED] ^= 1
    work.write('bad-app', apk)
    said, lines = work.run('verifier', apk='app', idsig='app.idsig', bad_apk='bad-app')
    certificate = run('openssl', 'x509', '-in', work.path('key.crt'), '-outform', 'DER')
    assert said['first'] == hashlib.sha512(certificate).hexdigest(), lines
    assert 'Input/output error' in said['second'], lines
    assert lines.count('uid 6002 gid 6002, 4 arguments, 8 open') == 5, lines
    for liar, words in (('silent', 'nothing that is a verdict'),
                        ('short', 'nothing that is a verdict'),
                        ('talker', 'was killed by signal 13'), ('killed', 'was killed by signal 9'),
                        ('apex', 'nothing that is a verdict')):
        assert words in said[f'liar-{liar}'], lines
    assert said['no-such-program'] == 'apk-verify ended with status 127', lines


def main():
    return Suite().run(sys.modules[__name__])


if __name__ == '__main__':
    sys.exit(main())
