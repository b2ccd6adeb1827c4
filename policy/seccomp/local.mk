# Seccomp policies, one a role, compiled for this machine when the tree is built. Those of roles
# that start by exec have a supervisor that listens. With the sanitizers our own programs, not QEMU,
# make more calls.

seccompsourcedir = $(pkgdatadir)/seccomp
dist_seccompsource_DATA = \
	%D%/apk-verify.json \
	%D%/disk-worker.json \
	%D%/qemu-kvm.json \
	%D%/qemu-tcg.json \
	%D%/sanitizers.json \
	%D%/stub.json \
	%D%/supervisor-sealed.json \
	%D%/supervisor.json \
	%D%/virtualizationd.json \
	%D%/vsock-device.json
EXTRA_DIST += %D%/README.md

seccompdir = $(pkglibexecdir)/seccomp
nodist_seccomp_DATA = \
	programs/seccomp/apk-verify.policy \
	programs/seccomp/disk-worker.policy \
	programs/seccomp/qemu-kvm.policy \
	programs/seccomp/qemu-tcg.policy \
	programs/seccomp/stub.policy \
	programs/seccomp/supervisor-sealed.policy \
	programs/seccomp/supervisor.policy \
	programs/seccomp/virtualizationd.policy \
	programs/seccomp/vsock-device.policy
CLEANFILES += $(nodist_seccomp_DATA)

if SANITIZERS
seccomp_fragment = $(top_srcdir)/%D%/sanitizers.json
seccomp_fragment_flags = --fragment=$(seccomp_fragment)
else
seccomp_fragment =
seccomp_fragment_flags =
endif

seccomp_compile = $(AM_V_GEN)$(MKDIR_P) programs/seccomp && programs/seccomp-compile$(EXEEXT)
seccomp_needs = programs/seccomp-compile$(EXEEXT) $(seccomp_fragment)

programs/seccomp/qemu-kvm.policy: $(top_srcdir)/%D%/qemu-kvm.json $(seccomp_needs)
	$(seccomp_compile) --listener $(top_srcdir)/%D%/qemu-kvm.json $@
programs/seccomp/qemu-tcg.policy: $(top_srcdir)/%D%/qemu-tcg.json $(seccomp_needs)
	$(seccomp_compile) --listener $(top_srcdir)/%D%/qemu-tcg.json $@
programs/seccomp/vsock-device.policy: $(top_srcdir)/%D%/vsock-device.json $(seccomp_needs)
	$(seccomp_compile) --listener $(seccomp_fragment_flags) $(top_srcdir)/%D%/vsock-device.json $@
# It runs in the guest, and is never sanitized.
programs/seccomp/apk-verify.policy: $(top_srcdir)/%D%/apk-verify.json programs/seccomp-compile$(EXEEXT)
	$(seccomp_compile) $(top_srcdir)/%D%/apk-verify.json $@
programs/seccomp/disk-worker.policy: $(top_srcdir)/%D%/disk-worker.json $(seccomp_needs)
	$(seccomp_compile) $(seccomp_fragment_flags) $(top_srcdir)/%D%/disk-worker.json $@
programs/seccomp/stub.policy: $(top_srcdir)/%D%/stub.json $(seccomp_needs)
	$(seccomp_compile) $(seccomp_fragment_flags) $(top_srcdir)/%D%/stub.json $@
programs/seccomp/supervisor.policy: $(top_srcdir)/%D%/supervisor.json $(seccomp_needs)
	$(seccomp_compile) $(seccomp_fragment_flags) $(top_srcdir)/%D%/supervisor.json $@
programs/seccomp/supervisor-sealed.policy: $(top_srcdir)/%D%/supervisor-sealed.json $(seccomp_needs)
	$(seccomp_compile) $(seccomp_fragment_flags) $(top_srcdir)/%D%/supervisor-sealed.json $@
programs/seccomp/virtualizationd.policy: $(top_srcdir)/%D%/virtualizationd.json $(seccomp_needs)
	$(seccomp_compile) $(seccomp_fragment_flags) $(top_srcdir)/%D%/virtualizationd.json $@
