/* SPDX-License-Identifier: Apache-2.0 */
#include "virtualizationd/vm-config.h"

#include <errno.h>
#include <string.h>

#include "common/json-fields.h"
#include "composite-disk/gpt.h"
#include "tests/helpers/test.h"

#define MIB         (UINT64_C(1) << 20)
#define HOST_MEMORY (4096 * MIB)

static VmConfig *parse(const char *json)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VmConfig *config = NULL;

    int r = vm_config_parse(json, HOST_MEMORY, &config, &error);
    if (r < 0)
        print_message("%s\n", error_get_message(&error));
    assert_int_equal(r, 0);
    return config;
}

static void assert_accepted(const char *json)
{
    assert_null(vm_config_free(parse(json)));
}

static void assert_refused(const char *json, ErrorKind kind, const char *beginning)
{
    _cleanup_(error_clear) Error error = ERROR_INIT;
    VmConfig *config = NULL;

    assert_int_equal(vm_config_parse(json, HOST_MEMORY, &config, &error),
                     -error_kind_to_errno(kind));
    assert_null(config);
    assert_int_equal(error.kind, kind);
    if (strncmp(error_get_message(&error), beginning, strlen(beginning)) != 0)
        assert_string_equal(error_get_message(&error), beginning);
}

/* As AVF's vm_config.md and microdroid.json have it, but for keys that name hardware. */
static void avf_documents_are_accepted(void **state)
{
    (void)state;
    _cleanup_(vm_config_freep) VmConfig *config =
        parse("{\n"
              "  \"kernel\": \"/data/local/tmp/kernel\",\n"
              "  \"initrd\": \"/data/local/tmp/ramdisk\",\n"
              "  \"params\": \"rdinit=/bin/init\",\n"
              "  \"disks\": [\n"
              "    {\"partitions\": [\n"
              "      {\"label\": \"boot_a\", \"path\": \"b\"},\n"
              "      {\"label\": \"vbmeta_a\", \"path\": \"v\",\n"
              "       \"writable\": false}],\n"
              "     \"writable\": false},\n"
              "    {\"image\": \"data.img\", \"writable\": true}\n"
              "  ],\n"
              "  \"memory_mib\": 1024,\n"
              "  \"cpu_topology\": \"match_host\",\n"
              "  \"protected\": false,\n"
              "  \"platform_version\": \"~1.0\"\n"
              "}\n");

    assert_null(config->name);
    assert_string_equal(config->kernel, "/data/local/tmp/kernel");
    assert_string_equal(config->initrd, "/data/local/tmp/ramdisk");
    assert_null(config->bootloader);
    assert_string_equal(config->params, "rdinit=/bin/init");
    assert_true(config->memory_bytes == 1024 * MIB);
    assert_int_equal(config->cpu_topology, CPU_TOPOLOGY_MATCH_HOST);
    assert_int_equal(config->n_disks, 2);
    assert_int_equal(config->disks[0].n_partitions, 2);
    assert_null(config->disks[0].image);
    assert_false(config->disks[0].writable);
    assert_string_equal(config->disks[0].partitions[1].label, "vbmeta_a");
    assert_string_equal(config->disks[0].partitions[1].path, "v");
    assert_string_equal(config->disks[1].image, "data.img");
    assert_true(config->disks[1].writable);
    assert_int_equal(config->disks[1].n_partitions, 0);
}

static void least_document_has_the_defaults(void **state)
{
    (void)state;
    _cleanup_(vm_config_freep) VmConfig *config = parse("{\"bootloader\":\"b\"}");

    assert_string_equal(config->bootloader, "b");
    assert_string_equal(config->params, "");
    assert_int_equal(config->n_disks, 0);
    assert_true(config->memory_bytes == VM_CONFIG_MEMORY_DEFAULT);
    assert_int_equal(config->cpu_topology, CPU_TOPOLOGY_ONE_CPU);
    assert_int_equal(config->accelerator, ACCELERATOR_AUTO);
    assert_int_equal(config->payload_timeout_ms, 0);
}

