# GPT and composite layouts; format code without I/O.
noinst_LIBRARIES += libcomposite-disk.a
libcomposite_disk_a_SOURCES = \
	%D%/composite-layout.c %D%/composite-layout.h \
	%D%/gpt.c %D%/gpt.h \
	%D%/partition-image.c %D%/partition-image.h
