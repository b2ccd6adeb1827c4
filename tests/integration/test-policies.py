#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Seccomp policies list what their programs call, all of it, and nothing else without a reason."""
import copy
import os
import sys

sys.path.insert(0, os.path.join(os.environ['top_srcdir'], 'tests', 'helpers'))
sys.dont_write_bytecode = True
import policies  # noqa: E402
from features import Features  # noqa: E402
from harness import Host, Suite, wait_until  # noqa: E402


def accelerators(host):
    """TCG, and KVM where it can run a guest: (configuration, the VMM's role) of each."""
    kvm = host.manager().GetCapabilities()['accelerator'] == 'kvm'
    return [({'accelerator': 'tcg'}, 'qemu-tcg')] + [({'accelerator': 'kvm'}, 'qemu-kvm')] * kvm


def trace_vm_programs(suite, trace, with_refusals=True, all_features=True):
    """QEMU and vsock-device, of whose calls the supervisor tells. The roles that were traced."""
    with policies.traced_build(suite.build, policies.LISTENED_TO, with_refusals) as build:
        roles = ['vsock-device']
        for number in range(2):
            host = Host(build)
            try:
                if number == len(accelerators(host)):
                    break
                config, role = accelerators(host)[number]
                features = Features(host, config, **{'seccomp-action': 'log'})
                if all_features:
                    features.use_all()
                else:
                    features.two_vcpus()
                trace.add_supervisors_words(host.log(), role)
                roles.append(role)
            finally:
                assert not host.close()[1]
    return roles


def trace_own_processes(suite, trace):
    """The supervisor, the stub and the daemon, of whose calls the kernel tells."""
    with policies.traced_build(suite.build, policies.UNHEARD) as build, \
            policies.KernelLog(build, trace):
        host = Host(build)
        try:
            features = Features(host)
            features.use_all()
            # A daemon that died leaves VMs for the next one, dead and alive.
            left = features.make_ready('wait')
            host.daemon.kill()
            host.daemon.wait()
            os.mkdir(f'{host.runtime_dir}/vm/{"0" * 32}')  # and one that never got as far
            host.start_daemon()
            left.methods.Kill()
            left.death()
        finally:
            assert host.close() == (0, [])
    return policies.UNHEARD


def judge(suite, roles, trace, probed):
    problems = []
    for role in roles:
        policy = policies.read_policy(role)
        lacking = policies.find_lacking(role, policy, trace)
        unused = policies.find_unused(role, policy, trace, probed)
        if suite.sanitized:
            # Other calls are made of the same code: those of the runtime, and not those of libc's
            # heap, which it replaces.
            fragment = policies.names_of(policies.read_policy('sanitizers'), policies.ALLOW)
            lacking = {entry for entry in lacking if entry[0] not in fragment}
            unused = set()
        problems += [f'{role} lacks {name} ({phase})' for name, phase in sorted(lacking)]
        problems += [f'{role} lists {name} ({why}), without a "{policies.MARGIN}" in its comment'
                     for name, why in sorted(unused)]
    assert not problems, '\n'.join(['see policy/seccomp/README.md'] + problems)


def test_the_policies_of_a_vms_programs_fit(suite):
    trace, probed = policies.Trace(), policies.Trace()
    roles = trace_vm_programs(suite, trace)
    trace_vm_programs(suite, probed, with_refusals=False, all_features=False)
    for role in set(policies.LISTENED_TO) - set(roles):
        print(f'# {role} is not traced: this host has no KVM')
    judge(suite, roles, trace, probed)


def test_the_policies_of_our_own_processes_fit(suite):
    trace = policies.Trace()
    judge(suite, trace_own_processes(suite, trace), trace, policies.Trace())


def test_what_qemu_may_call_while_the_guest_runs_stays_short(suite):
    for role in ('qemu-tcg', 'qemu-kvm'):
        steady = policies.names_of(policies.read_policy(role), policies.ALLOW)
        assert len(steady) <= policies.STEADY_MAX, (role, len(steady))


def test_the_judgement_goes_both_ways(suite):
    policy = {'syscalls': [
        {'names': ['read', 'bind'], 'action': 'SCMP_ACT_ALLOW'},
        {'names': ['fsync'], 'action': 'SCMP_ACT_ALLOW', 'comment': 'disks, margin: other images'},
        {'names': ['openat'], 'action': 'SCMP_ACT_NOTIFY'},
        {'names': ['clone3'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 38}]}
    trace = policies.Trace()
    for phase, name in (('before', 'bind'), ('before', 'openat'), ('before', 'uname'),
                        ('after', 'read'), ('after', 'openat')):
        trace.add('qemu-tcg', phase, name)
        trace.add('stub', phase, name)
    assert policies.find_lacking('qemu-tcg', policy, trace) == {
        ('uname', 'before'), ('openat', 'after')}
    assert policies.find_unused('qemu-tcg', policy, trace, policies.Trace()) == {
        ('bind', 'seen before the seal only'), ('clone3', 'not tried')}
    changed = copy.deepcopy(policy)
    policies.bring_in_line('qemu-tcg', changed, policies.find_lacking('qemu-tcg', policy, trace),
                           policies.find_unused('qemu-tcg', policy, trace, policies.Trace()))
    assert not policies.find_lacking('qemu-tcg', changed, trace), changed
    assert not policies.find_unused('qemu-tcg', changed, trace, policies.Trace()), changed
    policy['syscalls'][0]['names'].append('write')
    assert policies.find_lacking('stub', policy, trace) == {
        ('uname', 'throughout'), ('openat', 'throughout')}
    assert policies.find_unused('stub', policy, trace, policies.Trace()) == {
        ('write', 'never seen'), ('clone3', 'never seen')}


def test_policies_are_laid_out_as_they_are_written_anew(suite):
    for name in sorted(os.listdir(policies.POLICIES)):
        if name.endswith('.json'):
            with open(f'{policies.POLICIES}/{name}', encoding='utf-8') as file:
                assert policies.format_policy(policies.read_policy(name[:-5])) == file.read(), name


if __name__ == '__main__':
    sys.exit(Suite().run(sys.modules[__name__]))
