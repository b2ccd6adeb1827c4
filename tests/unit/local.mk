# One cmocka program a module, tests/unit/test-MODULE.c. A new one: its name in the list, and its
# libraries if they are others than LDADD.
EXTRA_DIST += tests/helpers/test.h tests/keys/rsa-2048.pem tests/keys/rsa-4096.pem \
	tests/keys/rsa-8192.pem

LDADD = $(virtualizationd_libs) $(CMOCKA_LIBS)

vsock_unit_tests = \
	%D%/test-broker-client \
	%D%/test-guest-memory \
	%D%/test-io-vector \
	%D%/test-reset-queue \
	%D%/test-stream-buffer \
	%D%/test-vhost-user-device \
	%D%/test-vhost-user-protocol \
	%D%/test-vhost-user-socket \
	%D%/test-virtqueue \
	%D%/test-vsock-connection \
	%D%/test-vsock-device \
	%D%/test-vsock-packet

vsock_unit_libs = $(vsock_device_libs) $(CMOCKA_LIBS)
tests_unit_test_broker_client_LDADD = $(vsock_unit_libs)
tests_unit_test_guest_memory_LDADD = $(vsock_unit_libs)
tests_unit_test_io_vector_LDADD = $(vsock_unit_libs)
tests_unit_test_reset_queue_LDADD = $(vsock_unit_libs)
tests_unit_test_stream_buffer_LDADD = $(vsock_unit_libs)
tests_unit_test_vhost_user_device_LDADD = $(vsock_unit_libs)
tests_unit_test_vhost_user_protocol_LDADD = $(vsock_unit_libs)
tests_unit_test_vhost_user_socket_LDADD = $(vsock_unit_libs)
tests_unit_test_virtqueue_LDADD = $(vsock_unit_libs)
tests_unit_test_vsock_connection_LDADD = $(vsock_unit_libs)
tests_unit_test_vsock_device_SOURCES = %D%/test-vsock-device.c \
	tests/helpers/vhost-front-end.c tests/helpers/vhost-front-end.h
tests_unit_test_vsock_device_LDADD = $(vsock_unit_libs)
tests_unit_test_vsock_packet_LDADD = $(vsock_unit_libs)

# Modules of the static guest programs, built for the host.
guest_unit_tests = \
	%D%/test-apex-identity \
	%D%/test-apk-identity \
	%D%/test-apk-verity \
	%D%/test-archive-mount \
	%D%/test-boot-handover \
	%D%/test-boot-record \
	%D%/test-boot-times \
	%D%/test-cbor \
	%D%/test-crypto \
	%D%/test-device-mapper \
	%D%/test-crash-core \
	%D%/test-crash-report \
	%D%/test-encrypted-storage \
	%D%/test-dice \
	%D%/test-exec-message \
	%D%/test-exec-service \
	%D%/test-guest-link \
	%D%/test-guest-message \
	%D%/test-notify-message \
	%D%/test-helper-process \
	%D%/test-instance-data \
	%D%/test-instance-store \
	%D%/test-kernel-command-line \
	%D%/test-loop-device \
	%D%/test-modules \
	%D%/test-output-stream \
	%D%/test-partition-table \
	%D%/test-payload \
	%D%/test-payload-cgroup \
	%D%/test-payload-filter \
	%D%/test-payload-config \
	%D%/test-payload-image \
	%D%/test-payload-launcher \
	%D%/test-payload-message \
	%D%/test-payload-partition \
	%D%/test-ready-socket \
	%D%/test-payload-service \
	%D%/test-verdict \
	%D%/test-verified-boot \
	%D%/test-sealed-counter \
	%D%/test-zip-files \
	%D%/test-zip-tree

# The client's library, built as a test is.
payload_client_sources = guest/payload-library/vm-payload.c
guest_unit_libs = libguest.a libprotocol.a libcommon.a $(JSON_LIBS) $(CMOCKA_LIBS)
guest_verify_unit_libs = libguest.a libprotocol.a libcomposite-disk.a libcommon.a \
	$(MBEDTLS_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)
