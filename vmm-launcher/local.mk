# The launcher: listener, launch, stub, supervisor, VMM back ends.
noinst_LIBRARIES += liblauncher.a
liblauncher_a_SOURCES = \
	%D%/boot-archive.c %D%/boot-archive.h \
	%D%/box.c %D%/box.h \
	%D%/broker.c %D%/broker.h \
	%D%/crash-report.c %D%/crash-report.h \
	%D%/death.c %D%/death.h \
	%D%/event-source.c %D%/event-source.h \
	%D%/guard.c %D%/guard.h \
	%D%/guest-link.c %D%/guest-link.h \
	%D%/daemon-link.c %D%/daemon-link.h \
	%D%/disk-handover.c %D%/disk-handover.h \
	%D%/host-secret.c %D%/host-secret.h \
	%D%/image-lock.c %D%/image-lock.h \
	%D%/instance-secret.c %D%/instance-secret.h \
	%D%/launch-request.c %D%/launch-request.h \
	%D%/launch.c %D%/launch.h \
	%D%/layer.h \
	%D%/listener.c %D%/listener.h \
	%D%/output.c %D%/output.h \
	%D%/payload-deadline.c %D%/payload-deadline.h \
	%D%/qemu-command.c %D%/qemu-control.c %D%/qemu.h \
	%D%/stop-sequence.c %D%/stop-sequence.h \
	%D%/stream-readers.c %D%/stream-readers.h \
	%D%/stub.c %D%/stub.h \
	%D%/supervisor.c %D%/supervisor.h \
	%D%/syscall-name.c %D%/syscall-name.h \
	%D%/template-build.c %D%/template-build.h \
	%D%/template-root.c %D%/template-root.h \
	%D%/vm-cgroup.c %D%/vm-cgroup.h \
	%D%/vm-console.c %D%/vm-console.h \
	%D%/vsock-listeners.c %D%/vsock-listeners.h \
	%D%/vm-uid.c %D%/vm-uid.h \
	%D%/vmm-log.c %D%/vmm-log.h \
	%D%/vmm.c %D%/vmm.h

pkglibexec_PROGRAMS += programs/vmm-launcher
programs_vmm_launcher_SOURCES = %D%/main.c
programs_vmm_launcher_LDADD = liblauncher.a libprotocol.a libcomposite-disk.a libcommon.a \
	$(SYSTEMD_LIBS) $(JSON_LIBS) $(MBEDTLS_LIBS)

# Jobs on image files: what they take in libraries is in no process of a VM.
pkglibexec_PROGRAMS += programs/disk-worker
programs_disk_worker_SOURCES = %D%/disk-worker-main.c %D%/disk-worker.c %D%/disk-worker.h
programs_disk_worker_LDADD = liblauncher.a libprotocol.a $(composite_disk_libs) $(SYSTEMD_LIBS) $(JSON_LIBS)

# The one of the escape tests: the same sources, and the code that leaves layers out. Not installed.
check_PROGRAMS += programs/vmm-launcher-for-tests
programs_vmm_launcher_for_tests_SOURCES = %D%/main.c %D%/layer.c $(liblauncher_a_SOURCES)
programs_vmm_launcher_for_tests_CPPFLAGS = $(AM_CPPFLAGS) -DLAUNCHER_FOR_TESTS
programs_vmm_launcher_for_tests_LDADD = libprotocol.a libcomposite-disk.a libcommon.a \
	$(SYSTEMD_LIBS) $(JSON_LIBS) $(MBEDTLS_LIBS)

# Compiles seccomp policies, and alone has libseccomp: what runs VMs reads the finished programs.
noinst_LIBRARIES += libseccomp-compile.a
libseccomp_compile_a_SOURCES = \
	%D%/seccomp-filter.c %D%/seccomp-filter.h \
	%D%/seccomp-rules.c %D%/seccomp-rules.h

pkglibexec_PROGRAMS += programs/seccomp-compile
programs_seccomp_compile_SOURCES = %D%/seccomp-compile.c
programs_seccomp_compile_LDADD = $(seccomp_compile_libs)
seccomp_compile_libs = libseccomp-compile.a libcommon.a $(SECCOMP_LIBS) $(JSON_LIBS)

CLEANFILES += %D%/syscall-names.inc %D%/syscall-names.inc.tmp
%D%/syscall-names.inc: programs/seccomp-compile$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D% && programs/seccomp-compile --names >$@.tmp && mv $@.tmp $@
%D%/syscall-name.$(OBJEXT): %D%/syscall-names.inc
%D%/programs_vmm_launcher_for_tests-syscall-name.$(OBJEXT): %D%/syscall-names.inc
