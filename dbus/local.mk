# The bus interfaces (the contract), and libdbus on the event loop.
bus_interfaces = \
	%D%/org.virtualizationd1.Manager.xml \
	%D%/org.virtualizationd1.VirtualMachine.xml

dbusinterfacesdir = $(datadir)/dbus-1/interfaces
dist_dbusinterfaces_DATA = $(bus_interfaces)

# The <interface> element of an XML file as a C string; comments stay out of the answer.
xml_to_string = $(SED) -n -e '/<interface /,/<\/interface>/p' $(1) | \
	$(SED) -e ':a' -e 's/<!--.*-->//' -e '/<!--/{N;ba' -e '}' -e '/^ *$$/d' \
		-e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/'

dbus/interfaces.c: $(bus_interfaces)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && { \
	echo '#include "dbus/interfaces.h"'; \
	echo 'const char bus_manager_xml[] ='; \
	$(call xml_to_string,$(srcdir)/dbus/org.virtualizationd1.Manager.xml); echo '    ;'; \
	echo 'const char bus_vm_xml[] ='; \
	$(call xml_to_string,$(srcdir)/dbus/org.virtualizationd1.VirtualMachine.xml); echo '    ;'; \
	} > $@.new && mv $@.new $@

CLEANFILES += dbus/interfaces.c

noinst_LIBRARIES += libbus.a
libbus_a_SOURCES = \
	%D%/bus-loop.c %D%/bus-loop.h \
	%D%/bus-query.c %D%/bus-query.h \
	%D%/bus-service.c %D%/bus-service.h \
	%D%/interfaces.h
nodist_libbus_a_SOURCES = dbus/interfaces.c
