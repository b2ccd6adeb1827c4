#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""composite-disk instance: images made and shown, against bytes that are put together here."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import uuid

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite  # noqa: E402

HEADER = b'Android-VM-instance\x01\x00'.ljust(512, b'\0')
MANAGER = 'cf9afe9a-0662-11ec-a329-c32663a09d75'
FIRMWARE = '90d2174a-038a-4bc6-adf3-824848fc5825'
OTHER = '00112233-4455-6677-8899-aabbccddeeff'


def record(name, payload, behind=b''):
    header = uuid.UUID(name).bytes + struct.pack('<Q', len(payload)) + behind
    return header.ljust(512, b'\0') + payload + bytes(-len(payload) % 512)


def in_directory(function):
    def run(suite):
        tool = os.path.join(os.path.abspath(suite.build), 'programs', 'composite-disk')
        with tempfile.TemporaryDirectory() as directory:
            def call(*words, status=0):
                done = subprocess.run([tool, *words], cwd=directory, text=True, timeout=60,
                                      capture_output=True, check=False)
                assert done.returncode == status, (words, done)
                return done.stdout if status == 0 else done.stderr
            function(call, directory)
    return run


def put(directory, name, data):
    with open(os.path.join(directory, name), 'wb') as file:
        file.write(data)


@in_directory
def test_a_new_image_has_no_records(call, directory):
    call('instance', 'create', 'image')
    with open(f'{directory}/image', 'rb') as file:
        assert file.read() == HEADER + bytes((10 << 20) - 512)
    listed = json.loads(call('instance', 'list', '--json', 'image'))
    assert listed == {'image': 'image', 'size': 10 << 20, 'used': 512, 'records': []}, listed


@in_directory
def test_records_are_listed_in_their_order(call, directory):
    put(directory, 'image', HEADER + record(FIRMWARE, b'p' * 512) + record(MANAGER, b'm' * 700) +
        record(OTHER, b'', b'\1') + bytes(512))
    listed = json.loads(call('instance', 'list', '--json', 'image'))
    rows = [(row['uuid'], row['owner'], row['offset'], row['size'], row['unknown-bytes'])
            for row in listed['records']]
    assert rows == [(FIRMWARE, 'pvmfw', 512, 512, False),
                    (MANAGER, 'microdroid_manager', 1536, 700, False),
                    (OTHER, None, 3072, 0, True)], rows
    assert listed['used'] == 3584
    text = call('instance', 'list', 'image')
    line = next(line for line in text.splitlines() if MANAGER in line)
    assert line.split() == [MANAGER, 'microdroid_manager', '1536', '700', 'no'], text


@in_directory
def test_what_is_wrong_is_said(call, directory):
    cases = {'no instance image': b'x' * 1024,
             'version 2': HEADER.replace(b'\1', b'\2') + bytes(512),
             'ends before the end of the header': HEADER[:511],
             'record at offset 512': HEADER,
             'same UUID': HEADER + 2 * record(MANAGER, b'') + bytes(512),
             'at most 1048576': HEADER + record(MANAGER, bytes((1 << 20) + 1)) + bytes(512)}
    for words, data in cases.items():
        put(directory, 'image', data)
        said = call('instance', 'list', 'image', status=1)
        assert words in said, (words, said)
    os.mkfifo(f'{directory}/pipe')
    assert 'is a pipe' in call('instance', 'list', 'pipe', status=1)
    assert 'is a directory' in call('instance', 'list', '.', status=1)
    assert 'No such file' in call('instance', 'list', 'none', status=1)


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
