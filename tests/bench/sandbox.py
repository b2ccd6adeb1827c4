#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what the sandbox costs, each figure beside its floor in the same run.

A line is "NAME VALUE UNIT"; nothing is asserted.
- launch.*: /bin/true in the VMM's place, from the connection to the launcher until its death is
  told: with vsock-device, supervisor and all that a VM has. --spawn=COMMAND names a bench that
  prints the floors spawn.*.sandbox.all.median and spawn.bwrap.unshare_all.median in microseconds.
- start.*: from the connection until QEMU has greeted and its vCPUs are released, with the layers
  seccomp, capabilities, namespaces, limits and Landlock, and without them; one after the other,
  and 8 at once.
- guest.*: boot to the payload, and the read of a disk of 100 MiB, with the filter and without.
- policy.*: how many names the steady part of a policy allows.

  sandbox.py BUILD [--runs N] [--spawn COMMAND]
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'helpers'))
sys.dont_write_bytecode = True
import launcher  # noqa: E402
from harness import Host, wait_until  # noqa: E402
from launcher import DIED, RUNNING, TCG, launch_spec  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
LAYERS = 'SCNRL'
now = time.monotonic


def emit(name, value, unit):
    print(f'{name} {value:.6g} {unit}', flush=True)


def emit_series(name, values, unit):
    emit(f'{name}.median', statistics.median(values), unit)
    if len(values) >= 20:
        emit(f'{name}.p99', sorted(values)[int(len(values) * 0.99)], unit)


class Launch(launcher.Launch):
    """One launch of the kernel, and how long it takes."""

    def __init__(self, host, kernel, cid=2048):
        self.began = now()
        super().__init__(host, launch_spec(cid=cid, accelerator=TCG), [kernel])

    def wait_for(self, kind):
        """Microseconds from the connection to the message."""
        super().wait_for(kind)
        return (now() - self.began) * 1e6

    def close(self):
        self.connection.close()

    def end(self):
        self.kill()
        self.close()


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return file.read().split()


def trivial(build, directory, runs, spawn):
    os.makedirs(f'{directory}/prefix/usr/bin')
    shutil.copy('/bin/true', f'{directory}/prefix/usr/bin/qemu-system-x86_64')
    host = Host(build, launcher_options=[f'--vmm-prefix={directory}/prefix'],
                cache_dir=f'{directory}/cache')
    times = []
    listener = host.listener_pids()[0]
    with open(f'{directory}/kernel', 'w+b') as kernel:
        for _ in range(runs):
            launch = Launch(host, kernel.fileno())
            times.append(launch.wait_for(DIED))
            launch.close()
            # As far apart as VMs are made, not in one burst: the listener has its next launcher.
            wait_until(lambda: len(children(listener)) == 1, 'the next launcher')
    host.close()
    emit_series('launch.ours', times, 'us')
    if not spawn:
        return
    floors = {}
    for line in subprocess.run(['sh', '-c', spawn], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.splitlines():
        match = re.match(r'spawn\.(r\d+\.sandbox\.all|bwrap\.unshare_all)\.median (\S+)', line)
        if match:
            floors.setdefault(match[1].split('.', 1)[-1], []).append(float(match[2]))
    for name, values in floors.items():
        floor = statistics.median(values)
        emit(f'launch.floor.{name}', floor, 'us')
        emit(f'launch.ratio.{name}', statistics.median(times) / floor, '')


def start(hosts, kernel, runs):
    times = {name: [] for name in hosts}
    for _ in range(runs):
        for name, host in hosts.items():
            launch = Launch(host, kernel)
            times[name].append(launch.wait_for(RUNNING))
            launch.end()
    return times


def start_at_once(hosts, kernel, runs, n_at_once):
    times = {name: [] for name in hosts}

    def one(name, host, cid):
        launch = Launch(host, kernel, cid)
        times[name].append(launch.wait_for(RUNNING))
        launch.end()

    for _ in range(runs):
        for name, host in hosts.items():
            threads = [threading.Thread(target=one, args=(name, host, 2048 + i))
                       for i in range(n_at_once)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    return times


def emit_start(name, times):
    for side, values in times.items():
        emit_series(f'start.{name}.{side}', values, 'us')
    emit(f'start.{name}.added.median', statistics.median(times['sandbox']) -
         statistics.median(times['without']), 'us')


def guests(hosts, directory, runs):
    boots = {name: [] for name in hosts}
    reads = {name: [] for name in hosts}
    with open(f'{directory}/disk', 'wb') as file:
        file.write(os.urandom(1 << 20) * 100)
    for _ in range(runs):
        for name, host in hosts.items():
            config, files = host.config(host.payload('probe'), 'probe=read virtualizationd.debug=1')
            config['disks'].append({'image': 'disk'})
            files['disk'] = f'{directory}/disk'
            vm = host.create(config, files, start=True)
            vm.death()
            said = vm.wait_for_output_end().decode()
            match = re.search(r'read (\d+) bytes in (\d+) us', said)
            assert match and int(match[1]) == 100 << 20, said
            reads[name].append(int(match[2]) / 1e3)
            began = vm.find('property:StartedAt')[0]
            boots[name].append((vm.find('PayloadStarted')[0] - began) * 1e3)
    for what, times in (('boot', boots), ('read_100_mib', reads)):
        for name, values in times.items():
            emit(f'guest.{what}.{name}.median', statistics.median(values), 'ms')
        emit(f'guest.{what}.ratio', statistics.median(
            a / b for a, b in zip(times['filter'], times['no_filter'])), '')


def policies():
    for role in ('qemu-tcg', 'qemu-kvm'):
        with open(f'{TOP}/policy/seccomp/{role}.json', encoding='utf-8') as file:
            entries = json.load(file)['syscalls']
        names = {name for entry in entries if entry['action'] == 'SCMP_ACT_ALLOW'
                 for name in entry['names']}
        emit(f'policy.{role}.steady', len(names), 'names')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--spawn')
    options = parser.parse_args()

    def host(without):
        return Host(options.build, launcher='vmm-launcher-for-tests',
                    launcher_options=[f'--without-layers={without}'])

    policies()
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        trivial(options.build, directory, options.runs, options.spawn)
        hosts = {'sandbox': host(''), 'without': host(LAYERS)}
        with open(hosts['sandbox'].image('vmlinux'), 'rb') as kernel:
            emit_start('one', start(hosts, kernel.fileno(), options.runs))
            emit_start('8_at_once', start_at_once(hosts, kernel.fileno(), 3, 8))
        for each in hosts.values():
            each.close()
        hosts = {'filter': host(''), 'no_filter': host('S')}
        guests(hosts, directory, max(3, options.runs // 2))
        for each in hosts.values():
            each.close()


if __name__ == '__main__':
    main()
