#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libvmpayload and the examples as a stranger uses them: installed, found, built by plain make."""
import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402

TOP = os.path.abspath(os.environ['top_srcdir'])
EXAMPLES = {'hello': {'lib/x86_64/libhello.so'},
            'sealed-counter': {'lib/x86_64/libsealed-counter.so'},
            'vsock-echo': {'bin/vsock-echo', 'assets/vm_config.json'}}


class Installed(Tool):
    """The library, its headers and libvmpayload.pc, installed below the directory."""

    def __init__(self, suite):
        super().__init__(suite)
        self.root = self.path('root')
        run('make', '-s', '-C', suite.build, 'install-libLTLIBRARIES', 'install-libLIBRARIES',
            'install-includeHEADERS', 'install-pkgconfigDATA', f'DESTDIR={self.root}')
        self.launcher = os.path.abspath(f'{suite.build}/programs/payload-launcher')

    def run(self, *words, **options):
        return run('env', f'PKG_CONFIG_SYSROOT_DIR={self.root}',
                   f'PKG_CONFIG_PATH={self.root}/usr/lib/pkgconfig',
                   f'LD_LIBRARY_PATH={self.root}/usr/lib', *words, cwd=self.directory, **options)

    def build(self, name, *arguments):
        """Builds a copy of an example. Returns the paths of what goes into the archive."""
        folder = self.path(name)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(f'{TOP}/examples/{name}', folder)
        self.run('make', '-s', '-C', folder, 'CFLAGS=-std=gnu99 -O2 -Wall -Wextra -Werror',
                 *arguments)
        payload = f'{folder}/payload'
        return {os.path.relpath(os.path.join(path, file), payload)
                for path, _, files in os.walk(payload) for file in files}


def test_examples_build_with_pkg_config(suite):
    with Installed(suite) as installed:
        for name, files in EXAMPLES.items():
            assert installed.build(name) == files, name


def test_examples_build_with_a_prefix(suite):
    with Installed(suite) as installed:
        for name, files in EXAMPLES.items():
            built = installed.build(name, f'VM_PAYLOAD_DIR={installed.root}/usr')
            assert built == files, name


def test_library_of_an_example_runs(suite):
    with Installed(suite) as installed:
        installed.build('hello')
        said = installed.run(installed.launcher, 'hello/payload/lib/x86_64/libhello.so')
        assert said == b'Hello from /mnt/apk\n', said


def test_configuration_names_the_program_in_the_archive(suite):
    with open(f'{TOP}/examples/vsock-echo/assets/vm_config.json', encoding='utf-8') as file:
        task = json.load(file)['task']
    assert task['type'] == 'executable'
    assert task['command'].removeprefix('/mnt/apk/') in EXAMPLES['vsock-echo']


def test_static_payload_links_the_archive(suite):
    with Installed(suite) as installed:
        flags = installed.run('pkg-config', '--cflags', '--libs', 'vm-payload').decode().split()
        installed.write('payload.c', b'#include <vm_payload.h>\n'
                        b'int main(void) { AVmPayload_notifyPayloadReady();\n'
                        b'return AVmPayload_getApkContentsPath()[0] != 47; }\n')
        run('cc', '-static', '-o', 'payload', 'payload.c', *flags, cwd=installed.directory)
        run('./payload', cwd=installed.directory)


def test_header_is_cxx_too_and_declares_what_is_exported(suite):
    with Installed(suite) as installed:
        header = f'{installed.root}/usr/include/vm_payload.h'
        run('c++', '-fsyntax-only', '-x', 'c++', header)
        with open(header, encoding='utf-8') as file:
            declared = set(re.findall(r'^\S[^/]*?\b(AVmPayload_\w+)\(', file.read(), re.M))
        library = f'{installed.root}/usr/lib/libvmpayload.so.0'
        exported = set(re.findall(r' T (\w+)', run('nm', '-D', library).decode()))
        assert exported == declared, exported ^ declared
        needed = re.findall(r'NEEDED.*\[(.*)\]', run('readelf', '-d', library).decode())
        assert needed == ['libc.so.6'], needed


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
