# What runs inside the guest. These programs are static, so that the initramfs needs no libraries,
# and never sanitized, which gcc refuses for static ones. They share no object files with the host's
# programs but compile the few sources they need with flags of their own.
guest_cppflags = -I$(top_srcdir) -D_GNU_SOURCE $(GUEST_CPPFLAGS)
guest_cflags = $(WARNING_CFLAGS) $(HARDENING_CFLAGS) $(JSON_CFLAGS) -fno-pie
guest_ldflags = -all-static -Wl,-z,relro,-z,now,-z,noexecstack

guest_sources = \
	%D%/boot-times.c %D%/boot-times.h \
	%D%/crash-reporting.c %D%/crash-reporting.h \
	%D%/deadline.c %D%/deadline.h \
	%D%/exec-process.c %D%/exec-process.h \
	%D%/exec-service.c %D%/exec-service.h \
	%D%/exec-session.c %D%/exec-session.h \
	%D%/guest-link.c %D%/guest-link.h \
	%D%/kernel-command-line.c %D%/kernel-command-line.h \
	%D%/modules.c %D%/modules.h \
	%D%/virtio-device.c %D%/virtio-device.h \
	%D%/mounts.c %D%/mounts.h \
	%D%/output-stream.c %D%/output-stream.h \
	%D%/payload.c %D%/payload.h \
	%D%/payload-cgroup.c %D%/payload-cgroup.h \
	%D%/payload-filter.c %D%/payload-filter.h \
	%D%/payload-image.c %D%/payload-image.h \
	%D%/payload-message.c %D%/payload-message.h \
	%D%/payload-partition.c %D%/payload-partition.h \
	%D%/payload-service.c %D%/payload-service.h \
	%D%/ready-socket.c %D%/ready-socket.h

# What runs once the guest's root is there, which has the libraries: dynamic, and not sanitized
# either, as the root has no libraries for that.
guest_dynamic_cflags = $(WARNING_CFLAGS) $(HARDENING_CFLAGS) -fPIE

# What makes devices of a payload's partitions and has it verified, with the formats that it reads:
# needs mbed TLS and json-c. What verifies it is a program of its own, and needs OpenSSL.
guest_verify_sources = \
	%D%/helper-process.c %D%/helper-process.h \
	%D%/apk-verifier.c %D%/apk-verifier.h \
	%D%/apk-verity.c %D%/apk-verity.h \
	%D%/device-mapper.c %D%/device-mapper.h \
	%D%/encrypted-storage.c %D%/encrypted-storage.h \
	%D%/loop-device.c %D%/loop-device.h \
	%D%/payload-config.c %D%/payload-config.h \
	%D%/verdict.c %D%/verdict.h

guest_verify_shared_sources = \
	common/bytes.c common/drop-privileges.c common/error.c common/fd.c common/json-fields.c \
	common/json-keys.c common/random.c common/text.c \
	composite-disk/byte-source.c \
	composite-disk/idsig.c \
	composite-disk/merkle-tree.c \
	composite-disk/partition-image.c

# Who an instance is, and its secrets.
guest_identity_sources = \
	%D%/boot-handover.c %D%/boot-handover.h \
	%D%/boot-record.c %D%/boot-record.h \
	%D%/cbor.c %D%/cbor.h \
	%D%/crypto.c %D%/crypto.h \
	%D%/dice.c %D%/dice.h \
	%D%/instance-data.c %D%/instance-data.h \
	%D%/instance-store.c %D%/instance-store.h \
	%D%/partition-table.c %D%/partition-table.h \
	%D%/verified-boot.c %D%/verified-boot.h

apk_verify_sources = \
	%D%/apex-identity.c %D%/apex-identity.h \
	%D%/apk-identity.c %D%/apk-identity.h

