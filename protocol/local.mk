# Messages between the parts, encoded and decoded without I/O.
protocol_guest_sources = \
	%D%/guest-message.c %D%/guest-message.h

protocol_exec_sources = \
	%D%/exec-message.c %D%/exec-message.h

noinst_LIBRARIES += libprotocol.a
libprotocol_a_SOURCES = \
	$(protocol_guest_sources) $(protocol_exec_sources) \
	%D%/broker-message.c %D%/broker-message.h \
	%D%/event-history.c %D%/event-history.h \
	%D%/console.c %D%/console.h \
	%D%/notify-message.c %D%/notify-message.h \
	%D%/launch-spec.c %D%/launch-spec.h \
	%D%/stop-plan.c %D%/stop-plan.h \
	%D%/supervisor-message.c %D%/supervisor-message.h \
	%D%/vm-state.c %D%/vm-state.h
