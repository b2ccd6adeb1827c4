# What systemd's tools read.
catalogdir = $(prefix)/lib/systemd/catalog
dist_catalog_DATA = systemd/virtualizationd.catalog
sysusersdir = $(prefix)/lib/sysusers.d
install-data-hook:
	$(MKDIR_P) $(DESTDIR)$(sysusersdir)
	$(INSTALL_DATA) $(srcdir)/systemd/virtualizationd.sysusers $(DESTDIR)$(sysusersdir)/virtualizationd.conf

uninstall-hook:
	rm -f $(DESTDIR)$(sysusersdir)/virtualizationd.conf

EXTRA_DIST += systemd/virtualizationd.sysusers
