#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures hash trees of a file whose pages are all in memory, beside other people's tools.

A line is "NAME VALUE UNIT"; nothing is asserted but that all make the same tree. Each round runs
all in turn, in another order than the one before:
- merkle.ours.1: libcomposite-disk with one thread; merkle.ours.all: with one for each CPU.
- merkle.fsverity, merkle.veritysetup: fsverity digest and veritysetup format, which use one.
  All are whole processes that write the tree to a file: median, least and most seconds of wall
  clock, and the median of CPU seconds.
- merkle.ratio.*: medians of the quotients of each round: the other's wall clock to ours with one
  thread (above 1: ours is faster), .cpu: the same of CPU seconds, which other load changes least;
  and merkle.ratio.all: ours with one to ours with all.
- merkle.ceiling: OpenSSL's SHA-256 over blocks of 4096 bytes on one CPU, in bytes per second;
  merkle.ratio.ceiling: what ours with one thread does in a CPU second, as a part of it.

  merkle.py BUILD [--rounds N] [--mib N]
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time


def emit(name, value, unit):
    print(f'merkle.{name} {value:.6g} {unit}', flush=True)


def run_timed(command, directory):
    """Wall clock and CPU seconds."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f'{command[0]} ended with {process.returncode}')
    return wall, usage.ru_utime + usage.ru_stime


def make_file(path, mib):
    """Not two blocks of it are equal, and it is on the disk: nothing is written back meanwhile."""
    with open(path, 'wb') as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    with open(path, 'rb') as file:
        while file.read(1 << 20):
            pass


def measure(commands, directory, rounds):
    names, times = list(commands), {name: [] for name in commands}
    for i in range(rounds + 1):
        turn = names[i % len(names):] + names[:i % len(names)]
        for name in turn:
            taken = run_timed(commands[name], directory)
            if i > 0:  # the first round is to get the programs into memory
                times[name].append(taken)
    return times


def check_trees(directory, names):
    trees = set()
    for name in names:
        with open(f'{directory}/{name}.tree', 'rb') as file:
            trees.add(file.read())
    if len(trees) != 1:
        raise RuntimeError('the trees are not the same')


def measure_ceiling():
    command = 'openssl speed -mr -evp sha256 -bytes 4096 -seconds 1'.split()
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(re.search(r'^\+F:\d+:[^:]+:([\d.]+)', said, re.MULTILINE).group(1))


def emit_figures(times, size, ceiling):
    for name, taken in times.items():
        walls = [wall for wall, _ in taken]
        emit(f'{name}.median', statistics.median(walls), 's')
        emit(f'{name}.min', min(walls), 's')
        emit(f'{name}.max', max(walls), 's')
        emit(f'{name}.cpu', statistics.median([cpu for _, cpu in taken]), 's')
    ours = [wall for wall, _ in times['ours.1']]
    for name in ('fsverity', 'veritysetup'):
        quotients = [wall / own for (wall, _), own in zip(times[name], ours)]
        emit(f'ratio.{name}', statistics.median(quotients), 'ratio')
        quotients = [cpu / own for (_, cpu), (_, own) in zip(times[name], times['ours.1'])]
        emit(f'ratio.{name}.cpu', statistics.median(quotients), 'ratio')
    quotients = [own / wall for (wall, _), own in zip(times['ours.all'], ours)]
    emit('ratio.all', statistics.median(quotients), 'ratio')
    emit('cpus', len(os.sched_getaffinity(0)), 'CPUs')
    emit('ceiling', ceiling, 'bytes/s')
    cpu = statistics.median([taken for _, taken in times['ours.1']])
    emit('ratio.ceiling', size / cpu / ceiling, 'ratio')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--mib', type=int, default=1024)
    options = parser.parse_args()
    program = os.path.abspath(f'{options.build}/programs/hash-tree')
    commands = {
        'ours.1': [program, '1', '', 'data', 'ours.1.tree'],
        'ours.all': [program, '0', '', 'data', 'ours.all.tree'],
        'fsverity': ['fsverity', 'digest', '--out-merkle-tree=fsverity.tree', 'data'],
        'veritysetup': ['veritysetup', 'format', '--no-superblock', '--salt=-', 'data',
                        'veritysetup.tree'],
    }
    for command in list(commands.values()):
        if not shutil.which(command[0]):
            raise SystemExit(f'merkle.py: {command[0]} is missing')
    with tempfile.TemporaryDirectory(prefix='merkle-') as directory:
        make_file(f'{directory}/data', options.mib)
        ceiling = [measure_ceiling()]
        times = measure(commands, directory, options.rounds)
        ceiling.append(measure_ceiling())
        check_trees(directory, commands)
        emit_figures(times, options.mib << 20, statistics.median(ceiling))


if __name__ == '__main__':
    main()
