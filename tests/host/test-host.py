#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots one whole host in a VM and runs in it, under KVM there, what is to be tested on one.

Each case of each script in inside/ is a case here; each script of the integration tests is one.
HOST_TESTS_ONLY=text runs only scripts with that in their path, TESTS_ONLY=text only such cases.
"""
import glob
import os
import re
import sys
import time

SOURCE = os.environ.get('top_srcdir') or os.path.join(os.path.dirname(__file__), '..', '..')
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'helpers'))
sys.dont_write_bytecode = True
from host_vm import HostVm, HostVmError, exit_on_signals  # noqa: E402

INTEGRATION = ('test-deaths.py', 'test-lifetime.py')
SCRIPT_DEADLINE = 900    # seconds, for one script
TEST_DEADLINE = 300      # for each thing that a script waits for; a guest is up in 10
CASE = re.compile(r'(not )?ok\b *\d* *(?:- *)?(.*)')
PLAN = re.compile(r'1\.\.(\d+)')


class Tap:
    """Counts and prints cases."""

    def __init__(self):
        self.count = self.failed = 0

    def case(self, good, name):
        self.count += 1
        self.failed += not good
        print(f'{"ok" if good else "not ok"} {self.count} - {name}', flush=True)

    def diagnose(self, text):
        for line in text.splitlines():
            line = line.encode(errors='backslashreplace').decode()
            print(line if line.startswith('#') else f'# {line}', flush=True)

    def end(self):
        print(f'1..{self.count}')
        return 1 if self.failed or not self.count else 0


class Script:
    """One script that prints TAP in the VM, read line by line."""

    def __init__(self, path, tap, relay):
        self.name = os.path.basename(path).removesuffix('.py')
        self.path = path
        self.tap = tap
        self.relay = relay  # each of its cases is one of ours
        self.rest = ''
        self.planned = None
        self.count = self.failed = 0

    def hear(self, text):
        *lines, self.rest = (self.rest + text).split('\n')
        for line in lines:
            case, plan = CASE.match(line), PLAN.match(line)
            if case:
                self.count += 1
                self.failed += bool(case[1])
                if self.relay:
                    self.tap.case(not case[1], f'{self.name}: {case[2]}')
                else:
                    self.tap.diagnose(line)
            elif plan:
                self.planned = int(plan[1])
            else:
                self.tap.diagnose(line)

    def run(self, vm):
        started = time.monotonic()
        command = ['env', f'TEST_DEADLINE={TEST_DEADLINE}',
                   f'TESTS_ONLY={os.environ.get("TESTS_ONLY", "")}',
                   'python3', '-B', f'/tree/source/{self.path}']
        status, _ = vm.run(command, SCRIPT_DEADLINE, self.hear)
        self.hear('\n')
        self.tap.diagnose(f'{self.name}: {time.monotonic() - started:.0f} s, status {status}')
        ended = self.count == self.planned and (status == 0 or (status == 1 and self.failed))
        if not self.relay:
            self.tap.case(ended and not self.failed, self.name)
        elif not ended:
            self.tap.case(False, f'{self.name}: runs to its end')
        if not ended or self.failed:
            self.tap.diagnose(vm.run(['sh', '-c', 'dmesg | tail -n 30'], 60)[1])


def main():
    exit_on_signals()
    tap = Tap()
    inside = sorted(glob.glob('tests/host/inside/test-*.py', root_dir=SOURCE))
    scripts = [Script(path, tap, True) for path in inside]
    scripts += [Script(f'tests/integration/{name}', tap, False) for name in INTEGRATION]
    only = os.environ.get('HOST_TESTS_ONLY', '')
    started = time.monotonic()
    try:
        with HostVm(SOURCE, os.environ['top_builddir']) as vm:
            tap.diagnose(f'the VM is up: {time.monotonic() - started:.0f} s')
            for script in scripts:
                if only in script.path:
                    script.run(vm)
            vm.power_off()
            tap.case(True, 'the host powers off')
    except HostVmError as error:
        tap.case(False, 'the VM runs')
        tap.diagnose(str(error))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
