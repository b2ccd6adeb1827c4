# One target a parser of foreign bytes, tests/fuzz/fuzz-PARSER.c, with seeds and every past finding
# in corpus/PARSER/. Without --enable-fuzzing each is linked with replay.c, which runs every file of
# its corpus through it once; `make check` does so.
#
# A new target: its name in the list, its libraries before $(fuzz_libs) and its link flags as the
# others have them.
fuzz_targets = \
	%D%/fuzz-apex-manifest \
	%D%/fuzz-apk-manifest \
	%D%/fuzz-apk-signature \
	%D%/fuzz-boot-record \
	%D%/fuzz-composite-descriptor \
	%D%/fuzz-crash-core \
	%D%/fuzz-encrypted-storage \
	%D%/fuzz-exec-message \
	%D%/fuzz-gpt \
	%D%/fuzz-guest-message \
	%D%/fuzz-guest-rings \
	%D%/fuzz-idsig \
	%D%/fuzz-instance-data \
	%D%/fuzz-instance-image \
	%D%/fuzz-launch-spec \
	%D%/fuzz-notify-message \
	%D%/fuzz-payload-message \
	%D%/fuzz-payload-config \
	%D%/fuzz-payload-metadata \
	%D%/fuzz-qemu-control \
	%D%/fuzz-seccomp-policy \
	%D%/fuzz-supervisor-message \
	%D%/fuzz-vbmeta \
	%D%/fuzz-verdict \
	%D%/fuzz-vhost-user-message \
	%D%/fuzz-vm-config \
	%D%/fuzz-zip

tests_fuzz_fuzz_apex_manifest_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_apex_manifest_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_boot_record_LDADD = libguest.a libcomposite-disk.a libcommon.a $(MBEDTLS_LIBS) \
	$(fuzz_libs)
tests_fuzz_fuzz_boot_record_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_composite_descriptor_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_composite_descriptor_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_crash_core_LDADD = libguest.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_crash_core_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_encrypted_storage_LDADD = libguest.a libcomposite-disk.a libcommon.a \
	$(MBEDTLS_LIBS) $(fuzz_libs)
tests_fuzz_fuzz_encrypted_storage_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_exec_message_LDADD = libprotocol.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_exec_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_gpt_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_gpt_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_apk_manifest_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_apk_manifest_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_apk_signature_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_apk_signature_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_guest_message_LDADD = libprotocol.a libcommon.a $(JSON_LIBS) $(fuzz_libs)
tests_fuzz_fuzz_guest_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_notify_message_LDADD = libprotocol.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_notify_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_guest_rings_LDADD = $(vsock_device_libs) $(fuzz_libs)
tests_fuzz_fuzz_guest_rings_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_instance_data_LDADD = libguest.a libcommon.a $(MBEDTLS_LIBS) $(fuzz_libs)
tests_fuzz_fuzz_instance_data_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_instance_image_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_instance_image_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_idsig_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_idsig_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_launch_spec_LDADD = libprotocol.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_launch_spec_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_payload_message_LDADD = libguest.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_payload_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_payload_config_LDADD = libguest.a libcommon.a $(JSON_LIBS) $(fuzz_libs)
tests_fuzz_fuzz_payload_config_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_payload_metadata_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_payload_metadata_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_qemu_control_LDADD = liblauncher.a libprotocol.a libcomposite-disk.a libcommon.a $(SYSTEMD_LIBS) \
	$(JSON_LIBS) $(fuzz_libs)
tests_fuzz_fuzz_qemu_control_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_seccomp_policy_LDADD = libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_seccomp_policy_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_supervisor_message_LDADD = libprotocol.a libcommon.a $(JSON_LIBS) $(fuzz_libs)
tests_fuzz_fuzz_supervisor_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_vbmeta_LDADD = $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_vbmeta_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_verdict_LDADD = libguest.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_verdict_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_vhost_user_message_LDADD = libvhost-user.a libcommon.a $(fuzz_libs)
tests_fuzz_fuzz_vhost_user_message_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_vm_config_LDADD = $(virtualizationd_libs) $(fuzz_libs)
tests_fuzz_fuzz_vm_config_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_zip_LDADD = libguest.a $(composite_disk_libs) $(fuzz_libs)
tests_fuzz_fuzz_zip_LDFLAGS = $(fuzz_ldflags)

check_PROGRAMS += $(fuzz_targets)
EXTRA_DIST += %D%/corpus %D%/fuzz.h %D%/replay.c

if FUZZING
fuzz_tests =
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_libs =
else
# In a library of its own, so that a target is one source file either way.
check_LIBRARIES += %D%/libreplay.a
tests_fuzz_libreplay_a_SOURCES = %D%/replay.c
fuzz_tests = $(fuzz_targets)
fuzz_ldflags = $(AM_LDFLAGS)
fuzz_libs = %D%/libreplay.a
TESTS += $(fuzz_tests)
endif

.PHONY: fuzz-targets
fuzz-targets: $(fuzz_targets)
