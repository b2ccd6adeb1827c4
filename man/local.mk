# Manual pages.
dist_man_MANS = %D%/composite-disk.1 %D%/vmctl.1
