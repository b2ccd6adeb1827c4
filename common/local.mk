# Small libraries shared by all parts. Static guest programs compile the few that they need with
# flags of their own.
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	%D%/byte-ring.c %D%/byte-ring.h \
	%D%/bytes.c %D%/bytes.h \
	%D%/cgroup.c %D%/cgroup.h \
	%D%/ckd.h \
	%D%/cleanup.h \
	%D%/clock.h \
	%D%/drop-privileges.c %D%/drop-privileges.h \
	%D%/error.c %D%/error.h \
	%D%/fd.c %D%/fd.h \
	%D%/fd-message.c %D%/fd-message.h \
	%D%/journal.c %D%/journal.h \
	%D%/json-fields.c %D%/json-fields.h \
	%D%/json-keys.c %D%/json-keys.h \
	%D%/json-object.h \
	%D%/kvm.c %D%/kvm.h \
	%D%/landlock.c %D%/landlock.h \
	%D%/log.c %D%/log.h \
	%D%/log-fields.h \
	%D%/nearest-match.c %D%/nearest-match.h \
	%D%/program-path.c %D%/program-path.h \
	%D%/random.c %D%/random.h \
	%D%/seccomp-policy.c %D%/seccomp-policy.h \
	%D%/spawn.c %D%/spawn.h \
	%D%/text.c %D%/text.h
