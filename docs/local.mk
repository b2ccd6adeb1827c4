dist_doc_DATA += %D%/ARCHITECTURE.md %D%/HACKING.md %D%/OPERATIONS.md
EXTRA_DIST += scripts/build scripts/check scripts/check-manuals scripts/demo scripts/demo-timeline \
	scripts/make-api-docs scripts/setup scripts/soak