tests_unit_test_apex_identity_LDADD = libguest.a $(composite_disk_unit_libs)
tests_unit_test_apk_identity_SOURCES = %D%/test-apk-identity.c $(made_zip_sources)
tests_unit_test_apk_identity_LDADD = libguest.a $(composite_disk_unit_libs)
tests_unit_test_apk_verity_LDADD = $(guest_verify_unit_libs)
tests_unit_test_archive_mount_LDADD = $(guest_unit_libs)
tests_unit_test_boot_handover_LDADD = $(guest_unit_libs)
tests_unit_test_boot_record_SOURCES = %D%/test-boot-record.c $(made_instance_sources) \
	$(power_cut_sources)
tests_unit_test_boot_record_LDADD = $(guest_verify_unit_libs)
tests_unit_test_boot_record_LDFLAGS = $(power_cut_ldflags)
tests_unit_test_boot_times_LDADD = $(guest_unit_libs)
tests_unit_test_cbor_LDADD = $(guest_unit_libs)
tests_unit_test_crypto_LDADD = $(guest_verify_unit_libs)
tests_unit_test_crypto_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=calloc
tests_unit_test_device_mapper_LDADD = $(guest_unit_libs)
made_core_sources = tests/helpers/made-core.c tests/helpers/made-core.h
tests_unit_test_crash_core_SOURCES = %D%/test-crash-core.c $(made_core_sources)
tests_unit_test_crash_core_LDADD = $(guest_unit_libs)
tests_unit_test_crash_report_SOURCES = %D%/test-crash-report.c $(made_core_sources)
tests_unit_test_crash_report_LDADD = $(guest_unit_libs)
EXTRA_tests_unit_test_crash_report_DEPENDENCIES = programs/crash-reporter \
	programs/payload-launcher programs/payloads/libcrash.so
tests_unit_test_encrypted_storage_LDADD = $(guest_verify_unit_libs)
tests_unit_test_dice_LDADD = $(guest_verify_unit_libs)
tests_unit_test_exec_message_LDADD = $(guest_unit_libs)
tests_unit_test_exec_service_LDADD = $(guest_unit_libs)
tests_unit_test_guest_link_LDADD = $(guest_unit_libs)
tests_unit_test_guest_message_LDADD = $(guest_unit_libs)
tests_unit_test_notify_message_LDADD = $(guest_unit_libs)
tests_unit_test_helper_process_LDADD = $(guest_unit_libs)
tests_unit_test_helper_process_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=drop_privileges
tests_unit_test_instance_data_LDADD = $(guest_verify_unit_libs)
tests_unit_test_instance_store_SOURCES = %D%/test-instance-store.c $(made_instance_sources) \
	$(power_cut_sources)
tests_unit_test_instance_store_LDADD = $(guest_verify_unit_libs)
tests_unit_test_instance_store_LDFLAGS = $(power_cut_ldflags)
tests_unit_test_kernel_command_line_LDADD = $(guest_unit_libs)
tests_unit_test_loop_device_LDADD = $(guest_unit_libs)
tests_unit_test_modules_LDADD = $(guest_unit_libs)
tests_unit_test_output_stream_LDADD = $(guest_unit_libs)
tests_unit_test_partition_table_LDADD = $(guest_unit_libs)
tests_unit_test_partition_table_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=opendir
tests_unit_test_payload_LDADD = $(guest_unit_libs)
tests_unit_test_payload_cgroup_LDADD = $(guest_unit_libs)
tests_unit_test_payload_filter_LDADD = $(guest_unit_libs)
tests_unit_test_payload_config_LDADD = $(guest_unit_libs)
tests_unit_test_payload_image_LDADD = $(guest_unit_libs)
tests_unit_test_payload_partition_LDADD = $(guest_unit_libs)
tests_unit_test_payload_launcher_LDADD = $(guest_unit_libs)
EXTRA_tests_unit_test_payload_launcher_DEPENDENCIES = programs/payload-launcher \
	programs/payloads/libexit-code.so programs/payloads/libhello.so
