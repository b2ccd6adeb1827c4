# SPDX-License-Identifier: Apache-2.0
"""Scripts that print TAP in a whole host, and what comes of them out here."""
import os
import re
import time

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
