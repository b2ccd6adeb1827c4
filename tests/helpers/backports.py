# SPDX-License-Identifier: Apache-2.0
"""Packages of the distribution's backports, unpacked beside the system and not installed.

apt works in a directory of its own, with the host's own sources and, of each, the backports suite;
so whatever mirror the host has is asked, and nothing of the host's state changes.
"""
import glob
import os
import re
import shutil
import subprocess

APT_DIRECTORIES = ('lists/partial', 'cache/archives/partial', 'sources', 'packages')
APT_CONFIG = '''Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{directory}/sources";
Dir::State "{directory}";
Dir::State::Lists "{directory}/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{directory}/cache";
APT::Sandbox::User "root";
APT::Get::List-Cleanup "false";
'''


def codename():
    with open('/etc/os-release', encoding='utf-8') as file:
        return re.search(r'^VERSION_CODENAME=(\w+)', file.read(), re.M).group(1)


def host_sources():
    """(one-line sources, deb822 paragraphs) of the host that are about its own release."""
    lines, paragraphs = [], []
    for path in ['/etc/apt/sources.list', *glob.glob('/etc/apt/sources.list.d/*')]:
        if not os.path.exists(path):
            continue
        with open(path, encoding='utf-8') as file:
            text = re.sub(r'^#.*\n', '', file.read(), flags=re.M)
        if path.endswith('.sources'):
            paragraphs += [part for part in re.split(r'\n\s*\n', text)
                           if re.search(rf'^Suites:.*\b{codename()}\b', part, re.M | re.I)]
        elif path.endswith('.list'):
            lines += [line for line in text.splitlines()
                      if re.match(rf'deb\s.*\s{codename()}(-\w+)?\s', line)]
    return lines, paragraphs


def write_sources(directory):
    """The host's sources, and those of its release itself with the suite replaced."""
    name, suite = codename(), f'{codename()}-backports'
    lines, paragraphs = host_sources()
    lines += [re.sub(rf'\s{name}\s', f' {suite} ', line) for line in lines
              if re.search(rf'\s{name}\s', line)]
    paragraphs += [re.sub(r'^Suites:.*', f'Suites: {suite}', part, flags=re.M | re.I)
                   for part in paragraphs if re.search(rf'^Suites:(.*\s)?{name}(\s|$)', part,
                                                       re.M | re.I)]
    with open(f'{directory}/sources/host.list', 'w', encoding='utf-8') as file:
        file.write('\n'.join(dict.fromkeys(lines)) + '\n')
    with open(f'{directory}/sources/host.sources', 'w', encoding='utf-8') as file:
        file.write('\n\n'.join(part.strip() for part in dict.fromkeys(paragraphs)) + '\n')


def unpack(directory, *packages):
    """Unpacks @packages, and what they need and the host has not, below @directory once. Returns
    the directory to be taken for the root of their files."""
    root = f'{directory}/root'
    if os.path.exists(root):
        return root
    shutil.rmtree(directory, ignore_errors=True)
    for name in APT_DIRECTORIES:
        os.makedirs(f'{directory}/{name}')
    write_sources(directory)
    with open(f'{directory}/apt.conf', 'w', encoding='utf-8') as file:
        file.write(APT_CONFIG.format(directory=directory))
    environment = dict(os.environ, APT_CONFIG=f'{directory}/apt.conf', LC_ALL='C')

    def run(*command):
        result = subprocess.run(command, env=environment, cwd=f'{directory}/packages', text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(f'{" ".join(command)}: {result.stderr or result.stdout}')
        return result.stdout

    suite = f'{codename()}-backports'
    run('apt-get', '--quiet', 'update', '--error-on=any')
    plan = run('apt-get', '--simulate', '--no-install-recommends', f'--target-release={suite}',
               'install', *packages)
    wanted = re.findall(r'^Inst (\S+) (?:\[\S+\] )?\((\S+) ', plan, re.M)
    run('apt-get', '--quiet', 'download', *(f'{name}={version}' for name, version in wanted))
    for path in glob.glob(f'{directory}/packages/*.deb'):
        run('dpkg-deb', '--extract', path, f'{directory}/unpacked')
    os.rename(f'{directory}/unpacked', root)  # last: what is interrupted is begun anew
    return root
