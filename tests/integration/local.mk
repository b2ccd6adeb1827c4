# TAP scripts; each may run in parallel with the others, and cleans up after itself.
integration_tests = \
	%D%/test-api-docs.py \
	%D%/test-apk.py \
	%D%/test-apk-verify.py \
	%D%/test-app-config.py \
	%D%/test-avf-lifecycle.py \
	%D%/test-bad-input.py \
	%D%/test-bus-restart.py \
	%D%/test-clients.py \
	%D%/test-composite-disk.py \
	%D%/test-console.py \
	%D%/test-crash.py \
	%D%/test-crash-report.py \
	%D%/test-create-payload.py \
	%D%/test-deaths.py \
	%D%/test-events.py \
	%D%/test-fleet.py \
	%D%/test-guest-devices.py \
	%D%/test-guest-link.py \
	%D%/test-hostile.py \
	%D%/test-hostile-supervisor.py \
	%D%/test-idsig-bus.py \
	%D%/test-idsig.py \
	%D%/test-instance.py \
	%D%/test-instance-secret.py \
	%D%/test-journal.py \
	%D%/test-introspection-fuzz.py \
	%D%/test-kill-points.py \
	%D%/test-library.py \
	%D%/test-lifetime.py \
	%D%/test-limits.py \
	%D%/test-manager.py \
	%D%/test-microguest.py \
	%D%/test-partitions.py \
	%D%/test-payload-library.py \
	%D%/test-readme.py \
	%D%/test-restart.py \
	%D%/test-rights.py \
	%D%/test-run-app.py \
	%D%/test-sandbox.py \
	%D%/test-socket-fuzz.py \
	%D%/test-stop.py \
	%D%/test-tool-help.py \
	%D%/test-user-mode.py \
	%D%/test-vbmeta.py \
	%D%/test-vmctl-bad-input.py \
	%D%/test-vmctl-verbs.py \
	%D%/test-vmctl.py \
	%D%/test-vmctl-streams.py \
	%D%/test-vmctl-terminal.py \
	%D%/test-vsock.py \
	%D%/test-zipfuse.py
# What these are about, QEMU's versions, a guest without anything of ours, the packaged policies, how
# much memory is used and what goes on in the guest, is the same in a build with the sanitizers, or has no meaning there.
long_integration_tests = \
	%D%/test-apex.py \
	%D%/test-archives.py \
	%D%/test-backports.py \
	%D%/test-load.py \
	%D%/test-microguest-system.py \
	%D%/test-policies.py \
	%D%/test-power-cuts.py \
	%D%/test-systemd-guest.py \
	%D%/test-tampering.py
if !SANITIZERS
integration_tests += $(long_integration_tests)
endif

EXTRA_DIST += $(integration_tests) $(long_integration_tests) tests/helpers/apexes.py \
	tests/helpers/apps.py tests/helpers/backports.py tests/helpers/features.py \
	tests/helpers/harness.py tests/helpers/launcher.py tests/helpers/microguest.py \
	tests/helpers/policies.py tests/helpers/polkit.py \
	tests/helpers/shell_payload.py tests/helpers/systemd_guest.py \
	tests/helpers/tool.py \
	tests/helpers/vmctl.py tests/helpers/wire.py

# Hash trees of any file.
EXTRA_PROGRAMS = programs/hash-tree
programs_hash_tree_SOURCES = tests/helpers/hash-tree.c
programs_hash_tree_LDADD = $(composite_disk_libs)

# The payload of the tests, static like every guest program.
EXTRA_PROGRAMS += programs/payloads/probe
programs_payloads_probe_SOURCES = tests/payloads/probe.c
programs_payloads_probe_CPPFLAGS = $(payload_cppflags)
programs_payloads_probe_CFLAGS = $(guest_cflags)
programs_payloads_probe_LDFLAGS = $(guest_ldflags)
programs_payloads_probe_LDADD = libvmpayload.a

# Talks over vsock in a guest.
EXTRA_PROGRAMS += programs/payloads/vsock-talk
programs_payloads_vsock_talk_SOURCES = tests/payloads/vsock-talk.c
programs_payloads_vsock_talk_CPPFLAGS = $(guest_cppflags)
programs_payloads_vsock_talk_CFLAGS = $(guest_cflags)
programs_payloads_vsock_talk_LDFLAGS = $(guest_ldflags)
programs_payloads_vsock_talk_LDADD =

# Makes devices of partitions with the guest's modules.
EXTRA_PROGRAMS += programs/payloads/devices
programs_payloads_devices_SOURCES = tests/payloads/devices.c guest/deadline.c \
	guest/payload-partition.c $(guest_verify_sources) $(guest_verify_shared_sources)
programs_payloads_devices_CPPFLAGS = $(guest_cppflags)
programs_payloads_devices_CFLAGS = $(guest_cflags)
programs_payloads_devices_LDFLAGS = $(guest_ldflags)
programs_payloads_devices_LDADD = $(MBEDTLS_LIBS) $(JSON_LIBS)

# The payload of microguest's tests, linked dynamically and statically.
app_probe_programs = programs/payloads/app-probe programs/payloads/app-probe-static
EXTRA_PROGRAMS += $(app_probe_programs)
programs_payloads_app_probe_SOURCES = tests/payloads/app-probe.c
programs_payloads_app_probe_CPPFLAGS = $(payload_cppflags)
programs_payloads_app_probe_CFLAGS = $(guest_shared_cflags) -fPIE
programs_payloads_app_probe_LDFLAGS = -pie $(guest_shared_ldflags)
programs_payloads_app_probe_LDADD = libvmpayload.la
programs_payloads_app_probe_static_SOURCES = tests/payloads/app-probe.c
programs_payloads_app_probe_static_CPPFLAGS = $(payload_cppflags)
programs_payloads_app_probe_static_CFLAGS = $(guest_cflags)
programs_payloads_app_probe_static_LDFLAGS = $(guest_ldflags)
programs_payloads_app_probe_static_LDADD = libvmpayload.a

if INTEGRATION_TESTS
TESTS += $(integration_tests)
check_DATA += guest-image.stamp microguest.stamp
check_PROGRAMS += programs/hash-tree programs/payloads/devices programs/payloads/probe \
	programs/payloads/vsock-talk $(app_probe_programs)
endif
