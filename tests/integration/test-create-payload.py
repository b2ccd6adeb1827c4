#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vmctl create-payload, with apksigner, aapt, zipalign and unzip for a second opinion."""
import json
import os
import re
import stat
import sys
import zipfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402

FRAMEWORK = '/usr/share/android-framework-res/framework-res.apk'
MANIFEST = '''<manifest xmlns:android="http://schemas.android.com/apk/res/android"
 package="com.example.compiled" android:versionCode="5" android:versionCodeMajor="6"/>
'''


def with_vmctl(function):
    """As composite-disk's tool, but vmctl; without a bus, which nothing here needs."""
    def test(suite):
        with Tool(suite) as tool:
            tool.program = os.path.abspath(f'{suite.build}/programs/vmctl')
            make_folder(tool)
            function(tool)
    return test


def make_folder(tool):
    for name, data, mode in (('assets/vm_config.json', b'{}', 0o664), ('assets/zero', b'', 0o644),
                             ('lib/x86_64/main.so', os.urandom(300000), 0o700),
                             ('lib/x86_64/small.so', b'small', 0o600)):
        path = tool.path(f'my-app/{name}')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(data)
        os.chmod(path, mode)


def create(tool, *words, said=''):
    """What it says goes to standard error; there is no bus that it could ask."""
    done = tool.call('create-payload', '--bus=unix:path=/nonexistent', *words)
    assert done.returncode == 0 and done.stdout == b'', (words, done)
    error = done.stderr.decode()
    assert said in error if said else error == '', (words, error)
    return error


def refuses(tool, sentence, *words, status=1):
    before = tool.names()
    done = tool.call('create-payload', *words)
    error = done.stderr.decode()
    assert done.returncode == status and done.stdout == b'', (words, done)
    assert sentence in error and error.startswith('vmctl: ') and error.count('\n') == 1, error
    assert tool.names() == before, (words, tool.names())


def make_key(tool, name, *options):
    run('openssl', 'req', '-x509', '-nodes', '-subj', f'/CN={name}', '-days', '9999', '-keyout',
        f'{name}.pem', '-out', f'{name}.crt', *options, cwd=tool.directory)


def certificate_of(tool, archive):
    printed = run('apksigner', 'verify', '--print-certs', archive, cwd=tool.directory).decode()
    return re.search(r'certificate SHA-256 digest: (\w+)', printed).group(1)


def package_of(tool, archive):
    badging = run('aapt', 'dump', 'badging', archive, cwd=tool.directory).decode()
    tree = run('aapt', 'dump', 'xmltree', archive, 'AndroidManifest.xml',
               cwd=tool.directory).decode()

    def number(name, identity):
        found = re.search(rf'{name}\(0x{identity:08x}\)=\(type 0x10\)0x(\w+)', tree)
        return int(found.group(1), 16) if found else 0
    version = number('versionCodeMajor', 0x01010576) << 32 | number('versionCode', 0x0101021b)
    return re.match("package: name='(.*?)'", badging).group(1), version


@with_vmctl
def test_an_archive_is_what_all_tools_take(tool):
    make_key(tool, 'rsa', '-newkey', 'rsa:2048')
    create(tool, 'my-app', '-o', 'a.apk', '--key=rsa.pem', '--cert=rsa.crt')
    run('apksigner', 'verify', '--min-sdk-version', '30', 'a.apk', cwd=tool.directory)
    run('apksigner', 'verify', 'a.apk', cwd=tool.directory)  # as its manifest says
    assert package_of(tool, 'a.apk') == ('payload.my_app', 1)
    run('unzip', '-q', 'a.apk', '-d', 'out', cwd=tool.directory)
    assert os.path.exists(tool.path('out/AndroidManifest.xml'))
    os.unlink(tool.path('out/AndroidManifest.xml'))
    run('diff', '-r', 'my-app', 'out', cwd=tool.directory)
    run('zipalign', '-c', '-p', '4', 'a.apk', cwd=tool.directory)
    data = tool.read('a.apk')
    with zipfile.ZipFile(tool.path('a.apk')) as archive:
        assert archive.infolist()[0].filename == 'AndroidManifest.xml'
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            names = data[info.header_offset + 26:info.header_offset + 30]
            start = info.header_offset + 30 + int.from_bytes(names[:2], 'little') + \
                int.from_bytes(names[2:], 'little')
            assert start % (4 if info.file_size < 4096 and info.filename[-3:] != '.so' else
                            4096) == 0, (info, start)
    assert stat.S_IMODE(os.stat(tool.path('out/lib/x86_64/main.so')).st_mode) & 0o111
    create(tool, 'my-app/', '--output', 'b.apk', '-krsa.pem', '-crsa.crt')
    assert tool.read('b.apk') == data


