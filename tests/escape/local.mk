# A VMM that was taken over tries to get out of the box; see test-escape.py. As root, by
# "make check-escape", and not by "make check".
EXTRA_PROGRAMS += programs/escape/stand-in
programs_escape_stand_in_SOURCES = \
	%D%/attempts-calls.c \
	%D%/attempts-execute.c \
	%D%/attempts-files.c \
	%D%/attempts-network.c \
	%D%/attempts-processes.c \
	%D%/attempts-resources.c \
	%D%/hostile.c \
	%D%/look.c \
	%D%/stand-in.c %D%/stand-in.h
programs_escape_stand_in_CPPFLAGS = $(guest_cppflags)
programs_escape_stand_in_CFLAGS = $(guest_cflags)
programs_escape_stand_in_LDFLAGS = $(guest_ldflags)
programs_escape_stand_in_LDADD =

escape_tests = %D%/test-escape.py
EXTRA_DIST += $(escape_tests) %D%/canaries.py %D%/escape_rows.py
