# One cmocka program a module.
EXTRA_DIST += tests/helpers/test.h

unit_tests =

# vhost-user and vsock-device.
vsock_unit_tests = \
	tests/unit/test-broker-client \
	tests/unit/test-guest-memory \
	tests/unit/test-io-vector \
	tests/unit/test-reset-queue \
	tests/unit/test-stream-buffer \
	tests/unit/test-vhost-user-device \
	tests/unit/test-vhost-user-protocol \
	tests/unit/test-vhost-user-socket \
	tests/unit/test-virtqueue \
	tests/unit/test-vsock-connection \
	tests/unit/test-vsock-device \
	tests/unit/test-vsock-packet
unit_tests += $(vsock_unit_tests)
vsock_unit_libs = $(vsock_device_libs) $(CMOCKA_LIBS)
tests_unit_test_broker_client_CFLAGS = $(unit_cflags)
tests_unit_test_broker_client_LDADD = $(vsock_unit_libs)
tests_unit_test_guest_memory_CFLAGS = $(unit_cflags)
tests_unit_test_guest_memory_LDADD = $(vsock_unit_libs)
tests_unit_test_io_vector_CFLAGS = $(unit_cflags)
tests_unit_test_io_vector_LDADD = $(vsock_unit_libs)
tests_unit_test_reset_queue_CFLAGS = $(unit_cflags)
tests_unit_test_reset_queue_LDADD = $(vsock_unit_libs)
tests_unit_test_stream_buffer_CFLAGS = $(unit_cflags)
tests_unit_test_stream_buffer_LDADD = $(vsock_unit_libs)
tests_unit_test_vhost_user_device_CFLAGS = $(unit_cflags)
tests_unit_test_vhost_user_device_LDADD = $(vsock_unit_libs)
tests_unit_test_vhost_user_protocol_CFLAGS = $(unit_cflags)
tests_unit_test_vhost_user_protocol_LDADD = $(vsock_unit_libs)
tests_unit_test_vhost_user_socket_CFLAGS = $(unit_cflags)
tests_unit_test_vhost_user_socket_LDADD = $(vsock_unit_libs)
tests_unit_test_virtqueue_CFLAGS = $(unit_cflags)
tests_unit_test_virtqueue_LDADD = $(vsock_unit_libs)
tests_unit_test_vsock_connection_CFLAGS = $(unit_cflags)
tests_unit_test_vsock_connection_LDADD = $(vsock_unit_libs)
tests_unit_test_vsock_device_SOURCES = \
	tests/unit/test-vsock-device.c \
	tests/helpers/vhost-front-end.c tests/helpers/vhost-front-end.h
tests_unit_test_vsock_device_CFLAGS = $(unit_cflags)
tests_unit_test_vsock_device_LDADD = $(vsock_unit_libs)
tests_unit_test_vsock_packet_CFLAGS = $(unit_cflags)
tests_unit_test_vsock_packet_LDADD = $(vsock_unit_libs)

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