pkglibexec_PROGRAMS += programs/apk-verify
programs_apk_verify_SOURCES = \
	%D%/apk-verify-main.c \
	%D%/verdict.c \
	$(apk_verify_sources) \
	common/bytes.c common/error.c common/fd.c common/program-path.c common/seccomp-policy.c \
	common/text.c \
	composite-disk/apex-manifest.c composite-disk/apk-digest.c composite-disk/apk-idsig.c composite-disk/apk-manifest.c \
	composite-disk/apk-signature.c \
	composite-disk/apk-signer.c composite-disk/apk-signing-block.c \
	composite-disk/avb-descriptor.c composite-disk/avb-footer.c composite-disk/avb-public-key.c \
	composite-disk/byte-source.c \
	composite-disk/idsig.c composite-disk/idsig-file.c composite-disk/idsig-signature.c \
	composite-disk/merkle-builder.c composite-disk/merkle-tree.c \
	composite-disk/signature-algorithm.c composite-disk/signing-key.c \
	composite-disk/vbmeta-header.c composite-disk/vbmeta-verify.c composite-disk/vbmeta.c \
	composite-disk/zip-reader.c composite-disk/zip-sections.c composite-disk/zip-stream.c
nodist_programs_apk_verify_SOURCES = composite-disk/apex-manifest.pb-c.c
programs_apk_verify_CPPFLAGS = $(guest_cppflags) -I$(top_builddir)
programs_apk_verify_CFLAGS = $(guest_dynamic_cflags) $(CRYPTO_CFLAGS) $(PROTOBUF_C_CFLAGS)
programs_apk_verify_LDFLAGS = $(HOST_LDFLAGS)
programs_apk_verify_LDADD = $(CRYPTO_LIBS) $(PROTOBUF_C_LIBS) $(ZLIB_LIBS)

pkglibexec_PROGRAMS += programs/guest-manager
programs_guest_manager_SOURCES = \
	%D%/main.c \
	%D%/guest-manager.c %D%/guest-manager.h \
	%D%/payload-source.h \
	%D%/raw-payload.c \
	$(guest_sources) \
	$(protocol_guest_sources) $(protocol_exec_sources) \
	common/bytes.c common/drop-privileges.c common/error.c common/fd.c common/json-keys.c \
	common/text.c
programs_guest_manager_CPPFLAGS = $(guest_cppflags)
programs_guest_manager_CFLAGS = $(guest_cflags)
programs_guest_manager_LDFLAGS = $(guest_ldflags)
programs_guest_manager_LDADD = $(JSON_LIBS)

# Both stages of an app VM, static as well, which starts faster than what has to be linked first.
pkglibexec_PROGRAMS += programs/microguest-init
programs_microguest_init_SOURCES = \
	%D%/microguest-init.c \
	%D%/first-stage.c %D%/first-stage.h \
	%D%/guest-manager.c %D%/guest-manager.h \
	%D%/app-identity.c %D%/app-identity.h \
	%D%/apex-mount.c %D%/apex-mount.h \
	%D%/app-payload.c \
	%D%/app-verification.c %D%/app-verification.h \
	%D%/archive-mount.c %D%/archive-mount.h \
	$(guest_sources) $(guest_verify_sources) $(guest_identity_sources) \
	$(protocol_guest_sources) $(protocol_exec_sources) \
	$(guest_verify_shared_sources) \
	composite-disk/avb-descriptor.c composite-disk/avb-footer.c composite-disk/guid.c \
	composite-disk/instance-image.c composite-disk/payload-disk.c composite-disk/payload-metadata.c \
	composite-disk/vbmeta-header.c composite-disk/vbmeta.c
nodist_programs_microguest_init_SOURCES = composite-disk/payload-metadata.pb-c.c
programs_microguest_init_CPPFLAGS = $(guest_cppflags) -I$(top_builddir)
programs_microguest_init_CFLAGS = $(guest_cflags) $(PROTOBUF_C_CFLAGS)
programs_microguest_init_LDFLAGS = $(guest_ldflags)
programs_microguest_init_LDADD = $(JSON_LIBS) $(MBEDTLS_LIBS) $(PROTOBUF_C_LIBS)

zipfuse_sources = \
	%D%/zip-files.c %D%/zip-files.h \
	%D%/zip-tree.c %D%/zip-tree.h

# Static, as every boot waits for it, and yet at an address of the kernel's choice, as it reads what
# others wrote.
pkglibexec_PROGRAMS += programs/zipfuse
programs_zipfuse_SOURCES = \
	%D%/zipfuse-main.c \
	%D%/zipfuse.c %D%/zipfuse.h \
	$(zipfuse_sources) \
	common/bytes.c common/error.c common/fd.c common/text.c \
	composite-disk/byte-source.c composite-disk/zip-reader.c composite-disk/zip-sections.c \
	composite-disk/zip-stream.c
