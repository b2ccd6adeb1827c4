dist_doc_DATA += %D%/ARCHITECTURE.md %D%/CONFIGURATION.md %D%/HACKING.md
EXTRA_DIST += scripts/build scripts/check scripts/demo scripts/demo-timeline scripts/setup \
	scripts/soak
