#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The power of an app VM is cut, at moments that chance chooses, in first boots and in later ones.
Whatever moment it is, the next boot works, and the payload has its secrets, its files and its
rollback-protected secret as they were acknowledged. POWER_CUTS says how many there are, and
POWER_CUTS_SEED which; a failure names the seed."""
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import dbus  # noqa: E402
from harness import DEADLINE, Suite, with_host  # noqa: E402
from microguest import MIB, Instance, Signer, ask, make_archive  # noqa: E402

CUTS = int(os.environ.get('POWER_CUTS', 20))
SEED = int(os.environ.get('POWER_CUTS_SEED', time.time_ns() % 1000000))
CUTS_OF_AN_INSTANCE = 2  # the first of them in its first boot
STORE = '/mnt/encryptedstore'


class Cut:
    """Kills the VMM so many seconds after it has been started."""

    def __init__(self, host, seconds):
        self.host = host
        self.timer = threading.Timer(seconds, self._run)
        self.timer.start()

    def _run(self):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            vmms = [pid for pid, command in self.host.vm_processes().items() if 'qemu' in command]
            for pid in vmms:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it has ended by itself
            if vmms:
                return
            time.sleep(0.002)


class Counter:
    """What a payload of the instance has been told to keep, and what it has said that it does."""

    def __init__(self, instance):
        self.instance = instance
        self.secret = None
        self.sent = self.kept = 0

    def check(self, vm):
        """That everything is there that was acknowledged."""
        secret = ask(vm, 'secret a')
        assert self.secret in (None, secret), 'the secrets are others'
        kept = ask(vm, 'read-rollback').split()
        number = int(kept[1]) if len(kept) > 1 else 0
        assert self.kept <= number <= self.sent, (self.kept, number, self.sent, kept)
        text = ask(vm, f'read {STORE}/{self.kept}') if self.kept else ''
        assert text == (f'text {self.kept}' if self.kept else ''), (self.kept, text)
        self.kept = self.sent = number  # one that was not acknowledged may be there without a file
        if number:
            assert ask(vm, f'write {STORE}/{number} text {number}') == 'written\n'
        if not self.secret and secret:
            self.secret = secret

    def count(self, vm):
        self.sent += 1
        if ask(vm, f'write {STORE}/{self.sent} text {self.sent}') != 'written\n':
            return False
        if ask(vm, f'write-rollback {self.sent}') != '32\n':
            return False
        self.kept = self.sent
        return True


def boot(counter):
    """A boot that nobody disturbs; returns how long it took to be ready."""
    vm = counter.instance.run()
    began = time.monotonic()
    vm.wait_for('PayloadReady')
    took = time.monotonic() - began
    counter.check(vm)
    assert counter.count(vm)
    ask(vm, 'exit 0')
    record = vm.death()
    assert record['reason'] == 'shutdown', record
    return took


def boot_and_cut(host, counter, seconds):
    """Returns in which state the VM was."""
    vm = counter.instance.run()
    cut = Cut(host, seconds)
    try:
        vm.wait_until_ready_or_dead()
        while vm.find('PayloadReady') and counter.count(vm):
            pass
    except (dbus.DBusException, OSError):
        pass  # the VM is not there any more
    finally:
        cut.timer.join()
    record = vm.death()
    assert record['reason'] == 'killed', record
    return 'ready' if vm.find('PayloadReady') else 'booting'


@with_host
def test_power_cuts(host):
    choose = random.Random(SEED)
    archive = make_archive(host.build, f'{host.directory}/probe.apk', Signer(host.directory),
                           {'bin/payload': host.payload('app-probe-static')})
    usual = boot(Counter(Instance(host, archive, 'usual', storage=16 * MIB)))
    cut = {'ready': 0, 'booting': 0}
    counter = None
    for i in range(CUTS):
        if i % CUTS_OF_AN_INSTANCE == 0:
            counter = Counter(Instance(host, archive, f'instance-{i}', storage=16 * MIB))
        seconds = choose.uniform(0, usual * 1.3)
        try:
            cut[boot_and_cut(host, counter, seconds)] += 1
            boot(counter)
        except BaseException:
            print(f'# cut {i}, after {seconds:.3f} s, with POWER_CUTS_SEED={SEED}', flush=True)
            raise
    print(f'# cut when booting: {cut["booting"]}, when counting: {cut["ready"]}')
    assert cut['booting'] > 0


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
