#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures vmctl from its start to its end: a list of many VMs, and the refusal without a service.

The VMs are not started: what is measured is vmctl, the bus and the daemon's answer. bare is the
bus's own dbus-send, which gets the same answer. Beside them are machinectl and virsh, with the
machines that they have, where they are installed and answer; what does not is said. Nothing is
asserted. Lines "SIDE.FIGURE VALUE UNIT", medians, come first, then what was aimed at.

  vmctl.py BUILD [--rounds N] [--vms N]
"""
import argparse
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
from bare import now  # noqa: E402
from figures import note, report  # noqa: E402
from harness import MANAGER, NAME, ROOT, Host  # noqa: E402

AIM_LIST_MS, AIM_REFUSAL_MS = 50, 100
PEERS = {'machinectl': ['machinectl', 'list', '--no-pager'], 'virsh': ['virsh', 'list', '--all']}


def milliseconds(command, status=0):
    begun = now()
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, check=False)
    taken = (now() - begun) * 1000
    if result.returncode != status:
        raise RuntimeError(f'{command}: {result}')
    return taken


def measure(host, rounds):
    vmctl = [f'{host.build}/programs/vmctl', f'--bus={host.address}']
    peers = {}
    for name, command in PEERS.items():
        if not shutil.which(command[0]):
            print(f'# {name} is not installed')
            continue
        try:
            milliseconds(command)
            peers[name] = command
        except RuntimeError as problem:
            print(f'# {name} does not answer here: {problem}')
    peers['bare'] = ['dbus-send', f'--bus={host.address}', f'--dest={NAME}', '--print-reply', ROOT,
                     f'{MANAGER}.ListVms', 'boolean:false']
    for _ in range(rounds):  # in turn
        note('ours', 'list', [milliseconds([*vmctl, 'list'])], 'ms')
        note('ours', 'list_json', [milliseconds([*vmctl, 'list', '--json=short'])], 'ms')
        note('ours', 'no_service',
             [milliseconds([vmctl[0], '--bus=unix:path=/nonexistent', 'list'], 69)], 'ms')
        for name, command in peers.items():
            note(name, 'list', [milliseconds(command)], 'ms')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--vms', type=int, default=200)
    arguments = parser.parse_args()
    host = Host(arguments.build)
    try:
        for _ in range(arguments.vms):
            host.create(*host.config(memory_mib=32))
        measure(host, arguments.rounds)
    finally:
        host.close()
    report()
    print(f'# aimed at: ours.list of 200 VMs below {AIM_LIST_MS} ms, '
          f'ours.no_service below {AIM_REFUSAL_MS} ms')


if __name__ == '__main__':
    main()
