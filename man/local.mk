# Manual pages.
dist_man_MANS = %D%/composite-disk.1 %D%/virtualizationd.conf.5 %D%/vmctl.1
