#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libcomposite-disk as a stranger uses it: installed, found by pkg-config, one header."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402
from tool import Tool, run  # noqa: E402

PROGRAM = r'''
#include <composite-disk.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(what)                                        \
    do {                                                   \
        if (!(what)) {                                     \
            fprintf(stderr, "%d: %s\n", __LINE__, #what);  \
            return 1;                                      \
        }                                                  \
    } while (0)

static int use_images(void)
{
    int apk = open("a.apk", O_RDONLY), idsig = open("idsig", O_RDWR | O_CREAT, 0600);
    int vbmeta = open("vbmeta", O_RDONLY), partition = open("part", O_RDWR | O_CREAT, 0600);
    unsigned char hash[32] = { 0 };
    uint64_t rollback_index = 0;
    char magic[8] = "", *message;

    CHECK(composite_disk_verify_apk(apk, hash, NULL) == 0 && (hash[0] || hash[1]));
    CHECK(composite_disk_update_idsig(apk, idsig, NULL) == 0);
    CHECK(composite_disk_verify_idsig(apk, idsig, NULL) == 0);
    CHECK(pwrite(idsig, "x", 1, 4096) == 1);
    CHECK(composite_disk_verify_idsig(apk, idsig, &message) == -EBADMSG);
    free(message);
    CHECK(composite_disk_verify_vbmeta(vbmeta, "rsa.pem", &rollback_index, NULL) == 0);
    CHECK(rollback_index == 7);
    CHECK(composite_disk_verify_vbmeta(apk, "rsa.pem", &rollback_index, NULL) == -EBADMSG);
    CHECK(composite_disk_initialize_partition(partition, 1, "android-vm-instance", NULL) == 0);
    CHECK(pread(partition, magic, 7, 0) == 7 && strcmp(magic, "Android") == 0);
    CHECK(composite_disk_initialize_partition(partition, 1, "qcow2", NULL) == -EINVAL);
    CHECK(composite_disk_initialize_partition(apk, 1, "raw", NULL) == -EBADF);
    return 0;
}

int main(void)
{
    const CompositeDiskPart parts[] = {
        { .label = "one", .file = "a", .writable = true, .type = "esp" },
        { .label = "two", .file = "b", .guid = "00000000-0000-4000-8000-000000000001" },
    };
    const CompositeDiskPart wrong = { .label = "three", .file = "c", .type = "ext4" };
    CompositeDiskPartition partition;
    CompositeDisk *disk = NULL;
    char buffer[5] = "", *message = "";

    CHECK(composite_disk_create("d.img", parts, 1, 0, &message) == 0 && !message);
    CHECK(composite_disk_append("d.img", parts + 1, 1, &message) == 0 && !message);
    CHECK(composite_disk_append("d.img", &wrong, 1, &message) == -EINVAL);
    CHECK(strcmp(message, "there is no partition type 'ext4'") == 0);
    free(message);
    CHECK(composite_disk_create("d.img", parts, 2, 0, NULL) == -EEXIST);
    CHECK(composite_disk_open("nowhere", 0, &disk, &message) == -ENOENT && message);
    free(message);

    CHECK(composite_disk_open("d.img", COMPOSITE_DISK_WRITABLE, &disk, &message) == 0);
    CHECK(composite_disk_get_n_partitions(disk) == 2);
    CHECK(composite_disk_get_partition(disk, 1, &partition) == 0);
    CHECK(strcmp(partition.label, "two") == 0 && partition.guid[15] == 1);
    CHECK(composite_disk_get_partition(disk, 2, &partition) == -ENOENT);
    CHECK(composite_disk_write(disk, partition.offset, "x", 1, &message) == -EACCES);
    free(message);
    CHECK(composite_disk_get_partition(disk, 0, &partition) == 0);
    CHECK(composite_disk_write(disk, partition.offset + 4092, "last", 4, NULL) == 0);
    CHECK(composite_disk_flush(disk, NULL) == 0);
    CHECK(composite_disk_read(disk, partition.offset + 4092, buffer, 4, NULL) == 0);
    CHECK(strcmp(buffer, "last") == 0);
    CHECK(composite_disk_read(disk, composite_disk_get_size(disk), buffer, 1, NULL) == -EBADMSG);
    composite_disk_close(disk);
    composite_disk_close(NULL);
    return use_images();
}
'''


def names_of_header():
    with open(os.path.join(os.environ['top_srcdir'], 'composite-disk/composite-disk.h'),
              encoding='utf-8') as file:
        return set(re.findall(r'\b(composite_disk_\w+)\(', file.read()))


def test_a_program_of_somebody_else_uses_the_installed_library(suite):
    with Tool(suite) as tool:
        root = tool.path('root')
        environment = {'PKG_CONFIG_SYSROOT_DIR': root,
                       'PKG_CONFIG_PATH': f'{root}/usr/lib/pkgconfig'}
        run('make', '-s', '-C', suite.build, 'install-libLTLIBRARIES', 'install-includeHEADERS',
            'install-pkgconfigDATA', f'DESTDIR={root}')
        flags = run('env', *(f'{k}={v}' for k, v in environment.items()), 'pkg-config', '--cflags',
                    '--libs', 'composite-disk').decode().split()
        tool.write('program.c', PROGRAM.encode())
        if suite.sanitized:
            flags += ['-fsanitize=address,undefined']
        run('cc', '-std=gnu99', '-Wall', '-Wextra', '-Werror', '-Wno-discarded-qualifiers', '-o',
            'program', 'program.c', *flags, cwd=tool.directory)
        run('c++', '-fsyntax-only', '-x', 'c++', f'{root}/usr/include/composite-disk.h')
        for name in 'ab':
            tool.write(name, bytes(8192))
        tool.write('content', os.urandom(100000))
        run('openssl', 'genrsa', '-out', 'rsa.pem', '2048', cwd=tool.directory)
        run('zip', '-q', 'plain.zip', 'content', cwd=tool.directory)
        tool.ok('apk', 'sign', '--key=rsa.pem', '-o', 'a.apk', 'plain.zip')
        tool.ok('vbmeta', 'make', '--key=rsa.pem', '--rollback-index=7', '-o', 'vbmeta')
        run('env', f'LD_LIBRARY_PATH={root}/usr/lib', './program', cwd=tool.directory)
        assert tool.read('a')[4092:4096] == b'last'
        exported = set(re.findall(r' T (\w+)', run(
            'nm', '-D', f'{root}/usr/lib/libcomposite-disk.so').decode()))
        assert exported == names_of_header(), exported ^ names_of_header()


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
