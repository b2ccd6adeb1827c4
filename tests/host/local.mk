# Tests on a whole host: a VM with systemd as PID 1 and a KVM of its own. They need root, and apt for
# the image; a distribution's builder has neither, so they are no part of `make check`.
EXTRA_DIST += \
	%D%/agent.py \
	%D%/build-host-image \
	%D%/host-vm.py \
	%D%/test-host.py \
	%D%/inside/test-base.py \
	%D%/inside/test-cgroup.py \
	%D%/inside/test-disks.py \
	%D%/inside/test-kvm-policy.py \
	%D%/inside/test-kvm.py \
	tests/helpers/host_vm.py

.PHONY: host-image host-vm check-host
# The script knows best whether its image is up to date.
host-image:
	$(srcdir)/tests/host/build-host-image host-image
# All that tests/host/host-vm.py needs.
host-vm: all guest-image.stamp programs/payloads/probe programs/escape/stand-in host-image
check-host: host-vm
	$(MAKE) check-TESTS TESTS=tests/host/test-host.py
