# Tests on a whole host: a VM with systemd as PID 1 and a KVM of its own, and a container. They need
# root, and apt for the image; a distribution's builder has neither, so they are no part of `make
# check`.
EXTRA_DIST += \
	%D%/agent.py \
	%D%/build-host-image \
	%D%/host-vm.py \
	%D%/test-host.py \
	%D%/test-installed.py \
	%D%/inside/test-base.py \
	%D%/inside/test-cgroup.py \
	%D%/inside/test-disks.py \
	%D%/inside/test-kvm-policy.py \
	%D%/inside/test-kvm.py \
	%D%/packaged/test-limits.py \
	%D%/packaged/test-packages.py \
	%D%/packaged/test-units.py \
	%D%/packaged/test-users.py \
	tests/helpers/host_container.py \
	tests/helpers/host_scripts.py \
	tests/helpers/host_vm.py \
	tests/helpers/system_host.py \
	tests/helpers/whole_host.py

.PHONY: host-image host-vm packages check-host
# The script knows best whether its image is up to date.
host-image:
	$(srcdir)/tests/host/build-host-image host-image
# All that tests/host/host-vm.py needs.
host-vm: all guest-image.stamp programs/payloads/probe programs/escape/stand-in host-image
# Debian's, built as a distribution does but for where the guests' kernel comes from: one that is
# installed for that would be one that this machine may boot.
packages: all guest-image
	rm -rf packages
	$(MKDIR_P) packages
	$(MAKE) distdir distdir=packages/source
	cd packages/source && unset MAKEFLAGS MAKELEVEL MFLAGS && GUEST_IMAGE_FLAGS='--cache $(abs_builddir)/guest-image-cache' \
		MICROGUEST_KEY=$(abs_builddir)/microguest-key.pem DEB_BUILD_OPTIONS='nocheck parallel=2' \
		dpkg-buildpackage -b -us -uc -d
	lintian --fail-on=error packages/*.changes
check-host: host-vm packages
	$(MAKE) check-TESTS TESTS='tests/host/test-host.py tests/host/test-installed.py'
