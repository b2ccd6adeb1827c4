# The command line client. Its modules are a library, so that the unit tests can have them.
noinst_LIBRARIES += libvmctl.a
libvmctl_a_SOURCES = \
	%D%/app-archive.c %D%/app-archive.h \
	%D%/app-instance.c %D%/app-instance.h \
	%D%/bus-argument.c %D%/bus-argument.h \
	%D%/bus-value.c %D%/bus-value.h \
	%D%/client.c %D%/client.h \
	%D%/config-files.c %D%/config-files.h \
	%D%/config-json.c %D%/config-json.h \
	%D%/death-report.c %D%/death-report.h \
	%D%/detach-key.c %D%/detach-key.h \
	%D%/exit-status.c %D%/exit-status.h \
	%D%/image-job.c %D%/image-job.h \
	%D%/interrupt.c %D%/interrupt.h \
	%D%/json-member.c %D%/json-member.h \
	%D%/log-tail.c %D%/log-tail.h \
	%D%/options.c %D%/options.h \
	%D%/output-copy.c %D%/output-copy.h \
	%D%/output.c %D%/output.h \
	%D%/password-agent.c %D%/password-agent.h \
	%D%/quantity.c %D%/quantity.h \
	%D%/remote.c %D%/remote.h \
	%D%/run-streams.c %D%/run-streams.h \
	%D%/stream-relay.c %D%/stream-relay.h \
	%D%/stream-sink.c %D%/stream-sink.h \
	%D%/stream-source.c %D%/stream-source.h \
	%D%/table.c %D%/table.h \
	%D%/terminal.c %D%/terminal.h \
	%D%/vm-action.c %D%/vm-action.h \
	%D%/vm-create.c %D%/vm-create.h \
	%D%/vm-properties.c %D%/vm-properties.h \
	%D%/vm-run.c %D%/vm-run.h \
	%D%/vm-selection.c %D%/vm-selection.h \
	%D%/vm-status.c %D%/vm-status.h \
	%D%/vm-stream.c %D%/vm-stream.h \
	%D%/vm-validate.c %D%/vm-validate.h \
	%D%/vm-wait.c %D%/vm-wait.h \
	%D%/work-directory.c %D%/work-directory.h

vmctl_libs = libvmctl.a libcomposite-disk.a libbus.a libprotocol.a libcommon.a $(SYSTEMD_LIBS) \
	$(DBUS_LIBS) $(JSON_LIBS) $(CRYPTO_LIBS) $(ZLIB_LIBS)

bin_PROGRAMS += programs/vmctl
programs_vmctl_SOURCES = \
	%D%/main.c \
	%D%/verb-balloon.c \
	%D%/verb-capture.c \
	%D%/verb-check-feature-enabled.c \
	%D%/verb-connect.c \
	%D%/verb-console.c \
	%D%/verb-create-idsig.c \
	%D%/verb-create-partition.c \
	%D%/verb-create-payload.c \
	%D%/verb-create.c \
	%D%/verb-events.c \
	%D%/verb-exec.c \
	%D%/verb-forget.c \
	%D%/verb-info.c \
	%D%/verb-limits.c \
	%D%/verb-list.c \
	%D%/verb-logs.c \
	%D%/verb-resume.c \
	%D%/verb-run-app.c \
	%D%/verb-run.c \
	%D%/verb-show.c \
	%D%/verb-start.c \
	%D%/verb-status.c \
	%D%/verb-stop.c \
	%D%/verb-suspend.c \
	%D%/verb-validate.c \
	%D%/verb-wait.c \
	%D%/verbs.h
programs_vmctl_LDADD = $(vmctl_libs)

dist_bashcompletion_DATA += %D%/completion/vmctl
