# virtio-vsock in user space. All but main() is a library, for the tests.
noinst_LIBRARIES += libvsock-device.a
libvsock_device_a_SOURCES = \
	%D%/broker-client.c %D%/broker-client.h \
	%D%/device.c %D%/device.h \
	%D%/io-vector.c %D%/io-vector.h \
	%D%/reset-queue.c %D%/reset-queue.h \
	%D%/stream-buffer.c %D%/stream-buffer.h \
	%D%/stream.c %D%/stream.h \
	%D%/vsock-capture.c %D%/vsock-capture.h \
	%D%/vsock-connection.c %D%/vsock-connection.h \
	%D%/vsock-packet.c %D%/vsock-packet.h \
	%D%/vsock-switch.c %D%/vsock-switch.h

vsock_device_libs = libvsock-device.a libvhost-user.a libprotocol.a libcommon.a $(SYSTEMD_LIBS)

pkglibexec_PROGRAMS += programs/vsock-device
programs_vsock_device_SOURCES = %D%/main.c
programs_vsock_device_LDADD = $(vsock_device_libs)