programs_zipfuse_CPPFLAGS = $(guest_cppflags)
programs_zipfuse_CFLAGS = $(guest_dynamic_cflags) $(FUSE_CFLAGS)
programs_zipfuse_LDFLAGS = -static-pie -Wl,-z,relro,-z,now,-z,noexecstack
programs_zipfuse_LDADD = $(FUSE_LIBS) $(ZLIB_LIBS)

# libvmpayload, which payloads link: a shared library in the guest, which runs with nothing but
# glibc, and a static one for static payloads. Neither is sanitized, as no payload is.
payload_library_sources = \
	%D%/payload-library/vm-payload.c \
	%D%/payload-message.c %D%/payload-message.h \
	common/bytes.c common/bytes.h
payload_cppflags = $(guest_cppflags) -I$(top_srcdir)/%D%/payload-library
guest_shared_cflags = $(WARNING_CFLAGS) $(HARDENING_CFLAGS)
guest_shared_ldflags = -Wl,-z,relro,-z,now,-z,noexecstack

lib_LTLIBRARIES += libvmpayload.la
libvmpayload_la_SOURCES = $(payload_library_sources)
libvmpayload_la_CPPFLAGS = $(guest_cppflags)
libvmpayload_la_CFLAGS = $(guest_shared_cflags)
libvmpayload_la_LDFLAGS = -shared -version-info 0:0:0 -no-undefined $(guest_shared_ldflags) \
	-Wl,--version-script=$(srcdir)/%D%/payload-library/vm-payload.map
EXTRA_libvmpayload_la_DEPENDENCIES = $(srcdir)/%D%/payload-library/vm-payload.map
lib_LIBRARIES += libvmpayload.a
libvmpayload_a_SOURCES = $(payload_library_sources)
libvmpayload_a_CPPFLAGS = $(guest_cppflags)
libvmpayload_a_CFLAGS = $(guest_shared_cflags) -fPIE
EXTRA_DIST += %D%/payload-library/vm-payload.map
include_HEADERS += %D%/payload-library/vm_main.h %D%/payload-library/vm_payload.h
pkgconfig_DATA += %D%/payload-library/vm-payload.pc

# Dynamic, as the libraries are that it loads.
pkglibexec_PROGRAMS += programs/payload-launcher
programs_payload_launcher_SOURCES = %D%/payload-launcher.c
programs_payload_launcher_CPPFLAGS = $(guest_cppflags)
programs_payload_launcher_CFLAGS = $(guest_shared_cflags) -fPIE
programs_payload_launcher_LDFLAGS = -pie $(guest_shared_ldflags)
programs_payload_launcher_LDADD =

# The kernel runs it when a program of the guest crashes.
crash_report_sources = \
	%D%/crash-core.c %D%/crash-core.h \
	%D%/crash-report.c %D%/crash-report.h
pkglibexec_PROGRAMS += programs/crash-reporter
programs_crash_reporter_SOURCES = %D%/crash-reporter.c $(crash_report_sources) \
	common/bytes.c common/drop-privileges.c common/fd.c common/text.c
programs_crash_reporter_CPPFLAGS = $(guest_cppflags)
programs_crash_reporter_CFLAGS = $(guest_shared_cflags) -fPIE
programs_crash_reporter_LDFLAGS = -pie $(guest_shared_ldflags)
programs_crash_reporter_LDADD =

# Payloads for the demonstration and the tests. One that is a shared library is no libtool library:
# nobody links it, and it goes into an archive as it is.
payload_so_cflags = $(guest_shared_cflags) -fPIC
payload_so_link = $(CC) $(payload_so_cflags) $(CFLAGS) -shared $(guest_shared_ldflags) $(LDFLAGS) -o $@
payload_so_libs = -L.libs -lvmpayload

noinst_PROGRAMS += programs/payloads/greet programs/payloads/crash
programs_payloads_greet_SOURCES = examples/payloads/greet.c
programs_payloads_greet_CPPFLAGS = $(payload_cppflags)
programs_payloads_greet_CFLAGS = $(guest_cflags)
programs_payloads_greet_LDFLAGS = $(guest_ldflags)
programs_payloads_greet_LDADD = libvmpayload.a
programs_payloads_crash_SOURCES = examples/payloads/crash.c
programs_payloads_crash_CPPFLAGS = $(guest_cppflags)
programs_payloads_crash_CFLAGS = $(guest_cflags)
programs_payloads_crash_LDFLAGS = $(guest_ldflags)
programs_payloads_crash_LDADD =

