#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots one whole host in a VM and runs in it, under KVM there, what is to be tested on one.

Each case of each script in inside/ is a case here; each script of the integration tests is one.
HOST_TESTS_ONLY=text runs only scripts with that in their path, TESTS_ONLY=text only such cases.
"""
import glob
import os
import sys
import time

SOURCE = os.environ.get('top_srcdir') or os.path.join(os.path.dirname(__file__), '..', '..')
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'helpers'))
sys.dont_write_bytecode = True
from host_scripts import Script, Tap  # noqa: E402
from host_vm import HostVm  # noqa: E402
from whole_host import WholeHostError, exit_on_signals  # noqa: E402

INTEGRATION = ('test-deaths.py', 'test-lifetime.py')


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
    except WholeHostError as error:
        tap.case(False, 'the VM runs')
        tap.diagnose(str(error))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
