# Test programs. Unit tests are one cmocka program a module.
unit_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) -Wno-format-signedness

include tests/unit/local.mk
include tests/fuzz/local.mk
