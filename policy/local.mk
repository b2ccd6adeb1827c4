# Who may do what on the system bus.
dbuspolicydir = $(datadir)/dbus-1/system.d
dist_dbuspolicy_DATA = %D%/org.virtualizationd1.conf

polkitactionsdir = $(datadir)/polkit-1/actions
dist_polkitactions_DATA = %D%/org.virtualizationd1.policy

include policy/seccomp/local.mk