# The examples for others, which their own makefiles build as well.
noinst_PROGRAMS += programs/payloads/libhello.so programs/payloads/libsealed-counter.so \
	programs/payloads/vsock-echo
programs_payloads_libhello_so_SOURCES = examples/hello/hello.c
programs_payloads_libhello_so_CPPFLAGS = $(payload_cppflags)
programs_payloads_libhello_so_CFLAGS = $(payload_so_cflags)
programs_payloads_libhello_so_LINK = $(payload_so_link)
programs_payloads_libhello_so_LDADD = $(payload_so_libs)
programs_payloads_libhello_so_DEPENDENCIES = libvmpayload.la
programs_payloads_libsealed_counter_so_SOURCES = examples/sealed-counter/sealed-counter.c
programs_payloads_libsealed_counter_so_CPPFLAGS = $(payload_cppflags)
programs_payloads_libsealed_counter_so_CFLAGS = $(payload_so_cflags)
programs_payloads_libsealed_counter_so_LINK = $(payload_so_link)
programs_payloads_libsealed_counter_so_LDADD = $(payload_so_libs)
programs_payloads_libsealed_counter_so_DEPENDENCIES = libvmpayload.la
programs_payloads_vsock_echo_SOURCES = examples/vsock-echo/vsock-echo.c
programs_payloads_vsock_echo_CPPFLAGS = $(payload_cppflags)
programs_payloads_vsock_echo_CFLAGS = $(guest_shared_cflags) -fPIE
programs_payloads_vsock_echo_LDFLAGS = -pie $(guest_shared_ldflags)
programs_payloads_vsock_echo_LDADD = libvmpayload.a
EXTRA_DIST += examples/README.md examples/hello/Makefile examples/sealed-counter/Makefile \
	examples/vsock-echo/Makefile examples/vsock-echo/assets/vm_config.json

# For the unit tests, with the flags of the host's programs.
noinst_LIBRARIES += libguest.a
libguest_a_SOURCES = $(guest_sources) $(guest_verify_sources) $(guest_identity_sources) \
	%D%/archive-mount.c %D%/archive-mount.h \
	$(apk_verify_sources) $(crash_report_sources) $(zipfuse_sources)

# The guest images: the plain one and microguest. Not part of `all`, as they download the kernel
# package unless GUEST_IMAGE_FLAGS names one. Who installs microguest for others signs it with
# MICROGUEST_KEY=FILE (RSA, PEM); the default is a key of this build directory's.
GUEST_IMAGE_FLAGS =
MICROGUEST_KEY = microguest-key.pem
dist_pkglibexec_SCRIPTS = %D%/build-image
CLEANFILES += guest-image.stamp guest-image/vmlinux guest-image/initramfs guest-image/params \
	guest-image/.inputs microguest.stamp microguest/vmlinux microguest/initrd_normal.img \
	microguest/initrd_debug.img microguest/super.img microguest/vbmeta.img microguest/os.json \
	microguest/.inputs microguest-key.pem

guest-image: guest-image.stamp microguest.stamp
.PHONY: guest-image

guest-image.stamp: $(srcdir)/guest/build-image programs/guest-manager
	$(AM_V_GEN)$(srcdir)/guest/build-image --output guest-image --cache guest-image-cache \
		--guest-manager programs/guest-manager $(GUEST_IMAGE_FLAGS)
	$(AM_V_at)touch $@

microguest_programs = programs/microguest-init programs/apk-verify programs/zipfuse \
	programs/payload-launcher programs/crash-reporter

microguest-key.pem:
	$(AM_V_GEN)umask 077 && openssl genrsa -out $@ 4096 2>/dev/null

microguest.stamp: $(srcdir)/guest/build-image $(microguest_programs) libvmpayload.la \
		programs/composite-disk $(MICROGUEST_KEY)
	$(AM_V_GEN)$(srcdir)/guest/build-image --microguest --output microguest \
		--cache guest-image-cache --programs programs --tool programs/composite-disk \
		--payload-library .libs/libvmpayload.so.0 --key $(MICROGUEST_KEY) $(GUEST_IMAGE_FLAGS)
	$(AM_V_at)touch $@
