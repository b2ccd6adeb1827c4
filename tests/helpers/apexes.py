# SPDX-License-Identifier: Apache-2.0
"""APEXes as a builder of modules makes them, and instances of an app with modules. The image and its
zip are made by mkfs and zipalign, tree and signature by composite-disk."""
import json
import os
import shutil
import subprocess
import zipfile

from microguest import Instance

BLOCK = 4096
SALT = '5a17' * 16
MANIFEST = 'apex_manifest.pb'
IMAGE = 'apex_payload.img'
PUBLIC_KEY = 'apex_pubkey'


def quietly(*words):
    done = subprocess.run([str(word) for word in words], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (words, done.stdout[-2000:])
    return done.stdout


def make_key(directory, name='module-key', bits=2048):
    path = f'{directory}/{name}.pem'
    quietly('openssl', 'genrsa', '-out', path, bits)
    return path


def varint(number):
    out = b''
    while number > 0x7f:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def encode_manifest(name, version):
    """With a field that only Android knows: versionName."""
    def text(field, value):
        return varint(field << 3 | 2) + varint(len(value)) + value.encode()
    return text(1, name) + varint(2 << 3) + varint(version) + text(5, f'{version}.0')


class Apex:
    """A finished APEX, and where in it things are."""

    def __init__(self, path, name, tree):
        self.path = path
        self.name = name
        self.tree = tree  # what composite-disk tells of it
        with zipfile.ZipFile(path) as archive, open(path, 'rb') as file:
            self.places = {}
            for entry in archive.infolist():
                file.seek(entry.header_offset + 26)
                more = int.from_bytes(file.read(2), 'little') + int.from_bytes(file.read(2),
                                                                               'little')
                self.places[entry.filename] = (entry.header_offset + 30 + more, entry.file_size)

    def read(self):
        with open(self.path, 'rb') as file:
            return file.read()

    def image(self):
        offset, size = self.places[IMAGE]
        return self.read()[offset:offset + size]

    def altered(self, offset, name='altered'):
        """The path of a copy with one byte changed, @offset counted from the image's beginning."""
        data = bytearray(self.read())
        data[self.places[IMAGE][0] + offset] ^= 1
        path = f'{self.path}.{name}'
        with open(path, 'wb') as file:
            file.write(data)
        return path


def make_image(path, folder, filesystem):
    if filesystem == 'erofs':
        quietly('mkfs.erofs', '-T0', '--all-root', path, folder)
        return
    size = sum(os.path.getsize(os.path.join(at, name))
               for at, _, names in os.walk(folder) for name in names)
    with open(path, 'wb') as file:
        file.truncate((size // BLOCK * 2 + 256) * BLOCK)
    quietly('mkfs.ext4', '-q', '-b', BLOCK, '-O', '^has_journal', '-d', folder, path)


def make_apex(build, path, key, name, files, version=1, filesystem='erofs', public_key=None,
              manifest=None):
    """Makes and signs a module of @files (name in it: bytes, or a path to copy). @public_key and
    @manifest are what the archive has in place of those that belong there."""
    folder, image, key_file = f'{path}.folder', f'{path}.img', f'{path}.avbpubkey'
    tool = f'{build}/programs/composite-disk'
    inner = encode_manifest(name, version)
    for file_name, source in {**files, MANIFEST: inner}.items():
        target = f'{folder}/{file_name}'
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if isinstance(source, bytes):
            with open(target, 'wb') as file:
                file.write(source)
        else:
            shutil.copy(source, target)
    os.chmod(folder, 0o755)
    make_image(image, folder, filesystem)
    shutil.rmtree(folder)
    quietly(tool, 'vbmeta', 'add-hashtree', '--in-place', '--name=', f'--salt={SALT}',
            f'--key={key}', image)
    quietly(tool, 'vbmeta', 'export-key', '-f', '-o', key_file, public_key or key)
    tree = json.loads(quietly(tool, 'vbmeta', 'info', '--json=short', image))['hashtrees'][0]
    with zipfile.ZipFile(f'{path}.zip', 'w', zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, manifest or inner)
        archive.write(image, IMAGE)
        archive.write(key_file, PUBLIC_KEY)
    quietly('zipalign', '-f', BLOCK, f'{path}.zip', path)
    for made in (image, key_file, f'{path}.zip'):
        os.unlink(made)
    return Apex(path, name, tree)


class ModuleInstance(Instance):
    """An instance that has modules: @modules tells the path of each by its name."""

    modules = {}

    def run(self, *arguments, payload=(), **more):
        app = dict(payload)
        if self.modules:
            app['apexes'] = [{'name': name, 'image': f'apex-{number}'}
                             for number, name in enumerate(self.modules)]
        return super().run(*arguments, payload=app, **more)

    def _add(self, vm, files):
        images = {f'apex-{number}': path for number, path in enumerate(self.modules.values())}
        super()._add(vm, {**files, **images})
