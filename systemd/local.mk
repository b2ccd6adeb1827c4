# What systemd's tools read, and what starts the daemon. Files that are installed under another name,
# or name a program's path, are made in the build directory.
dist_systemdsystemunit_DATA = \
	%D%/virtualizationd.slice \
	%D%/virtualizationd-vm.socket
nodist_systemdsystemunit_DATA = \
	%D%/virtualizationd.service \
	%D%/virtualizationd-template.service \
	%D%/virtualizationd-vm@.service
dist_systemduserunit_DATA = \
	%D%/user/virtualizationd.slice \
	%D%/user/virtualizationd-vm.socket
nodist_systemduserunit_DATA = \
	%D%/user/virtualizationd.service \
	%D%/user/virtualizationd-template.service \
	%D%/user/virtualizationd-vm@.service
catalogdir = $(prefix)/lib/systemd/catalog
dist_catalog_DATA = %D%/virtualizationd.catalog
sysusersdir = $(prefix)/lib/sysusers.d
nodist_sysusers_DATA = %D%/sysusers.d/virtualizationd.conf
tmpfilesdir = $(prefix)/lib/tmpfiles.d
nodist_tmpfiles_DATA = %D%/tmpfiles.d/virtualizationd.conf
systemdpresetdir = $(prefix)/lib/systemd/system-preset
nodist_systemdpreset_DATA = %D%/system-preset/90-virtualizationd.preset

# D-Bus starts the daemon by these.
dbussystemservicesdir = $(datadir)/dbus-1/system-services
dist_dbussystemservices_DATA = dbus/system/org.virtualizationd1.service
dbussessionservicesdir = $(datadir)/dbus-1/services
nodist_dbussessionservices_DATA = dbus/session/org.virtualizationd1.service

systemd_made = $(nodist_systemdsystemunit_DATA) $(nodist_systemduserunit_DATA) \
	$(nodist_dbussessionservices_DATA)
systemd_renamed = $(nodist_sysusers_DATA) $(nodist_tmpfiles_DATA) $(nodist_systemdpreset_DATA)
CLEANFILES += $(systemd_made) $(systemd_renamed)
EXTRA_DIST += $(systemd_made:=.in) \
	%D%/virtualizationd.sysusers %D%/virtualizationd.tmpfiles %D%/virtualizationd.preset

$(systemd_made): %: %.in
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) -e 's|@pkglibexecdir[@]|$(pkglibexecdir)|g' $< >$@.tmp && \
		mv $@.tmp $@
%D%/sysusers.d/virtualizationd.conf: %D%/virtualizationd.sysusers
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $< $@
%D%/tmpfiles.d/virtualizationd.conf: %D%/virtualizationd.tmpfiles
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $< $@
%D%/system-preset/90-virtualizationd.preset: %D%/virtualizationd.preset
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $< $@