noinst_PROGRAMS += programs/payloads/libcrash.so programs/payloads/libexit-code.so
programs_payloads_libcrash_so_SOURCES = tests/payloads/crash-library.c
programs_payloads_libcrash_so_CPPFLAGS = $(payload_cppflags)
programs_payloads_libcrash_so_CFLAGS = $(payload_so_cflags)
programs_payloads_libcrash_so_LINK = $(payload_so_link)
programs_payloads_libcrash_so_LDADD =
programs_payloads_libexit_code_so_SOURCES = tests/payloads/exit-code.c
programs_payloads_libexit_code_so_CPPFLAGS = $(payload_cppflags)
programs_payloads_libexit_code_so_CFLAGS = $(payload_so_cflags)
programs_payloads_libexit_code_so_LINK = $(payload_so_link)
programs_payloads_libexit_code_so_LDADD =
tests_unit_test_payload_message_LDADD = $(guest_unit_libs)
tests_unit_test_payload_service_SOURCES = %D%/test-payload-service.c $(payload_client_sources)
tests_unit_test_payload_service_LDADD = $(guest_unit_libs)
tests_unit_test_ready_socket_SOURCES = %D%/test-ready-socket.c $(payload_client_sources)
tests_unit_test_ready_socket_LDADD = $(guest_unit_libs)
tests_unit_test_zip_files_SOURCES = %D%/test-zip-files.c $(made_zip_sources)
tests_unit_test_zip_files_LDADD = libguest.a $(composite_disk_unit_libs)
tests_unit_test_zip_tree_SOURCES = %D%/test-zip-tree.c $(made_zip_sources)
tests_unit_test_zip_tree_LDADD = libguest.a $(composite_disk_unit_libs)
tests_unit_test_verdict_LDADD = $(guest_unit_libs)
tests_unit_test_verified_boot_LDADD = libguest.a $(composite_disk_unit_libs) $(MBEDTLS_LIBS)
tests_unit_test_sealed_counter_LDADD = $(guest_unit_libs)
EXTRA_tests_unit_test_sealed_counter_DEPENDENCIES = programs/payload-launcher \
	programs/payloads/libsealed-counter.so

# The command line client.
vmctl_unit_tests = \
	%D%/test-app-archive \
	%D%/test-config-files \
	%D%/test-detach-key \
	%D%/test-exit-status \
	%D%/test-options \
	%D%/test-output-copy \
	%D%/test-stream-relay \
	%D%/test-work-directory

vmctl_unit_libs = $(vmctl_libs) $(CMOCKA_LIBS)
tests_unit_test_app_archive_SOURCES = %D%/test-app-archive.c $(made_zip_sources)
tests_unit_test_app_archive_LDADD = $(vmctl_unit_libs)
tests_unit_test_config_files_LDADD = $(vmctl_unit_libs)
tests_unit_test_detach_key_LDADD = $(vmctl_unit_libs)
tests_unit_test_exit_status_LDADD = $(vmctl_unit_libs)
tests_unit_test_options_LDADD = $(vmctl_unit_libs)
tests_unit_test_output_copy_LDADD = $(vmctl_unit_libs)
tests_unit_test_work_directory_LDADD = $(vmctl_unit_libs)
tests_unit_test_stream_relay_LDADD = $(vmctl_unit_libs)

# What the daemon and its libraries are made of, with the libraries in LDADD.
daemon_unit_tests = \
	%D%/test-boot-check \
	%D%/test-broker-message \
	%D%/test-bus-contract \
	%D%/test-byte-ring \
	%D%/test-bytes \
	%D%/test-cid-pool \
	%D%/test-error \
	%D%/test-event-history \
	%D%/test-fd \
	%D%/test-fd-message \
	%D%/test-json-keys \
	%D%/test-launch-spec \
	%D%/test-nearest-match \
	%D%/test-os-image \
	%D%/test-seccomp-policy \
	%D%/test-quota \
	%D%/test-settings \
	%D%/test-vm-record \
	%D%/test-spawn \
	%D%/test-supervisor-message \
	%D%/test-text \
	%D%/test-vm-app-config \
	%D%/test-vm-app \
	%D%/test-vm-config \
	%D%/test-vm-files \
	%D%/test-vm-state

# The launcher's guest-link is another module than the guest's, and its test needs another name.
launcher_unit_tests = \
	%D%/test-boot-archive \
	%D%/test-broker \
	%D%/test-death \
	%D%/test-host-secret \
	%D%/test-instance-secret \
	%D%/test-launcher-crash-report \
	%D%/test-launcher-guest-link \
	%D%/test-output \
	%D%/test-qemu-command \
	%D%/test-qemu-control \
	%D%/test-seccomp-compile \
	%D%/test-stop-sequence \
	%D%/test-stream-readers \
	%D%/test-vmm \
	%D%/test-vmm-log

