# One cmocka program a module.
EXTRA_DIST += tests/helpers/test.h

unit_tests =
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)

# The guest link.
unit_tests += programs/test-guest-message
programs_test_guest_message_SOURCES = %D%/test-guest-message.c
programs_test_guest_message_CFLAGS = $(unit_cflags)
programs_test_guest_message_LDADD = libprotocol.a libcommon.a $(JSON_LIBS) $(CMOCKA_LIBS)
