# SPDX-License-Identifier: Apache-2.0
"""Figures of a bench: measured by sides and rounds, put beside each other at the end.

A side is a floor ("bare", ...), this daemon ("ours") or a peer; a figure is a name that all sides
share, and a value is the median of one round.
"""
import os
import statistics
import subprocess

figures = {}  # (side, name) -> unit, values by round


def emit(name, value, unit):
    print(f'{name} {value:.6g} {unit}', flush=True)


def note(side, name, values, unit):
    """One round's values of a figure: their median is what counts."""
    figures.setdefault((side, name), (unit, []))[1].append(statistics.median(values))


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as file:
                fields = file.read().rsplit(')', 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / os.sysconf('SC_CLK_TCK')


def pss_kib(pid, guest_mib=0):
    """Proportional set size of a process, without the guest's memory."""
    total = size = 0
    with open(f'/proc/{pid}/smaps', encoding='ascii', errors='replace') as file:
        for line in file:
            head = line.split(None, 1)[0]
            if not head.endswith(':'):
                low, high = head.split('-')
                size = int(high, 16) - int(low, 16)
            elif head == 'Pss:' and size != guest_mib << 20:
                total += int(line.split()[1])
    return total


def run_peer(name, command):
    out = subprocess.run(['sh', '-c', command], stdout=subprocess.PIPE, text=True,
                         check=False).stdout
    for line in out.splitlines():
        parts = line.split()
        if len(parts) == 3 and not line.startswith('#') and '.' in parts[0] and \
                parts[0].rsplit('.', 1)[1] not in ('n', 'p25', 'p75', 'min', 'max'):
            metric = parts[0].split('.', 1)[1].removesuffix('.median')
            note(name, metric, [float(parts[1])], parts[2])


def report():
    for (side, name), (unit, values) in figures.items():
        emit(f'{side}.{name}', statistics.median(values), unit)
    for (side, name), (_, values) in figures.items():
        floor = figures.get(('bare', name))
        if side != 'bare' and floor and len(floor[1]) == len(values):
            ratios = [value / base for value, base in zip(values, floor[1]) if base]
            if ratios:
                emit(f'ratio.{side}.{name}', statistics.median(ratios), 'of bare')
