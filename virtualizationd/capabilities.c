/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/capabilities.h"

#include <string.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "config.h"
#include "virtualizationd/host-checks.h"
#include "virtualizationd/os-list.h"

typedef enum FeatureState {
    FEATURE_ABSENT,
    FEATURE_THERE,
    FEATURE_NEEDS_KVM,
    FEATURE_NEEDS_SYSTEM, /* for guests, that is */
} FeatureState;

/* What a program may want to know before it asks for it; the manual is the XML of the interface. */
static const struct {
    const char *name;
    FeatureState state;
} features[] = {
    { "app-configurations", FEATURE_NEEDS_SYSTEM },
    { "balloon", FEATURE_THERE },
    { "composite-disks", FEATURE_THERE },
    { "device-assignment", FEATURE_ABSENT },
    { "instance-ids", FEATURE_THERE },
    { "kvm", FEATURE_NEEDS_KVM },
    { "network", FEATURE_ABSENT },
    { "protected-vms", FEATURE_ABSENT },
    { "remote-attestation", FEATURE_ABSENT },
    { "vsock-capture", FEATURE_THERE },
    { "vsock-listen", FEATURE_THERE },
};

static bool has_system(const Daemon *daemon)
{
    size_t n_names = 0;
    char **names = NULL;

    bool has = os_list_read(daemon->options->os_dirs, &names, &n_names) >= 0 && n_names > 0;
    os_list_free(names);
    return has;
}

static bool has_feature(const Daemon *daemon, FeatureState state)
{
    switch (state) {
    case FEATURE_ABSENT:
        return false;
    case FEATURE_THERE:
        return true;
    case FEATURE_NEEDS_KVM:
        return daemon->kvm_usable;
    case FEATURE_NEEDS_SYSTEM:
        return has_system(daemon);
    }
    return false;
}

bool capabilities_has_feature(const Daemon *daemon, const char *name)
{
    for (size_t i = 0; i < ELEMENTS_OF(features); i++) {
        if (strcmp(features[i].name, name) == 0)
            return has_feature(daemon, features[i].state);
    }
    return false;
}

bool capabilities_append_layers(const Daemon *daemon, BusDict *dict)
{
    static const char *const always[] = { "no-capabilities", "no-new-privileges",
                                          "empty-root",      "namespaces",
                                          "limits",          "seccomp",
                                          "qemu-sandbox" };
    static const struct {
        CgroupController controller;
        const char *name;
    } limits[] = {
        { CGROUP_MEMORY, "cgroup-memory" },
        { CGROUP_PIDS, "cgroup-pids" },
        { CGROUP_CPU, "cgroup-cpu" },
    };
    const char *in_force[ELEMENTS_OF(always) + ELEMENTS_OF(limits) + 3];
    const char *missing[ELEMENTS_OF(limits) + 4];
    size_t n_in_force = ELEMENTS_OF(always), n_missing = 0;
    bool user = daemon->options->user && geteuid() != 0;

    memcpy(in_force, always, sizeof(always));
    if (user)
        missing[n_missing++] = "own-uid";
    else
        in_force[n_in_force++] = "own-uid";
    if (daemon->has_landlock)
        in_force[n_in_force++] = "landlock";
    else
        missing[n_missing++] = "landlock";
    for (size_t i = 0; i < ELEMENTS_OF(limits); i++) {
        if (!user && (daemon->cgroup_controllers & limits[i].controller))
            in_force[n_in_force++] = limits[i].name;
        else
            missing[n_missing++] = limits[i].name;
    }
    missing[n_missing++] = "cgroup-io"; /* whose share is fair, but without a limit */
    in_force[n_in_force] = NULL;
    missing[n_missing] = NULL;
    return bus_dict_add_strings(dict, "sandbox-layers", in_force) &&
           bus_dict_add_strings(dict, "sandbox-missing", missing);
}

static bool append_features(const Daemon *daemon, BusDict *dict)
{
    const char *enabled[ELEMENTS_OF(features) + 1];
    size_t n_enabled = 0;

    for (size_t i = 0; i < ELEMENTS_OF(features); i++) {
        if (capabilities_has_feature(daemon, features[i].name))
            enabled[n_enabled++] = features[i].name;
    }
    enabled[n_enabled] = NULL;
    return bus_dict_add_strings(dict, "features", enabled);
}

bool capabilities_append(const Daemon *daemon, DBusMessageIter *arguments)
{
    static const char *const back_ends[] = { "qemu", NULL };
    static const char *const transports[] = { "user", NULL };
    BusDict dict;

    return bus_dict_open(&dict, arguments) &&
           bus_dict_add_string(&dict, "version", PACKAGE_VERSION) &&
           bus_dict_add_bool(&dict, "protected-vms", false) &&
           bus_dict_add_bool(&dict, "non-protected-vms", daemon->facts.has_vmm) &&
           bus_dict_add_string(&dict, "accelerator", daemon->kvm_usable ? "kvm" : "tcg") &&
           bus_dict_add_string(&dict, "accelerator-reason", daemon->kvm_reason) &&
           bus_dict_add_strings(&dict, "vmm-back-ends", back_ends) &&
           bus_dict_add_string(&dict, "hypervisor", daemon->kvm_usable ? "kvm" : "") &&
           bus_dict_add_string(&dict, "vsock", transports[0]) &&
           bus_dict_add_strings(&dict, "vsock-transports", transports) &&
           bus_dict_add_u64(&dict, "memory", daemon->host_memory_bytes) &&
           bus_dict_add_u32(&dict, "cpus", daemon->host_cpus) &&
           capabilities_append_layers(daemon, &dict) && append_features(daemon, &dict) &&
           host_checks_append(daemon, &dict) && bus_dict_close(&dict);
}
