# make bench: figures beside QEMU started bare. BENCH_FLAGS="--peer NAME=COMMAND" adds other
# benches that print the same names.
EXTRA_PROGRAMS += programs/guest-up programs/bus-calls
programs_guest_up_SOURCES = %D%/guest-up.c
programs_guest_up_CPPFLAGS = $(guest_cppflags)
programs_guest_up_CFLAGS = $(guest_cflags)
programs_guest_up_LDFLAGS = $(guest_ldflags)
programs_guest_up_LDADD =
programs_bus_calls_SOURCES = %D%/bus-calls.c
programs_bus_calls_LDADD = $(DBUS_LIBS)

EXTRA_DIST += %D%/bench.py
BENCH_FLAGS =

.PHONY: bench
bench: all guest-image.stamp programs/guest-up programs/bus-calls programs/payloads/probe
	$(srcdir)/tests/bench/bench.py $(abs_builddir) $(BENCH_FLAGS)
