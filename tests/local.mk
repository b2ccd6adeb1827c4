# Tests. Unit tests are one cmocka program a module; integration tests are TAP scripts that run the
# built programs on a private bus, with real guests, as root. A distribution's builder has neither
# root nor the guest image, so distcheck leaves the latter out.
AM_DISTCHECK_CONFIGURE_FLAGS = --disable-integration-tests

include tests/unit/local.mk
include tests/fuzz/local.mk
include tests/integration/local.mk
include tests/bench/local.mk
include tests/host/local.mk
include tests/escape/local.mk

.PHONY: check-unit check-fuzz check-integration check-escape
check-unit:
	$(MAKE) check TESTS='$(unit_tests)'
check-fuzz:
	$(MAKE) check TESTS='$(fuzz_tests)'
check-integration:
	$(MAKE) check TESTS='$(integration_tests)'
# Without what "make check" builds: no guest runs in there.
check-escape: all programs/escape/stand-in programs/vmm-launcher-for-tests
	$(MAKE) check-TESTS TESTS='$(escape_tests)'
