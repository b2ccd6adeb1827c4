/* SPDX-License-Identifier: Apache-2.0 */
#include "common/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/fd.h"

/* Whether the first processor has one of these flags. */
static bool processor_has_flag(const char *const *flags, size_t n_flags)
{
    _cleanup_fclose_ FILE *file = fopen("/proc/cpuinfo", "re");
    char line[8192];

    if (!file)
        return false;
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, "flags", strlen("flags")) != 0)
            continue;
        for (size_t i = 0; i < n_flags; i++) {
            if (strstr(line, flags[i]))
                return true;
        }
        return false;
    }
    return false;
}

/* Whether it has a virtualization extension. A nested host may offer a /dev/kvm without one, by
 * paravirtualization: stock kernels hang in its guests. */
static bool processor_has_extension(void)
{
    static const char *const flags[] = { " vmx", " svm" };

    return processor_has_flag(flags, ELEMENTS_OF(flags));
}

bool kvm_is_nested(void)
{
    static const char *const flags[] = { " hypervisor" };

    return processor_has_flag(flags, ELEMENTS_OF(flags));
}

bool kvm_is_usable(const char **ret_reason)
{
    _cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        *ret_reason = errno == ENOENT || errno == ENXIO ? "there is no /dev/kvm"
                                                        : "/dev/kvm cannot be opened";
    else if (ioctl(fd, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION)
        *ret_reason = "/dev/kvm speaks another version of its API";
    else if (!processor_has_extension())
        *ret_reason = "/dev/kvm is there, but the processor has neither VMX nor SVM";
    else {
        *ret_reason = "/dev/kvm and the processor's extension are there";
        return true;
    }
    return false;
}