@with_vmctl
def test_package_and_version_are_those_asked_for(tool):
    make_key(tool, 'ec', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256')
    key = ('--key=ec.pem', '--cert=ec.crt', '-f', '-o', 'a.apk', 'my-app')
    for package, version in (('com.example.app', 0), ('a.b', 2**32 - 1), ('a.B_2', 2**32),
                             ('x.' + 'y' * 221, 2**63 - 1)):
        create(tool, *key, f'--package={package}', '--version-code', str(version))
        assert package_of(tool, 'a.apk') == (package, version)
    os.unlink(tool.path('a.apk'))
    for package, words in (('com', 'one part only'), ('', 'is empty'), ('a.1', 'begin with'),
                           ('a.b-c', 'other characters'), ('x.' + 'y' * 222, 'more than 223')):
        refuses(tool, words, *key, f'--package={package}', status=2)
    for version in ('-1', str(2**63), 'x', ''):
        refuses(tool, "'--version-code' takes a number", *key, f'--version-code={version}',
                status=2)


@with_vmctl
def test_without_a_key_one_is_made_and_used_again(tool):
    create(tool, 'my-app', '-o', 'a.apk', said="made the key 'a.pem'")
    status = os.stat(tool.path('a.pem'))
    assert stat.S_IMODE(status.st_mode) == 0o600
    first, key = certificate_of(tool, 'a.apk'), tool.read('a.pem')
    said = run('openssl', 'pkey', '-in', 'a.pem', '-noout', '-text', cwd=tool.directory)
    assert b'prime256v1' in said
    fingerprint = run('openssl', 'x509', '-in', 'a.pem', '-noout', '-fingerprint', '-sha256',
                      cwd=tool.directory).decode().split('=')[1].replace(':', '').strip().lower()
    assert fingerprint == first
    refuses(tool, "cannot make 'a.apk': File exists", 'my-app', '-o', 'a.apk')
    create(tool, 'my-app', '-f', '-o', 'a.apk', '--version-code=2', said="with the key 'a.pem'")
    assert certificate_of(tool, 'a.apk') == first and tool.read('a.pem') == key
    # Given by name, it is the same signer.
    create(tool, 'my-app', '-o', 'b', '--key=a.pem')
    assert certificate_of(tool, 'b') == first
    create(tool, 'my-app', '-o', 'c', said="made the key 'c.pem'")
    assert certificate_of(tool, 'c') != first
    # Whoever has no certificate is told what that means.
    run('openssl', 'pkey', '-in', 'a.pem', '-out', 'bare.pem', cwd=tool.directory)
    create(tool, 'my-app', '-o', 'd.apk', '--key=bare.pem', said="no certificate in 'bare.pem'")
    assert certificate_of(tool, 'd.apk') != first


@with_vmctl
def test_a_manifest_of_the_folder_stays(tool):
    tool.write('AndroidManifest.xml', MANIFEST.encode())
    run('aapt', 'package', '-M', 'AndroidManifest.xml', '-I', FRAMEWORK, '-F', 'compiled.apk',
        cwd=tool.directory)
    manifest = run('unzip', '-p', 'compiled.apk', 'AndroidManifest.xml', cwd=tool.directory)
    tool.write('my-app/AndroidManifest.xml', manifest)
    create(tool, 'my-app', '-o', 'a.apk', said="made the key")
    assert package_of(tool, 'a.apk') == ('com.example.compiled', 6 << 32 | 5)
    with zipfile.ZipFile(tool.path('a.apk')) as archive:
        assert archive.read('AndroidManifest.xml') == manifest
    refuses(tool, "'--package' goes only with a folder that has no AndroidManifest.xml", 'my-app',
            '-o', 'b.apk', '--package=a.b', status=2)
    tool.write('my-app/AndroidManifest.xml', manifest[:-1])
    refuses(tool, 'AndroidManifest.xml: it is cut short', 'my-app', '-o', 'b.apk')
    tool.write('my-app/AndroidManifest.xml', MANIFEST.encode())
    create(tool, 'my-app', '-f', '-o', 'a.apk', said='is text: to a guest')
    # composite-disk makes the same, and says what it has read.
    make_key(tool, 'ec', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256')
    tool.write('my-app/AndroidManifest.xml', manifest)
    other = os.path.join(os.path.dirname(tool.program), 'composite-disk')
    said = json.loads(run(other, 'payload', 'create', '--key=ec.pem', '--cert=ec.crt', '--json',
                          '-o', 'c.apk', 'my-app', cwd=tool.directory))
    assert (said['package'], said['version-code']) == ('com.example.compiled', 6 << 32 | 5), said
    os.unlink(tool.path('my-app/AndroidManifest.xml'))
    said = json.loads(run(other, 'payload', 'create', '--key=ec.pem', '--cert=ec.crt', '--json',
                          '--package=a.b', '--version-code=7', '-o', 'd.apk', 'my-app',
                          cwd=tool.directory))
    assert (said['package'], said['version-code']) == ('a.b', 7), said
    assert package_of(tool, 'd.apk') == ('a.b', 7)


@with_vmctl
def test_bad_input_is_told_and_leaves_nothing(tool):
    make_key(tool, 'ec', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256')
    make_key(tool, 'other', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256')
    make_key(tool, 'weak', '-newkey', 'rsa:1024')
    out = ('-o', 'a.apk')
    refuses(tool, "'create-payload' needs a folder", *out, status=2)
    refuses(tool, "an argument too many: 'b'", 'my-app', 'b', *out, status=2)
    refuses(tool, "'--output=FILE' is missing", 'my-app', status=2)
    refuses(tool, "'--cert' needs '--key'", 'my-app', *out, '--cert=ec.crt', status=2)
    refuses(tool, "'create-payload' takes no option '--all'", 'my-app', *out, '--all', status=2)
    refuses(tool, "cannot open the directory 'missing': No such file", 'missing', *out)
    refuses(tool, 'Not a directory', 'ec.pem', *out)
    refuses(tool, "cannot open 'missing.pem'", 'my-app', *out, '--key=missing.pem')
    refuses(tool, "no private key in PEM in 'ec.crt'", 'my-app', *out, '--key=ec.crt')
    refuses(tool, 'RSA key of 1024 bits', 'my-app', *out, '--key=weak.pem')
    refuses(tool, 'is of another key', 'my-app', *out, '--key=ec.pem', '--cert=other.crt')
    refuses(tool, "cannot make 'no/a.apk'", 'my-app', '-o', 'no/a.apk')
    tool.write('a.pem', b'letters to grandmother')
    refuses(tool, "no private key in PEM in 'a.pem'", 'my-app', *out)
    os.unlink(tool.path('a.pem'))
    # Neither the archive nor the key gets into the archive.
    refuses(tool, "'my-app/a.apk' is in the folder", 'my-app', '-o', 'my-app/a.apk', status=2)
    refuses(tool, "'a.apk' is in the folder", '.', *out, status=2)
    os.rename(tool.path('ec.pem'), tool.path('my-app/ec.pem'))
    refuses(tool, "'my-app/ec.pem' is in the folder", 'my-app', *out, '--key=my-app/ec.pem',
            status=2)
    os.unlink(tool.path('my-app/ec.pem'))
    os.symlink('main.so', tool.path('my-app/lib/link'))
    refuses(tool, "'lib/link' is a symbolic link", 'my-app', *out)
    os.unlink(tool.path('my-app/lib/link'))
    os.mkdir(tool.path('empty'))
    refuses(tool, 'is empty', 'empty', *out)


if __name__ == '__main__':
    suite = Suite()
    sys.exit(suite.run(sys.modules[__name__]))
