# Formats of disks and of the images on them. The tool and the other parts are linked with the
# static library; the shared one has what composite-disk.h declares, for other people's programs.
composite_disk_sources = \
	%D%/apex-manifest.c %D%/apex-manifest.h \
	%D%/apk-digest.c %D%/apk-digest.h \
	%D%/apk-idsig.c %D%/apk-idsig.h \
	%D%/apk-manifest.c %D%/apk-manifest.h \
	%D%/apk-signature.c %D%/apk-signature.h \
	%D%/apk-signer.c %D%/apk-signer.h \
	%D%/apk-signing-block.c %D%/apk-signing-block.h \
	%D%/apk-signing.c %D%/apk-signing.h \
	%D%/avb-boot.c %D%/avb-boot.h \
	%D%/avb-descriptor.c %D%/avb-descriptor.h \
	%D%/avb-footer.c %D%/avb-footer.h \
	%D%/avb-image.c %D%/avb-image.h \
	%D%/avb-partition.c %D%/avb-partition.h \
	%D%/avb-public-key.c %D%/avb-public-key.h \
	%D%/byte-source.c %D%/byte-source.h \
	%D%/composite-append.c \
	%D%/composite-companions.c %D%/composite-companions.h \
	%D%/composite-descriptor.c %D%/composite-descriptor.h \
	%D%/composite-file.c %D%/composite-file.h \
	%D%/composite-image.c %D%/composite-image.h \
	%D%/composite-layout.c %D%/composite-layout.h \
	%D%/folder.c %D%/folder.h \
	%D%/gpt-type.c %D%/gpt-type.h \
	%D%/gpt.c %D%/gpt.h \
	%D%/guid.c %D%/guid.h \
	%D%/idsig-file.c %D%/idsig-file.h \
	%D%/idsig-signature.c %D%/idsig-signature.h \
	%D%/idsig.c %D%/idsig.h \
	%D%/image-copy.c %D%/image-copy.h \
	%D%/image-format.c %D%/image-format.h \
	%D%/instance-image.c %D%/instance-image.h \
	%D%/merkle-builder.c %D%/merkle-builder.h \
	%D%/merkle-tree.c %D%/merkle-tree.h \
	%D%/output-file.c %D%/output-file.h \
	%D%/partition-file.c %D%/partition-file.h \
	%D%/partition-image.c %D%/partition-image.h \
	%D%/payload-disk.c %D%/payload-disk.h \
	%D%/payload-folder.c %D%/payload-folder.h \
	%D%/payload-metadata.c %D%/payload-metadata.h \
	%D%/progress.h \
	%D%/region-table.c %D%/region-table.h \
	%D%/signature-algorithm.c %D%/signature-algorithm.h \
	%D%/signing-key.c %D%/signing-key.h \
	%D%/vbmeta-header.c %D%/vbmeta-header.h \
	%D%/vbmeta-make.c %D%/vbmeta-make.h \
	%D%/vbmeta-verify.c \
	%D%/vbmeta.c %D%/vbmeta.h \
	%D%/zip-reader.c %D%/zip-reader.h \
	%D%/zip-sections.c %D%/zip-sections.h \
	%D%/zip-stream.c %D%/zip-stream.h \
	%D%/zip-writer.c %D%/zip-writer.h

# The code that protoc-c makes of each FILE.proto; the paths in it start at the top of the tree.
composite_disk_protos = %D%/apex-manifest.proto %D%/composite-descriptor.proto \
	%D%/payload-metadata.proto
composite_disk_generated = $(composite_disk_protos:.proto=.pb-c.c)
EXTRA_DIST += $(composite_disk_protos)
BUILT_SOURCES += $(composite_disk_generated) $(composite_disk_protos:.proto=.pb-c.h)
CLEANFILES += $(composite_disk_generated) $(composite_disk_protos:.proto=.pb-c.h)
SUFFIXES += .proto .pb-c.c .pb-c.h
.proto.pb-c.c:
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PROTOC_C) --c_out=. -I$(srcdir) $<
.proto.pb-c.h:
	$(AM_V_GEN)$(MKDIR_P) %D% && $(PROTOC_C) --c_out=. -I$(srcdir) $<

noinst_LIBRARIES += libcomposite-disk.a
libcomposite_disk_a_SOURCES = $(composite_disk_sources)
nodist_libcomposite_disk_a_SOURCES = $(composite_disk_generated)

# Its own copy of what it needs of common/: hidden, as all but the map's symbols.
lib_LTLIBRARIES += libcomposite-disk.la
libcomposite_disk_la_SOURCES = $(composite_disk_sources) \
	%D%/composite-disk.h \
	%D%/library.c \
	common/bytes.c common/error.c common/fd.c common/random.c common/text.c
nodist_libcomposite_disk_la_SOURCES = $(composite_disk_generated)
libcomposite_disk_la_CFLAGS = $(AM_CFLAGS) # other objects than the static ones
libcomposite_disk_la_LIBADD = $(CRYPTO_LIBS) $(PROTOBUF_C_LIBS) $(ZLIB_LIBS)
libcomposite_disk_la_LDFLAGS = -version-info 0:0:0 $(SANITIZER_CFLAGS) -no-undefined \
	-Wl,-z,relro,-z,now,-z,noexecstack -Wl,--version-script=$(srcdir)/%D%/composite-disk.map
EXTRA_libcomposite_disk_la_DEPENDENCIES = $(srcdir)/%D%/composite-disk.map
EXTRA_DIST += %D%/composite-disk.map
include_HEADERS += %D%/composite-disk.h
pkgconfig_DATA += %D%/composite-disk.pc

composite_disk_libs = libcomposite-disk.a libcommon.a $(CRYPTO_LIBS) $(PROTOBUF_C_LIBS) $(ZLIB_LIBS)

bin_PROGRAMS += programs/composite-disk
programs_composite_disk_SOURCES = \
	%D%/tool/key-option.c %D%/tool/key-option.h \
	%D%/tool/main.c \
	%D%/tool/partition-argument.c %D%/tool/partition-argument.h \
	%D%/tool/tool-call.c \
	%D%/tool/tool-print.c \
	%D%/tool/tool.h \
	%D%/tool/vbmeta-options.c %D%/tool/vbmeta-options.h \
	%D%/tool/verb-apk.c \
	%D%/tool/verb-disk-read.c \
	%D%/tool/verb-disk.c \
	%D%/tool/verb-idsig.c \
	%D%/tool/verb-instance.c \
	%D%/tool/verb-payload-disk.c \
	%D%/tool/verb-payload-metadata.c \
	%D%/tool/verb-payload.c \
	%D%/tool/verb-vbmeta-make.c \
	%D%/tool/verb-vbmeta.c \
	%D%/tool/verbs.c %D%/tool/verbs.h
programs_composite_disk_LDADD = $(composite_disk_libs) $(JSON_LIBS)

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = %D%/completion/composite-disk