launcher_unit_libs = liblauncher.a libprotocol.a libcomposite-disk.a libcommon.a $(SYSTEMD_LIBS) $(JSON_LIBS) \
	$(MBEDTLS_LIBS) $(CMOCKA_LIBS)
tests_unit_test_boot_archive_LDADD = $(launcher_unit_libs)
tests_unit_test_broker_LDADD = $(launcher_unit_libs)
tests_unit_test_death_LDADD = $(launcher_unit_libs)
tests_unit_test_host_secret_LDADD = $(launcher_unit_libs)
tests_unit_test_instance_secret_LDADD = $(launcher_unit_libs)
tests_unit_test_launcher_crash_report_LDADD = $(launcher_unit_libs)
tests_unit_test_launcher_guest_link_LDADD = $(launcher_unit_libs)
tests_unit_test_output_LDADD = $(launcher_unit_libs)
tests_unit_test_qemu_command_LDADD = $(launcher_unit_libs)
tests_unit_test_qemu_control_LDADD = $(launcher_unit_libs)
tests_unit_test_seccomp_compile_LDADD = liblauncher.a $(seccomp_compile_libs) $(CMOCKA_LIBS)
tests_unit_test_stop_sequence_LDADD = $(launcher_unit_libs)
tests_unit_test_stream_readers_LDADD = $(launcher_unit_libs)
tests_unit_test_vmm_LDADD = $(launcher_unit_libs)
tests_unit_test_vmm_log_LDADD = $(launcher_unit_libs)

# Formats of disks and images, and what they are signed with.
composite_disk_unit_tests = \
	%D%/test-apex-manifest \
	%D%/test-apk-digest \
	%D%/test-apk-manifest \
	%D%/test-apk-signature \
	%D%/test-apk-signing-block \
	%D%/test-avb-boot \
	%D%/test-avb-descriptor \
	%D%/test-avb-footer \
	%D%/test-avb-image \
	%D%/test-avb-partition \
	%D%/test-avb-public-key \
	%D%/test-byte-source \
	%D%/test-composite-descriptor \
	%D%/test-composite-image \
	%D%/test-composite-layout \
	%D%/test-folder \
	%D%/test-gpt \
	%D%/test-guid \
	%D%/test-idsig \
	%D%/test-idsig-file \
	%D%/test-image-copy \
	%D%/test-instance-image \
	%D%/test-merkle-builder \
	%D%/test-merkle-tree \
	%D%/test-output-file \
	%D%/test-partition-image \
	%D%/test-payload-disk \
	%D%/test-payload-folder \
	%D%/test-payload-metadata \
	%D%/test-region-table \
	%D%/test-signature-algorithm \
	%D%/test-signing-key \
	%D%/test-vbmeta \
	%D%/test-zip-reader \
	%D%/test-zip-sections \
	%D%/test-zip-stream \
	%D%/test-zip-writer