static void own_keys_are_taken(void **state)
{
    (void)state;
    _cleanup_(vm_config_freep) VmConfig *config =
        parse("{\"name\":\"Vm_1.a-b\",\"kernel\":\"k\",\"accelerator\":\"kvm\",\"vsock\":\"user\","
              "\"console_input_device\":\"ttyS0\",\"payload_timeout_ms\":86400000}");

    assert_string_equal(config->name, "Vm_1.a-b");
    assert_int_equal(config->accelerator, ACCELERATOR_KVM);
    assert_int_equal(config->payload_timeout_ms, LAUNCH_SPEC_TIMEOUT_MS_MAX);
}

#define KERNEL(more)          "{\"kernel\":\"k\"," more "}"
#define DISK(more)            KERNEL("\"disks\":[{" more "}]")
#define PARTITIONS(more)      DISK("\"partitions\":[" more "]")
#define PARTITION(name, path) "{\"label\":\"" name "\",\"path\":\"" path "\"}"

static void refused_documents_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *beginning;
    } cases[] = {
        /* no document */
        { "", "the configuration is no JSON" },
        { "{", "the configuration is no JSON" },
        { "{\"kernel\":\"k\"}}", "the configuration is no JSON" },
        { "{\"kernel\":\"k\"} x", "the configuration is no JSON" },
        { "{\"kernel\":\"k\"}{}", "the configuration is no JSON" },
        { "{\"kernel\":\"k\",}", "the configuration is no JSON" },
        { "{\"kernel\":\"\xff\"}", "the configuration is no JSON" },
        { "{\"kernel\":\"k\"}/**/", "the configuration is no JSON" },
        { "[]", "/: expected object, got array" },
        { "null", "/: expected object, got null" },
        { "\"x\"", "/: expected object, got string" },
        /* keys */
        { "{}", "/: a VM has either a 'kernel' or a 'bootloader'" },
        { KERNEL("\"bootloader\":\"b\""), "/: a VM has either a 'kernel' or a 'bootloader'" },
        { "{\"bootloader\":\"b\",\"initrd\":\"i\"}", "/initrd: an 'initrd' goes with a 'kernel'" },
        { KERNEL("\"Kernel\":1"), "/Kernel: unknown key" },
        { KERNEL("\"\":1"), "/: unknown key" },
        { KERNEL("\"kernel\":\"k\""), "/kernel: the key is there twice" },
        { "{\"k\\u0065rnel\":\"k\"}", "/k\\x5cu0065rnel: unknown key" },
        { "{'kernel':\"k\"}", "/: strings stand in double quotes" },
        { DISK("\"image\":\"i\",\"read_only\":true"), "/disks/0/read_only: unknown key" },
        { PARTITIONS(PARTITION("a", "p") ",{\"uuid\":1}"),
          "/disks/0/partitions/1/uuid: unknown key" },
        /* types */
        { "{\"kernel\":1}", "/kernel: expected string, got int" },
        { "{\"kernel\":null}", "/kernel: expected string, got null" },
        { KERNEL("\"memory_mib\":\"12abc\""), "/memory_mib: expected int, got string" },
        { KERNEL("\"memory_mib\":1.0"), "/memory_mib: expected int, got double" },
        { KERNEL("\"protected\":\"false\""), "/protected: expected boolean, got string" },
        { KERNEL("\"disks\":{}"), "/disks: expected array, got object" },
        { KERNEL("\"disks\":[[]]"), "/disks/0: expected object, got array" },
        { DISK("\"partitions\":[1]"), "/disks/0/partitions/0: expected object, got int" },
        { DISK("\"image\":\"i\",\"writable\":1"), "/disks/0/writable: expected boolean, got int" },
        /* texts */
        { "{\"kernel\":\"\"}", "/kernel: the text is empty" },
        { "{\"kernel\":\"a\\nb\"}", "/kernel: the text has a control character" },
        { "{\"kernel\":\"a\\u0000b\"}", "/kernel: the text has a control character" },
        { KERNEL("\"params\":\"a\\u007f\""), "/params: the text has a control character" },
        { KERNEL("\"name\":\"\""), "/name: the text is empty" },
        { KERNEL("\"name\":\".a\""), "/name: a name has letters" },
        { KERNEL("\"name\":\"-a\""), "/name: a name has letters" },
        { KERNEL("\"name\":\"a/b\""), "/name: a name has letters" },
        { KERNEL("\"name\":\"\xc3\xa4\""), "/name: a name has letters" },
        { KERNEL("\"name\":\"a\\u0000\""), "/name: the text has a control character" },
        { KERNEL("\"params\":\"\xc0\xb1\""), "/params: the text has a control character or " },
        /* choices, which must not end at a NUL either */
        { KERNEL("\"cpu_topology\":\"two_cpus\""),
          "/cpu_topology: 'two_cpus' is none of 'one_cpu', 'match_host'" },
        { KERNEL("\"cpu_topology\":\"one_cpu\\u0000\""),
          "/cpu_topology: the text has a control character" },
        { KERNEL("\"accelerator\":\"\""), "/accelerator: '' is none of 'auto', 'kvm', 'tcg'" },
        { KERNEL("\"accelerator\":\"\\u001b\""), "/accelerator: the text has a control character" },
        { KERNEL("\"accelerator\":\"0123456789012345678901234567890123456789012345678901234567890"
                 "123456789\""),
          "/accelerator: '012345678901234567890123456789012345678901234567890123456789012' is none" },
        { KERNEL("\"vsock\":\"tcp\""), "/vsock: 'tcp' is none of 'user', 'kernel'" },
        { KERNEL("\"platform_version\":\"~1.0\\u0000\""),
          "/platform_version: the text has a control character" },
        { KERNEL("\"console_input_device\":\"ttyS1\""),
          "/console_input_device: 'ttyS1' is none of 'ttyS0', 'hvc0'" },
        /* numbers */
        { KERNEL("\"memory_mib\":0"), "/memory_mib: 0 is out of range: 1 to 2147483647" },
        { KERNEL("\"memory_mib\":-1"), "/memory_mib: -1 is out of range" },
        { KERNEL("\"memory_mib\":2147483648"), "/memory_mib: 2147483648 is out of range" },
        { KERNEL("\"memory_mib\":99999999999999999999999"), "/memory_mib: " },
        { KERNEL("\"memory_mib\":4097"),
          "/memory_mib: 4097 MiB are more than this host has: at most 4096" },
        { KERNEL("\"payload_timeout_ms\":0"),
          "/payload_timeout_ms: 0 is out of range: 1 to 86400000" },
        { KERNEL("\"payload_timeout_ms\":86400001"), "/payload_timeout_ms: 86400001 is out of" },
        /* disks */
        { DISK(""), "/disks/0: a disk has either an 'image' or 'partitions'" },
        { DISK("\"image\":\"i\",\"partitions\":[" PARTITION("a", "p") "]"),
          "/disks/0: a disk has either an 'image' or 'partitions'" },
        { DISK("\"partitions\":[]"), "/disks/0: a disk has either an 'image' or 'partitions'" },
        { DISK("\"image\":\"i\"},{\"writable\":true"), "/disks/1: a disk has either" },
        { PARTITIONS("{\"path\":\"p\"}"), "/disks/0/partitions: partition 0 has no 'label'" },
        { PARTITIONS(PARTITION("a", "p") ",{\"label\":\"b\"}"),
          "/disks/0/partitions: partition 1 has no 'path'" },
        { PARTITIONS(PARTITION("a", "p") "," PARTITION("a", "q")),
          "/disks/0/partitions: the label 'a' is there twice" },
        { PARTITIONS(PARTITION("", "p")), "/disks/0/partitions/0/label: the text is empty" },
        { PARTITIONS(PARTITION("1234567890123456789012345678901234567", "p")),
          "/disks/0/partitions: the label '1234567890123456789012345678901234567' has more than 36 "
          "UTF-16 units" },
        { "{\"disks\":[{\"partitions\":[[[[[[[]]]]]]]}]}",
          "the configuration is no JSON: nesting" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_refused(cases[i].json, ERROR_INVALID_CONFIG, cases[i].beginning);
}

static void what_avf_has_and_this_host_does_not_is_refused_as_such(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *beginning;
    } cases[] = {
        { KERNEL("\"protected\":true"), "/protected: this host has no hypervisor" },
        { KERNEL("\"vsock\":\"kernel\""), "/vsock: this version connects guests" },
        { KERNEL("\"console_input_device\":\"hvc0\""), "/console_input_device: this version's" },
        { KERNEL("\"platform_version\":\"2.0\""),
          "/platform_version: this platform has version 1.0.0, which does not match '2.0'" },
        { DISK("\"partitions\":[{\"label\":\"a\",\"path\":\"p\",\"writable\":true}]"),
          "/disks/0: partition 'a' is writable on a read-only disk" },
        { DISK("\"writable\":true,\"partitions\":[" PARTITION("a", "p") "]"),
          "/disks/0: partition 'a' is read-only on a writable disk" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        assert_refused(cases[i].json, ERROR_NOT_SUPPORTED, cases[i].beginning);
}

/* KERNEL with a text of @length x in place of "%s". */
static char *with_text(const char *format, size_t length)
{
    _cleanup_free_ char *text = calloc(1, length + 1);
    char *json = NULL;

    assert_non_null(text);
    memset(text, 'x', length);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the formats stand below */
    assert_true(asprintf(&json, format, text) > 0);
#pragma GCC diagnostic pop
    return json;
}

static void texts_are_taken_up_to_their_maximum(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        size_t max;
        const char *beginning;
    } cases[] = {
        { KERNEL("\"name\":\"%s\""), VM_CONFIG_NAME_MAX, "/name: the text has 65 bytes" },
        { "{\"kernel\":\"%s\"}", VM_CONFIG_FILE_KEY_MAX, "/kernel: the text has 4096 bytes" },
        { "{\"bootloader\":\"%s\"}", VM_CONFIG_FILE_KEY_MAX, "/bootloader: the text has 4096 b" },
        { KERNEL("\"initrd\":\"%s\""), VM_CONFIG_FILE_KEY_MAX, "/initrd: the text has 4096 bytes" },
        { KERNEL("\"params\":\"%s\""), LAUNCH_SPEC_PARAMS_MAX, "/params: the text has 2048 bytes" },
        { DISK("\"image\":\"%s\""), VM_CONFIG_FILE_KEY_MAX, "/disks/0/image: the text has 4096" },
        { PARTITIONS(PARTITION("a", "%s")), VM_CONFIG_FILE_KEY_MAX,
          "/disks/0/partitions/0/path: the text has 4096 bytes" },
        { PARTITIONS(PARTITION("%s", "p")), GPT_LABEL_UNITS_MAX, "/disks/0/partitions: the label" },
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_free_ char *most = with_text(cases[i].format, cases[i].max);
        _cleanup_free_ char *more = with_text(cases[i].format, cases[i].max + 1);

        assert_accepted(most);
        assert_refused(more, ERROR_INVALID_CONFIG, cases[i].beginning);
    }
}

static void memory_is_taken_up_to_the_hosts(void **state)
{
    (void)state;
    VmConfig *config = parse(KERNEL("\"memory_mib\":4096"));

    assert_true(config->memory_bytes == HOST_MEMORY);
    vm_config_free(config);
    assert_accepted(KERNEL("\"memory_mib\":1"));
    /* What a document says nothing about must fit, too. */
    _cleanup_(error_clear) Error error = ERROR_INIT;
    config = NULL;
    assert_int_equal(vm_config_parse("{\"kernel\":\"k\"}", 128 * MIB, &config, &error), -EINVAL);
    assert_null(config);
}

/* A document of @n_disks disks, the first of which has @n_partitions. */
static char *with_disks(unsigned n_disks, unsigned n_partitions)
{
    char *json = NULL;
    size_t size;
    FILE *stream = open_memstream(&json, &size);

    assert_non_null(stream);
    fputs("{\"kernel\":\"k\",\"disks\":[{\"partitions\":[", stream);
    for (unsigned i = 0; i < n_partitions; i++)
        fprintf(stream, "%s{\"label\":\"l%u\",\"path\":\"p\"}", i > 0 ? "," : "", i);
    fputs("]}", stream);
    for (unsigned i = 1; i < n_disks; i++)
        fputs(",{\"image\":\"i\"}", stream);
    fputs("]}", stream);
    assert_int_equal(fclose(stream), 0);
    return json;
}

static void disks_and_partitions_are_taken_up_to_their_maximum(void **state)
{
    (void)state;
    _cleanup_free_ char *most = with_disks(LAUNCH_SPEC_DISKS_MAX, GPT_PARTITIONS_MAX);
    _cleanup_free_ char *disks = with_disks(LAUNCH_SPEC_DISKS_MAX + 1, 1);
    _cleanup_free_ char *partitions = with_disks(1, GPT_PARTITIONS_MAX + 1);

    assert_accepted(most);
    assert_refused(disks, ERROR_INVALID_CONFIG, "/disks: 17 elements, at most 16 are taken");
    assert_refused(partitions, ERROR_INVALID_CONFIG,
                   "/disks/0/partitions: 129 elements, at most 128 are taken");
}

static void document_is_taken_up_to_64_kib(void **state)
{
    (void)state;
    _cleanup_free_ char *json = calloc(1, JSON_FIELDS_SIZE_MAX + 2);

    assert_non_null(json);
    (void)snprintf(json, JSON_FIELDS_SIZE_MAX, "{\"kernel\":\"k\"}");
    memset(json + strlen(json), ' ', JSON_FIELDS_SIZE_MAX - strlen(json));
    assert_accepted(json);
    json[JSON_FIELDS_SIZE_MAX] = ' ';
    assert_refused(json, ERROR_INVALID_CONFIG, "the configuration has more than 65536 bytes");
}

static void keys_are_taken_up_to_2048(void **state)
{
    (void)state;

    /* Only unknown keys come to so many: which refusal comes first tells. */
    for (unsigned n_keys = JSON_FIELDS_KEYS_MAX; n_keys <= JSON_FIELDS_KEYS_MAX + 1; n_keys++) {
        _cleanup_free_ char *json = NULL;
        size_t size;
        FILE *stream = open_memstream(&json, &size);

        assert_non_null(stream);
        for (unsigned i = 0; i < n_keys; i++)
            fprintf(stream, "%c\"k%u\":1", i > 0 ? ',' : '{', i);
        fputs("}", stream);
        assert_int_equal(fclose(stream), 0);
        assert_refused(json, ERROR_INVALID_CONFIG,
                       n_keys > JSON_FIELDS_KEYS_MAX ? "/k2048: too many keys"
                                                     : "/k0: unknown key");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avf_documents_are_accepted),
        cmocka_unit_test(least_document_has_the_defaults),
        cmocka_unit_test(own_keys_are_taken),
        cmocka_unit_test(refused_documents_name_the_place),
        cmocka_unit_test(what_avf_has_and_this_host_does_not_is_refused_as_such),
        cmocka_unit_test(texts_are_taken_up_to_their_maximum),
        cmocka_unit_test(memory_is_taken_up_to_the_hosts),
        cmocka_unit_test(disks_and_partitions_are_taken_up_to_their_maximum),
        cmocka_unit_test(document_is_taken_up_to_64_kib),
        cmocka_unit_test(keys_are_taken_up_to_2048),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
