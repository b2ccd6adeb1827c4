# Manual pages.
dist_man_MANS = \
	%D%/composite-disk.1 \
	%D%/org.virtualizationd1.5 \
	%D%/virtualizationd.8 \
	%D%/virtualizationd.conf.5 \
	%D%/virtualizationd.vm.5 \
	%D%/vmctl.1 \
	%D%/vmm-launcher.8

# In the source tree, as it is read there; a tarball has one that is new enough.
$(srcdir)/man/org.virtualizationd1.5: $(srcdir)/scripts/make-api-docs $(srcdir)/common/error.h \
		$(srcdir)/common/error.c $(bus_interfaces)
	$(AM_V_GEN)$(srcdir)/scripts/make-api-docs
