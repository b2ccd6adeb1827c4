# The device side of vhost-user: guest memory, rings, control messages.
noinst_LIBRARIES += libvhost-user.a
libvhost_user_a_SOURCES = \
	%D%/guest-memory.c %D%/guest-memory.h \
	%D%/vhost-user-device.c %D%/vhost-user-device.h \
	%D%/vhost-user-protocol.c %D%/vhost-user-protocol.h \
	%D%/vhost-user-socket.c %D%/vhost-user-socket.h \
	%D%/virtqueue.c %D%/virtqueue.h
