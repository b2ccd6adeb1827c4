# One target a parser of foreign bytes. Without --enable-fuzzing each is linked with
# replay.c, which runs every file of its corpus through it once; `make check` does so.
#
# A new target fuzz-NAME: its name in the list, its libraries before $(fuzz_libs) and its
# link flags, as the others have them, and seeds in corpus/NAME/.
fuzz_targets = \
	tests/fuzz/fuzz-guest-rings \
	tests/fuzz/fuzz-vhost-user-message

tests_fuzz_fuzz_guest_rings_LDADD = $(vsock_device_libs) $(fuzz_libs)
tests_fuzz_fuzz_guest_rings_LDFLAGS = $(fuzz_ldflags)

tests_fuzz_fuzz_vhost_user_message_LDADD = libvhost-user.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_vhost_user_message_LDFLAGS = $(fuzz_ldflags)

check_PROGRAMS += $(fuzz_targets)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.h

if FUZZING
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_libs =
EXTRA_DIST += tests/fuzz/replay.c
else
# In a library of its own, so that a target is one source file either way.
check_LIBRARIES = tests/fuzz/libreplay.a
tests_fuzz_libreplay_a_SOURCES = tests/fuzz/replay.c
fuzz_ldflags = $(AM_LDFLAGS)
fuzz_libs = tests/fuzz/libreplay.a
TESTS += $(fuzz_targets)
endif
