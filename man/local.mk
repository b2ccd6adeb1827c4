# Manual pages.
dist_man_MANS = %D%/vmctl.1
