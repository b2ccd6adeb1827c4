# make bench: figures beside QEMU started bare, and of disks and images beside other tools. BENCH_FLAGS="--peer NAME=COMMAND" adds other
# benches that print the same names, and so does BUS_BENCH_FLAGS; SANDBOX_BENCH_FLAGS="--spawn COMMAND" the floors of a launch;
# MICROGUEST_BENCH_FLAGS=--peer builds a Debian guest to put beside microguest, which takes minutes.
bus_bench_programs = programs/bus-calls programs/bus-create programs/bus-echo programs/bus-kill
EXTRA_PROGRAMS += programs/guest-up $(bus_bench_programs)
programs_guest_up_SOURCES = %D%/guest-up.c
programs_guest_up_CPPFLAGS = $(guest_cppflags)
programs_guest_up_CFLAGS = $(guest_cflags)
programs_guest_up_LDFLAGS = $(guest_ldflags)
programs_guest_up_LDADD =
bench_bus_sources = %D%/bench-bus.c %D%/bench-bus.h
programs_bus_calls_SOURCES = %D%/bus-calls.c $(bench_bus_sources)
programs_bus_calls_LDADD = $(DBUS_LIBS)
programs_bus_create_SOURCES = %D%/bus-create.c $(bench_bus_sources)
programs_bus_create_LDADD = $(DBUS_LIBS)
programs_bus_echo_SOURCES = %D%/bus-echo.c $(bench_bus_sources)
programs_bus_echo_LDADD = $(DBUS_LIBS) $(SYSTEMD_LIBS)
programs_bus_kill_SOURCES = %D%/bus-kill.c $(bench_bus_sources)
programs_bus_kill_LDADD = $(DBUS_LIBS)

EXTRA_DIST += %D%/bare.py %D%/bench.py %D%/build-debian-guest %D%/bus.py %D%/composite.py %D%/exec.py \
	%D%/figures.py %D%/merkle.py %D%/microguest.py %D%/sandbox.py %D%/vmctl.py
BENCH_FLAGS =
BUS_BENCH_FLAGS =
COMPOSITE_BENCH_FLAGS =
MERKLE_BENCH_FLAGS =
MICROGUEST_BENCH_FLAGS =
SANDBOX_BENCH_FLAGS =
VMCTL_BENCH_FLAGS =

.PHONY: bench
bench: all guest-image.stamp microguest.stamp programs/guest-up $(bus_bench_programs) programs/hash-tree \
	programs/payloads/probe programs/payloads/vsock-talk programs/vmm-launcher-for-tests
	$(srcdir)/tests/bench/composite.py $(abs_builddir) $(COMPOSITE_BENCH_FLAGS)
	$(srcdir)/tests/bench/merkle.py $(abs_builddir) $(MERKLE_BENCH_FLAGS)
	$(srcdir)/tests/bench/sandbox.py $(abs_builddir) $(SANDBOX_BENCH_FLAGS)
	$(srcdir)/tests/bench/bus.py $(abs_builddir) $(BUS_BENCH_FLAGS)
	$(srcdir)/tests/bench/microguest.py $(abs_builddir) $(MICROGUEST_BENCH_FLAGS)
	$(srcdir)/tests/bench/exec.py $(abs_builddir)
	$(srcdir)/tests/bench/vmctl.py $(abs_builddir) $(VMCTL_BENCH_FLAGS)
	$(srcdir)/tests/bench/bench.py $(abs_builddir) $(BENCH_FLAGS)
