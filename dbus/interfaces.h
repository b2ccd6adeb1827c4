/* SPDX-License-Identifier: Apache-2.0 */
/* The <interface> elements of the installed interface XML, compiled in for Introspect. */
#pragma once

#define BUS_NAME              "org.virtualizationd1"
#define BUS_PATH              "/org/virtualizationd1"
#define BUS_VM_PATH_PREFIX    "/org/virtualizationd1/vm/"
#define BUS_MANAGER_INTERFACE "org.virtualizationd1.Manager"
#define BUS_VM_INTERFACE      "org.virtualizationd1.VirtualMachine"

extern const char bus_manager_xml[];
extern const char bus_vm_xml[];
