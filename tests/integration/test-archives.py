#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Archives that are not as usual: of another tool, many of them, and large ones."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
from harness import Suite, with_host  # noqa: E402
from microguest import Instance, Signer, ask, make_archive  # noqa: E402

N_EXTRAS = 50
SMALL, LARGE = 2 << 20, 2 << 30
READ_MORE_MAX = 2 << 20  # of a large archive, when it is known


def finish(vm):
    ask(vm, 'exit 0')
    record = vm.death()
    assert record['reason'] == 'shutdown', record


@with_host
def test_what_apksigner_signs_runs(host):
    """With the idsig that the daemon makes, and with apksigner's own."""
    unsigned, path = f'{host.directory}/unsigned.zip', f'{host.directory}/theirs.apk'
    folder = f'{host.directory}/folder'
    os.makedirs(f'{folder}/bin')
    shutil.copy(host.payload('app-probe'), f'{folder}/bin/payload')
    built = f'{host.build}/programs/payloads/.libs/app-probe'
    if os.path.exists(built):
        shutil.copy(built, f'{folder}/bin/payload')
    subprocess.run(['zip', '-q', '-r', unsigned, 'bin'], cwd=folder, check=True)
    signer = Signer(host.directory)
    der = f'{host.directory}/signer.der'
    subprocess.run(['openssl', 'pkcs8', '-topk8', '-nocrypt', '-outform', 'DER', '-in', signer.key,
                    '-out', der], check=True)
    subprocess.run(['apksigner', 'sign', '--min-sdk-version', '30', '--v4-signing-enabled', 'true',
                    '--key', der, '--cert', signer.certificate, '--in', unsigned, '--out', path],
                   check=True)
    secrets = []
    for theirs in (False, True):
        instance = Instance(host, path, f'theirs-{theirs}')
        if theirs:
            shutil.copy(f'{path}.idsig', instance.path('idsig'))
        for _ in range(2):
            vm = instance.run(idsig=not theirs)
            vm.wait_for('PayloadReady')
            secrets.append(ask(vm, 'secret a'))
            finish(vm)
    assert secrets[0] == secrets[1] != secrets[2] == secrets[3], secrets


@with_host
def test_fifty_extra_archives(host):
    signer = Signer(host.directory)
    extras = [make_archive(host.build, f'{host.directory}/extra{i}.apk', signer,
                           {'assets/number': b'%d\n' % i},
                           package='org.example.' + 'x' * 40 + f'.extra{i}')
              for i in range(N_EXTRAS)]
    archive = make_archive(host.build, f'{host.directory}/probe.apk', signer,
                           {'bin/payload': host.payload('app-probe-static')})
    instance = Instance(host, archive)
    instance.extras = extras
    for _ in range(2):
        vm = instance.run(memory_mib=256)
        vm.wait_for('PayloadReady')
        for i in range(N_EXTRAS):
            assert ask(vm, f'read /mnt/extra-apk/{i}/assets/number') == f'{i}\n', i
        finish(vm)


def bytes_read(host):
    """By the VMM, so far."""
    pid, = [pid for pid, command in host.vm_processes().items() if 'qemu' in command]
    with open(f'/proc/{pid}/io', encoding='ascii') as file:
        return int(dict(line.split(': ') for line in file)['rchar'])


@with_host
def test_a_large_archive_is_read_once(host):
    """In the first boot of the instance it is verified whole; later ones read what they need, and
    so are no slower than those of a small archive."""
    signer = Signer(host.directory)
    read = {}
    block = os.urandom(1 << 20)  # which no compression makes smaller
    for size in (SMALL, LARGE):
        data = f'{host.directory}/data'
        with open(data, 'wb') as file:
            for _ in range(size >> 20):
                file.write(block)
        archive = make_archive(host.build, f'{host.directory}/{size}.apk', signer,
                               {'bin/payload': host.payload('app-probe-static'),
                                'assets/data': data})
        assert os.path.getsize(archive) > size
        instance = Instance(host, archive, f'instance-{size}')
        read[size] = []
        for _ in range(2):
            vm = instance.run(payload_timeout_ms=1200000)
            vm.wait_for('PayloadReady', 1200)
            read[size].append(bytes_read(host))
            finish(vm)
    assert read[LARGE][0] > LARGE, read
    assert read[LARGE][1] < read[SMALL][1] + READ_MORE_MAX, read


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
