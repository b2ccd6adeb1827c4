# The daemon.
noinst_LIBRARIES += libvirtualizationd.a
libvirtualizationd_a_SOURCES = \
	%D%/authorization.c %D%/authorization.h \
	%D%/boot-check.c %D%/boot-check.h \
	%D%/bus-dict.c %D%/bus-dict.h \
	%D%/capabilities.c %D%/capabilities.h \
	%D%/cid-pool.c %D%/cid-pool.h \
	%D%/daemon.c %D%/daemon.h \
	%D%/files-argument.c %D%/files-argument.h \
	%D%/host-checks.c %D%/host-checks.h \
	%D%/instance-registry.c %D%/instance-registry.h \
	%D%/launcher.c %D%/launcher.h \
	%D%/manager-interface.c %D%/manager-interface.h \
	%D%/os-image.c %D%/os-image.h \
	%D%/os-list.c %D%/os-list.h \
	%D%/quota.c %D%/quota.h \
	%D%/settings.c %D%/settings.h \
	%D%/stop-options.c %D%/stop-options.h \
	%D%/settings-files.c %D%/settings-files.h \
	%D%/vm.c %D%/vm.h \
	%D%/kill-point.h \
	%D%/state-file.c %D%/state-file.h \
	%D%/vm-app.c %D%/vm-app.h \
	%D%/vm-app-config.c %D%/vm-app-config.h \
	%D%/vm-adopt.c %D%/vm-adopt.h \
	%D%/vm-events.c %D%/vm-events.h \
	%D%/vm-directory.c %D%/vm-directory.h \
	%D%/vm-follow.c %D%/vm-follow.h \
	%D%/vm-journal.c %D%/vm-journal.h \
	%D%/vm-plan.c %D%/vm-plan.h \
	%D%/vm-record.c %D%/vm-record.h \
	%D%/vm-request.c \
	%D%/vm-channel.c %D%/vm-channel.h \
	%D%/vm-config.c %D%/vm-config.h \
	%D%/vm-files.c %D%/vm-files.h \
	%D%/vm-interface.c \
	%D%/disk-job.c %D%/disk-job.h \
	%D%/vm-launch.c %D%/vm-launch.h

virtualizationd_libs = libvirtualizationd.a libbus.a libcomposite-disk.a libprotocol.a libcommon.a \
	$(SYSTEMD_LIBS) $(DBUS_LIBS) $(JSON_LIBS) $(INIH_LIBS) $(PROTOBUF_C_LIBS) $(ZLIB_LIBS)

pkglibexec_PROGRAMS += programs/virtualizationd
programs_virtualizationd_SOURCES = %D%/main.c
virtualizationd_cppflags = $(AM_CPPFLAGS) -DOS_DIR_INSTALLED='"$(prefix)/lib/virtualizationd/os"'
programs_virtualizationd_CPPFLAGS = $(virtualizationd_cppflags)
programs_virtualizationd_LDADD = $(virtualizationd_libs)

# The one of the tests: the same sources, and the code that dies where it is told to. Not installed.
check_PROGRAMS += programs/virtualizationd-for-tests
programs_virtualizationd_for_tests_SOURCES = %D%/main.c %D%/kill-point.c \
	$(libvirtualizationd_a_SOURCES)
programs_virtualizationd_for_tests_CPPFLAGS = $(virtualizationd_cppflags) -DDAEMON_FOR_TESTS
programs_virtualizationd_for_tests_LDADD = $(virtualizationd_libs)
