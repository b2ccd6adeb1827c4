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

# The modules of the guest's programs.
guest_test_libs = libguest.a libprotocol.a libcommon.a $(JSON_LIBS) $(CMOCKA_LIBS)
unit_tests += programs/test-guest-link
programs_test_guest_link_SOURCES = %D%/test-guest-link.c
programs_test_guest_link_CFLAGS = $(unit_cflags)
programs_test_guest_link_LDADD = $(guest_test_libs)
unit_tests += programs/test-kernel-command-line
programs_test_kernel_command_line_SOURCES = %D%/test-kernel-command-line.c
programs_test_kernel_command_line_CFLAGS = $(unit_cflags)
programs_test_kernel_command_line_LDADD = $(guest_test_libs)
unit_tests += programs/test-modules
programs_test_modules_SOURCES = %D%/test-modules.c
programs_test_modules_CFLAGS = $(unit_cflags)
programs_test_modules_LDADD = $(guest_test_libs)
unit_tests += programs/test-output-stream
programs_test_output_stream_SOURCES = %D%/test-output-stream.c
programs_test_output_stream_CFLAGS = $(unit_cflags)
programs_test_output_stream_LDADD = $(guest_test_libs)
unit_tests += programs/test-payload
programs_test_payload_SOURCES = %D%/test-payload.c
programs_test_payload_CFLAGS = $(unit_cflags)
programs_test_payload_LDADD = $(guest_test_libs)
unit_tests += programs/test-payload-image
programs_test_payload_image_SOURCES = %D%/test-payload-image.c
programs_test_payload_image_CFLAGS = $(unit_cflags)
programs_test_payload_image_LDADD = $(guest_test_libs)
unit_tests += programs/test-payload-partition
programs_test_payload_partition_SOURCES = %D%/test-payload-partition.c
programs_test_payload_partition_CFLAGS = $(unit_cflags)
programs_test_payload_partition_LDADD = $(guest_test_libs)
unit_tests += programs/test-ready-socket
programs_test_ready_socket_SOURCES = %D%/test-ready-socket.c guest/payload-api.c
programs_test_ready_socket_CFLAGS = $(unit_cflags)
programs_test_ready_socket_LDADD = $(guest_test_libs)

# The command line client.
unit_tests += programs/test-config-files
programs_test_config_files_SOURCES = %D%/test-config-files.c
programs_test_config_files_CFLAGS = $(unit_cflags)
programs_test_config_files_LDADD = $(vmctl_libs) $(CMOCKA_LIBS)
unit_tests += programs/test-exit-status
programs_test_exit_status_SOURCES = %D%/test-exit-status.c
programs_test_exit_status_CFLAGS = $(unit_cflags)
programs_test_exit_status_LDADD = $(vmctl_libs) $(CMOCKA_LIBS)
unit_tests += programs/test-nearest-match
programs_test_nearest_match_SOURCES = %D%/test-nearest-match.c
programs_test_nearest_match_CFLAGS = $(unit_cflags)
programs_test_nearest_match_LDADD = $(vmctl_libs) $(CMOCKA_LIBS)
unit_tests += programs/test-options
programs_test_options_SOURCES = %D%/test-options.c
programs_test_options_CFLAGS = $(unit_cflags)
programs_test_options_LDADD = $(vmctl_libs) $(CMOCKA_LIBS)
unit_tests += programs/test-output-copy
programs_test_output_copy_SOURCES = %D%/test-output-copy.c
programs_test_output_copy_CFLAGS = $(unit_cflags)
programs_test_output_copy_LDADD = $(vmctl_libs) $(CMOCKA_LIBS)
