dist_doc_DATA += %D%/API.md %D%/ARCHITECTURE.md %D%/CONFIGURATION.md %D%/HACKING.md %D%/OPERATIONS.md
EXTRA_DIST += scripts/build scripts/check scripts/demo scripts/demo-timeline scripts/make-api-docs \
	scripts/setup scripts/soak

# In the source tree, as it is read there; a tarball has one that is new enough.
$(srcdir)/docs/API.md: $(srcdir)/scripts/make-api-docs $(srcdir)/common/error.h \
		$(srcdir)/common/error.c $(bus_interfaces)
	$(AM_V_GEN)$(srcdir)/scripts/make-api-docs
all-local: $(srcdir)/docs/API.md
