# SPDX-License-Identifier: Apache-2.0
"""polkitd on the bus of a test's host."""
import os
import subprocess

from harness import wait_until

POLKITD = '/usr/lib/polkit-1/polkitd'


def start_polkit(host, rules):
    """The real one, on the private bus, with our actions and rules in a mount namespace."""
    directory = f'{host.directory}/polkit'
    source_directory = os.path.abspath(os.environ['top_srcdir'])
    os.makedirs(f'{directory}/rules')
    os.makedirs(f'{directory}/actions')
    with open(f'{directory}/rules/50-test.rules', 'w', encoding='ascii') as file:
        file.write(rules)
    with open(f'{source_directory}/policy/org.virtualizationd1.policy', encoding='ascii') as source, \
            open(f'{directory}/actions/org.virtualizationd1.policy', 'w', encoding='ascii') as file:
        file.write(source.read())
    process = subprocess.Popen(
        ['unshare', '--mount', 'sh', '-ec',
         f'mount --bind {directory}/rules /etc/polkit-1/rules.d; '
         f'mount --bind {directory}/actions /usr/share/polkit-1/actions; exec {POLKITD}'],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=host.address))
    wait_until(lambda: host.bus.name_has_owner('org.freedesktop.PolicyKit1')
               or process.poll() is not None, 'polkitd')
    assert process.poll() is None, process.returncode
    return process
