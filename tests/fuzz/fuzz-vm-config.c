/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of clients, and the list of files that they name. The sentence of a refusal goes
 * to the bus, so it must be clean text. */
#include <assert.h>
#include <string.h>

#include "common/text.h"
#include "tests/fuzz/fuzz.h"
#include "virtualizationd/vm-config.h"
#include "virtualizationd/vm-files.h"

#define HOST_MEMORY (UINT64_C(16) << 30)

static void check_sentence(const Error *error)
{
    const char *sentence = error_get_message(error);

    assert(error->kind != ERROR_NONE);
    assert(text_is_utf8(sentence, strlen(sentence)) && text_has_no_control(sentence));
}

static void check_app(const VmAppConfig *app)
{
    assert(app->apk && app->idsig && app->instance_image && app->os && app->has_instance_id);
    assert(!app->config_path != !app->binary);
    assert(app->debug_level < DEBUG_LEVEL_MAX);
    for (size_t i = 0; i < app->n_extra_apks; i++)
        assert(app->extra_apks[i].apk && app->extra_apks[i].idsig);
    for (size_t i = 0; i < app->n_apexes; i++)
        assert(app->apexes[i].name && app->apexes[i].image);
}

static void check_config(const VmConfig *config)
{
    if (config->app) {
        assert(!config->kernel && !config->bootloader && !config->initrd && !config->params &&
               config->n_disks == 0 && config->memory_bytes <= HOST_MEMORY);
        check_app(config->app);
        return;
    }
    assert(!config->kernel != !config->bootloader);
    assert(strlen(config->params) <= LAUNCH_SPEC_PARAMS_MAX);
    assert(config->memory_bytes >= LAUNCH_SPEC_MEMORY_MIN && config->memory_bytes <= HOST_MEMORY);
    assert(config->n_disks <= LAUNCH_SPEC_DISKS_MAX);
    assert(config->accelerator < ACCELERATOR_MAX && config->cpu_topology < CPU_TOPOLOGY_MAX);
    for (size_t i = 0; i < config->n_disks; i++) {
        const VmConfigDisk *disk = &config->disks[i];

        assert(!disk->image == (disk->n_partitions > 0));
        for (size_t j = 0; j < disk->n_partitions; j++)
            assert(disk->partitions[j].label && disk->partitions[j].path);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *json = strndup((const char *)data, size);
    _cleanup_(vm_config_freep) VmConfig *config = NULL;
    _cleanup_(vm_files_deinit) VmFiles files = { 0 };
    _cleanup_(error_clear) Error error = ERROR_INIT;

    assert(json);
    if (vm_config_parse(json, HOST_MEMORY, &config, &error) < 0) {
        assert(!config);
        check_sentence(&error);
        return 0;
    }

    check_config(config);
    if (vm_files_init(&files, config, &error) < 0)
        check_sentence(&error);
    else
        assert(files.n_files >= 4);
    return 0;
}