made_zip_sources = tests/helpers/made-zip.c tests/helpers/made-zip.h
made_instance_sources = tests/helpers/made-instance.c tests/helpers/made-instance.h
power_cut_sources = tests/helpers/power-cut.c tests/helpers/power-cut.h
power_cut_ldflags = $(AM_LDFLAGS) -Wl,--wrap=pwrite,--wrap=fsync,--wrap=fdatasync
composite_disk_unit_libs = $(composite_disk_libs) $(CMOCKA_LIBS)
tests_unit_test_apex_manifest_LDADD = $(composite_disk_unit_libs)
tests_unit_test_apk_digest_LDADD = $(composite_disk_unit_libs)
tests_unit_test_apk_manifest_SOURCES = %D%/test-apk-manifest.c $(made_zip_sources)
tests_unit_test_apk_manifest_LDADD = $(composite_disk_unit_libs)
tests_unit_test_apk_signature_SOURCES = %D%/test-apk-signature.c $(made_zip_sources)
tests_unit_test_apk_signature_LDADD = $(composite_disk_unit_libs)
tests_unit_test_apk_signing_block_LDADD = $(composite_disk_unit_libs)
tests_unit_test_avb_boot_LDADD = $(composite_disk_unit_libs)
tests_unit_test_avb_descriptor_LDADD = $(composite_disk_unit_libs)
tests_unit_test_avb_footer_LDADD = $(composite_disk_unit_libs)
tests_unit_test_avb_image_LDADD = $(composite_disk_unit_libs)
tests_unit_test_avb_image_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pwrite,--wrap=ftruncate,--wrap=fsync
tests_unit_test_avb_partition_LDADD = $(composite_disk_unit_libs)
tests_unit_test_avb_public_key_LDADD = $(composite_disk_unit_libs)
tests_unit_test_byte_source_LDADD = $(composite_disk_unit_libs)
tests_unit_test_composite_descriptor_LDADD = $(composite_disk_unit_libs)
tests_unit_test_composite_image_LDADD = $(composite_disk_unit_libs)
tests_unit_test_composite_layout_LDADD = $(composite_disk_unit_libs)
tests_unit_test_folder_LDADD = $(composite_disk_unit_libs)
tests_unit_test_gpt_LDADD = $(composite_disk_unit_libs)
tests_unit_test_guid_LDADD = $(composite_disk_unit_libs)
tests_unit_test_idsig_LDADD = $(composite_disk_unit_libs)
tests_unit_test_idsig_file_LDADD = $(composite_disk_unit_libs)
tests_unit_test_idsig_file_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pwrite,--wrap=ftruncate \
	-Wl,--wrap=fallocate,--wrap=fdatasync
tests_unit_test_image_copy_LDADD = $(composite_disk_unit_libs)
tests_unit_test_image_copy_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=copy_file_range
tests_unit_test_instance_image_SOURCES = %D%/test-instance-image.c $(power_cut_sources)
tests_unit_test_instance_image_LDADD = $(composite_disk_unit_libs)
tests_unit_test_instance_image_LDFLAGS = $(power_cut_ldflags)
tests_unit_test_merkle_builder_LDADD = $(composite_disk_unit_libs)
tests_unit_test_merkle_builder_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pthread_create \
	-Wl,--wrap=pthread_cond_wait,--wrap=byte_source_read
tests_unit_test_merkle_tree_LDADD = $(composite_disk_unit_libs)
tests_unit_test_output_file_LDADD = $(composite_disk_unit_libs)
tests_unit_test_output_file_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=openat,--wrap=fsync,--wrap=renameat2
tests_unit_test_partition_image_LDADD = $(composite_disk_unit_libs)
tests_unit_test_payload_disk_LDADD = $(composite_disk_unit_libs)
tests_unit_test_payload_folder_LDADD = $(composite_disk_unit_libs)
tests_unit_test_payload_metadata_LDADD = $(composite_disk_unit_libs)
tests_unit_test_region_table_LDADD = $(composite_disk_unit_libs)
tests_unit_test_signature_algorithm_LDADD = $(composite_disk_unit_libs)
tests_unit_test_signing_key_LDADD = $(composite_disk_unit_libs)
tests_unit_test_vbmeta_LDADD = $(composite_disk_unit_libs)
tests_unit_test_zip_reader_SOURCES = %D%/test-zip-reader.c $(made_zip_sources)
tests_unit_test_zip_reader_LDADD = $(composite_disk_unit_libs)
tests_unit_test_zip_sections_SOURCES = %D%/test-zip-sections.c $(made_zip_sources)
tests_unit_test_zip_sections_LDADD = $(composite_disk_unit_libs)
tests_unit_test_zip_stream_SOURCES = %D%/test-zip-stream.c $(made_zip_sources)
tests_unit_test_zip_stream_LDADD = $(composite_disk_unit_libs)
tests_unit_test_zip_writer_SOURCES = %D%/test-zip-writer.c $(made_zip_sources)
tests_unit_test_zip_writer_LDADD = $(composite_disk_unit_libs)

unit_tests = $(composite_disk_unit_tests) $(vsock_unit_tests) $(guest_unit_tests) \
	$(vmctl_unit_tests) $(daemon_unit_tests) $(launcher_unit_tests)
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
