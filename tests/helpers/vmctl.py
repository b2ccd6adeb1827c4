# SPDX-License-Identifier: Apache-2.0
"""vmctl on the bus of a test's host."""
import json
import os
import subprocess
import tempfile

from harness import DEADLINE, Host


def command(host, *arguments):
    """The words of a command line."""
    return [f'{host.build}/programs/vmctl', f'--bus={host.address}', *arguments]


def run(host, *arguments, data=b'', **more):
    """Runs it to its end, whatever that is."""
    return subprocess.run(command(host, *arguments), input=data, capture_output=True,
                          timeout=DEADLINE, check=False, **more)


def write_config(host, directory, mode='wait', name='test', payload='probe', changes=(),
                 file_name=None):
    """A configuration file whose paths are real ones, as a person would write it, with changed
    members; one of None is left out."""
    config, files = host.config(host.payload(payload), f'probe={mode}', name=name)
    for key in ('kernel', 'initrd'):
        config[key] = files[key]
    config['disks'][0]['partitions'][0]['path'] = files['payload']
    config.update(changes)
    path = os.path.join(directory, file_name or f'{name}.json')
    with open(path, 'w', encoding='utf-8') as file:
        json.dump({key: value for key, value in config.items() if value is not None}, file)
    return path


def with_folder(function):
    """Makes tests of functions that take a Host and a directory for files; what the host has must
    end well and leave nothing."""
    def run_test(suite):
        host = Host(suite.build)
        try:
            with tempfile.TemporaryDirectory() as directory:
                function(host, directory)
        finally:
            status, left = host.close()
            assert not left, left
            assert status == 0, status
    return run_test
