# Debian's packages. The directory is in the tarball, as the package is a native one.
EXTRA_DIST += \
	%D%/changelog \
	%D%/composite-disk.install \
	%D%/control \
	%D%/copyright \
	%D%/libcomposite-disk-dev.install \
	%D%/libcomposite-disk0.install \
	%D%/libvmpayload-dev.install \
	%D%/libvmpayload0.install \
	%D%/not-installed \
	%D%/rules \
	%D%/source/format \
	%D%/virtualizationd-doc.examples \
	%D%/virtualizationd-doc.install \
	%D%/virtualizationd-image-builder.install \
	%D%/virtualizationd-image-builder.lintian-overrides \
	%D%/virtualizationd-microguest.install \
	%D%/virtualizationd-microguest.lintian-overrides \
	%D%/virtualizationd.install \
	%D%/virtualizationd.postinst \
	%D%/virtualizationd.postrm \
	%D%/virtualizationd.prerm \
	%D%/vmctl.install
