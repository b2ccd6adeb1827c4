#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs commands in the VM of the whole-host tests, which starts for this and is thrown away after.

    host-vm.py [--build DIRECTORY] run -- COMMAND [ARGUMENT]...
    host-vm.py [--build DIRECTORY] shell      # each line of standard input, by a shell of its own

`make host-vm` in the build directory has made what it needs. Inside, /tree/build has the programs
and /tree/source the tests; top_builddir and top_srcdir name them.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
from host_vm import HostVm  # noqa: E402
from whole_host import COMMAND_DEADLINE, WholeHostError, exit_on_signals  # noqa: E402

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')


def show(text):
    sys.stdout.buffer.write(text.encode(errors='surrogateescape'))
    sys.stdout.flush()


def run(vm, command, deadline):
    status, _ = vm.run(command, deadline, show)
    if status == 'deadline':
        print(f'host-vm: ended after {deadline} s', file=sys.stderr)
        return 124
    return status


def shell(vm, deadline):
    status = 0
    while True:
        print('host# ', end='', file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return status
        status = run(vm, ['sh', '-c', line], deadline)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=f'{SOURCE}/build', help='build directory [build]')
    parser.add_argument('--cpus', type=int, default=1)
    parser.add_argument('--deadline', type=int, default=COMMAND_DEADLINE,
                        help=f'seconds for each command [{COMMAND_DEADLINE}]')
    verbs = parser.add_subparsers(dest='verb', required=True)
    verbs.add_parser('shell')
    verbs.add_parser('run').add_argument('command', nargs='+')
    arguments = parser.parse_args()

    exit_on_signals()
    try:
        with HostVm(SOURCE, arguments.build, arguments.cpus) as vm:
            if arguments.verb == 'shell':
                return shell(vm, arguments.deadline)
            return run(vm, arguments.command, arguments.deadline)
    except WholeHostError as error:
        print(f'host-vm: {error}', file=sys.stderr)
        return 125


if __name__ == '__main__':
    sys.exit(main())
