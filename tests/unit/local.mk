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
