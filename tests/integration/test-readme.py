#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of README.md do what it says, typed one after the other in a build directory."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import DEADLINE, Suite  # noqa: E402

TOP = os.path.abspath(os.environ['top_srcdir'])


def commands_of(section):
    """What is indented in that section, as a script."""
    with open(f'{TOP}/README.md', encoding='utf-8') as file:
        text = re.search(rf'^## {section}\n(.*?)^## ', file.read(), re.M | re.S).group(1)
    return ''.join(line[4:] + '\n' for line in text.splitlines() if line.startswith('    '))


def type_in(suite, section):
    """Runs the commands in a directory like the build's, in a home that is nobody else's."""
    with tempfile.TemporaryDirectory(prefix='virtualizationd-') as directory:
        os.chmod(directory, 0o755)
        build, home = f'{directory}/build', f'{directory}/home'
        os.makedirs(build)
        os.makedirs(home)
        shutil.copytree(f'{TOP}/examples', f'{directory}/examples')
        os.symlink(f'{TOP}/guest', f'{directory}/guest')
        for name in ('programs', 'guest-image', 'microguest', '.libs'):
            os.symlink(os.path.abspath(f'{suite.build}/{name}'), f'{build}/{name}')
        before = set(os.listdir(build))
        done = subprocess.run(['sh', '-euc', commands_of(section)], cwd=build,
                              env=dict(os.environ, HOME=home, LC_ALL='C'), check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=2 * DEADLINE)
        assert done.returncode == 0, done
        return done.stdout.decode(), set(os.listdir(build)) - before


def test_first_vm(suite):
    output, left = type_in(suite, 'A first VM by hand')
    assert 'Hello from the payload\n' in output, output
    assert left == {'first.json'}, left


def test_app(suite):
    output, left = type_in(suite, 'An app')
    assert 'Hello from /mnt/apk\n' in output, output
    assert not left, left


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
