# One cmocka program a module.
EXTRA_DIST += tests/helpers/test.h

unit_tests =
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
