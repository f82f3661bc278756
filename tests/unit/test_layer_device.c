/* SPDX-License-Identifier: MIT */
/*
 * What the Vulkan layer shows of the GPUs below it, and with which priority it makes queues: over a
 * driver of three made-up GPUs that notes what it is asked.
 */
#include "mediator/base/util.h"
#include "mediator/layer/device.h"
#include "mediator/layer/gpu_choice.h"
#include "mediator/layer/priority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the driver ----------------------------------------------------------------------------- */

static int table; /* what the loader would put into dispatchable handles */

static struct gpu {
    void *table;
    bool is_cpu, tells_drm, tells_pci;
    unsigned minor, bus;
    uint8_t uuid; /* all bytes of it */
} gpus[] = {
    {&table, false, true, true, 128, 0x3b, 0x11},
    {&table, false, true, true, 129, 0xaf, 0x22},
    {&table, true, false, false, 0, 0, 0x33},
};
static struct {
    void *table;
} the_instance = {&table};

static struct {
    bool one_more; /* between two calls another GPU has come */
    bool has_extension;
    VkResult result;               /* of vkCreateDevice, unless all queues have medium priority */
    unsigned n_created;            /* calls of it */
    VkQueueGlobalPriority seen[4]; /* the last call's; 0 = none said */
} driver;

static VkResult VKAPI_CALL enumerate(VkInstance instance, uint32_t *count, VkPhysicalDevice *ret)
{
    uint32_t there = driver.one_more && !ret ? ARRAY_SIZE(gpus) - 1 : ARRAY_SIZE(gpus);
    uint32_t n = ret ? MIN(*count, there) : there;

    for (uint32_t i = 0; i < n && ret; i++)
        ret[i] = (VkPhysicalDevice)&gpus[i];
    if (ret)
        driver.one_more = false;
    *count = n;
    return ret && n < there ? VK_INCOMPLETE : VK_SUCCESS;
}

/* The first two can be used as one. */
static VkResult VKAPI_CALL enumerate_groups(VkInstance instance, uint32_t *count,
                                            VkPhysicalDeviceGroupProperties *ret)
{
    uint32_t n = ret ? MIN(*count, 2u) : 2;

    for (uint32_t i = 0; i < n && ret; i++) {
        assert_int_equal(ret[i].sType, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_GROUP_PROPERTIES);
        ret[i].physicalDeviceCount = i == 0 ? 2 : 1;
        ret[i].physicalDevices[0] = (VkPhysicalDevice)&gpus[i == 0 ? 0 : 2];
        ret[i].physicalDevices[1] = (VkPhysicalDevice)&gpus[1];
        ret[i].subsetAllocation = i == 0;
    }
    *count = n;
    return ret && n < 2 ? VK_INCOMPLETE : VK_SUCCESS;
}

static void VKAPI_CALL get_properties(VkPhysicalDevice handle, VkPhysicalDeviceProperties2 *ret)
{
    const struct gpu *gpu = (const struct gpu *)handle;

    ret->properties.deviceType =
        gpu->is_cpu ? VK_PHYSICAL_DEVICE_TYPE_CPU : VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    for (VkBaseOutStructure *s = ret->pNext; s; s = s->pNext) {
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES) {
            memset(((VkPhysicalDeviceIDProperties *)s)->deviceUUID, gpu->uuid, VK_UUID_SIZE);
        } else if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRM_PROPERTIES_EXT &&
                   gpu->tells_drm) {
            VkPhysicalDeviceDrmPropertiesEXT *drm = (VkPhysicalDeviceDrmPropertiesEXT *)s;
            drm->hasRender = VK_TRUE;
            drm->renderMajor = 226;
            drm->renderMinor = gpu->minor;
        } else if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT &&
                   gpu->tells_pci) {
            VkPhysicalDevicePCIBusInfoPropertiesEXT *pci =
                (VkPhysicalDevicePCIBusInfoPropertiesEXT *)s;
            pci->pciDomain = 1;
            pci->pciBus = gpu->bus;
            pci->pciDevice = 2;
            pci->pciFunction = 3;
        }
    }
}

static VkResult VKAPI_CALL create_device(VkPhysicalDevice gpu, const VkDeviceCreateInfo *info,
                                         const VkAllocationCallbacks *allocator, VkDevice *ret)
{
    VkResult result = VK_SUCCESS;

    driver.n_created++;
    for (uint32_t i = 0; i < info->queueCreateInfoCount; i++) {
        const VkDeviceQueueGlobalPriorityCreateInfo *p =
            dispatch_in_chain(info->pQueueCreateInfos[i].pNext,
                              VK_STRUCTURE_TYPE_DEVICE_QUEUE_GLOBAL_PRIORITY_CREATE_INFO);
        driver.seen[i] = p ? p->globalPriority : 0;
        if (p && p->globalPriority > VK_QUEUE_GLOBAL_PRIORITY_MEDIUM)
            result = driver.result;
    }
    *ret = (VkDevice)&the_instance;
    return result;
}

/* ---- the layer's side ----------------------------------------------------------------------- */

static struct layer_instance instance;

static int set_up(void **state)
{
    memset(&driver, 0, sizeof(driver));
    driver.has_extension = true;
    instance = (struct layer_instance){
        .handle = (VkInstance)&the_instance,
        .table = {.EnumeratePhysicalDevices = enumerate,
                  .EnumeratePhysicalDeviceGroups = enumerate_groups,
                  .GetPhysicalDeviceProperties2 = get_properties},
    };
    return handle_map_put(&dispatch_map, dispatch_key(&the_instance), DISPATCH_HANDLE(&instance));
}

static int tear_down(void **state)
{
    uint64_t value;
    handle_map_take(&dispatch_map, dispatch_key(&the_instance), &value);
    for (size_t i = 0; i < 2; i++)
        gpus[i].tells_drm = gpus[i].tells_pci = true;
    return 0;
}

/* What a guest sees, as bits. */
static unsigned seen(const char *text)
{
    VkPhysicalDevice shown[8];
    uint32_t count = 0, room = ARRAY_SIZE(shown);
    unsigned bits = 0;

    assert_true(gpu_choice_parse(text, &instance.choice));
    assert_int_equal(gpu_choice_enumerate(instance.handle, &count, NULL), VK_SUCCESS);
    assert_int_equal(gpu_choice_enumerate(instance.handle, &room, shown), VK_SUCCESS);
    assert_int_equal(room, count);
    for (uint32_t i = 0; i < count; i++)
        bits |= 1u << ((const struct gpu *)shown[i] - gpus);
    return bits;
}

/* ---- GPUs ----------------------------------------------------------------------------------- */

#define UUID_2 "uuid:22222222222222222222222222222222"

static void test_the_chosen_one(void **state)
{
    assert_int_equal(seen(NULL), 7);
    assert_int_equal(seen("cpu"), 4);
    assert_int_equal(seen("drm:226:128"), 1);
    assert_int_equal(seen("drm:226:129"), 2);
    assert_int_equal(seen("drm:226:130"), 0);
    assert_int_equal(seen("drm:227:129"), 0);
    assert_int_equal(seen("pci:1:3b:2.3"), 1);
    assert_int_equal(seen("pci:0001:af:02.3"), 2);
    assert_int_equal(seen("pci:0:af:2.3"), 0);
    assert_int_equal(seen("pci:1:af:2.2"), 0);
    assert_int_equal(seen(UUID_2), 2);
    assert_int_equal(seen("uuid:33333333333333333333333333333333"), 0); /* which is the CPU */
}

/* The node is believed before the place, and that before the UUID; each only if both know it. */
static void test_by_what_both_know(void **state)
{
    assert_int_equal(seen("drm:226:128,pci:1:af:2.3," UUID_2), 1);
    gpus[0].tells_drm = gpus[1].tells_drm = false;
    assert_int_equal(seen("drm:226:128"), 0);
    assert_int_equal(seen("drm:226:128,pci:1:af:2.3"), 2);
    gpus[0].tells_pci = gpus[1].tells_pci = false;
    assert_int_equal(seen("drm:226:128,pci:1:3b:2.3"), 0);
    assert_int_equal(seen("drm:226:128,pci:1:3b:2.3," UUID_2), 2);
}

/* Of a GPU nothing is known: then it is the only one there is, or none. */
static void test_the_only_one(void **state)
{
    assert_int_equal(seen("only"), 0);
    gpus[1].is_cpu = true;
    assert_int_equal(seen("only"), 1);
    gpus[0].is_cpu = true;
    assert_int_equal(seen("only"), 0);
    gpus[0].is_cpu = gpus[1].is_cpu = false;
}

static void test_nonsense(void **state)
{
    static const char *const texts[] = {
        "",
        "gpu",
        "cpu,",
        ",cpu",
        "drm:226",
        "drm:226:1x",
        "drm:226:128:1",
        "pci:1:3b:2",
        "pci:1:3b:2.3.4",
        "pci:1:3b:2.x",
        "uuid:",
        "uuid:222222222222222222222222222222",
        "uuid:2222222222222222222222222222222222",
        "uuid:222222222222222222222222222222xx",
        "drm:226:128,uuid:1",
        "drm:226:128 ",
        "CPU",
        "a word that is longer than any that could ever have any meaning at all to anybody"};
    struct gpu_choice c = {.any = true};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (gpu_choice_parse(texts[i], &c))
            fail_msg("%s", texts[i]);
        assert_true(c.any);
    }
}

static void test_room(void **state)
{
    VkPhysicalDevice shown[3] = {NULL};
    uint32_t room = 2;

    assert_true(gpu_choice_parse(NULL, &instance.choice));
    assert_int_equal(gpu_choice_enumerate(instance.handle, &room, shown), VK_INCOMPLETE);
    assert_int_equal(room, 2);
    assert_ptr_equal(shown[1], &gpus[1]);
    assert_null(shown[2]);
    room = 0;
    assert_true(gpu_choice_parse("drm:226:129", &instance.choice));
    assert_int_equal(gpu_choice_enumerate(instance.handle, &room, shown), VK_INCOMPLETE);
    room = 1;
    assert_int_equal(gpu_choice_enumerate(instance.handle, &room, shown), VK_SUCCESS);
    assert_ptr_equal(shown[0], &gpus[1]);
    driver.one_more = true;
    assert_true(gpu_choice_parse("cpu", &instance.choice));
    assert_int_equal(gpu_choice_enumerate(instance.handle, &room, shown), VK_SUCCESS);
    assert_ptr_equal(shown[0], &gpus[2]);
}

static void test_groups(void **state)
{
    int behind = 0;
    VkPhysicalDeviceGroupProperties groups[3] = {
        {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_GROUP_PROPERTIES, .pNext = &behind}};
    uint32_t count = 0;

    assert_true(gpu_choice_parse(NULL, &instance.choice));
    assert_int_equal(gpu_choice_enumerate_groups(instance.handle, &count, NULL), VK_SUCCESS);
    assert_int_equal(count, 2);
    count = 1;
    assert_int_equal(gpu_choice_enumerate_groups(instance.handle, &count, groups), VK_INCOMPLETE);
    assert_int_equal(groups[0].physicalDeviceCount, 2);
    assert_true(groups[0].subsetAllocation);
    assert_int_equal(groups[1].physicalDeviceCount, 0);

    /* One of two is a group of one; none of them is no group. */
    assert_true(gpu_choice_parse("drm:226:129", &instance.choice));
    assert_int_equal(gpu_choice_enumerate_groups(instance.handle, &count, NULL), VK_SUCCESS);
    assert_int_equal(count, 1);
    count = 3;
    assert_int_equal(gpu_choice_enumerate_groups(instance.handle, &count, groups), VK_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_equal(groups[0].physicalDeviceCount, 1);
    assert_ptr_equal(groups[0].physicalDevices[0], &gpus[1]);
    assert_false(groups[0].subsetAllocation);
    assert_ptr_equal(groups[0].pNext, &behind);
    assert_true(gpu_choice_parse("cpu", &instance.choice));
    count = 3;
    assert_int_equal(gpu_choice_enumerate_groups(instance.handle, &count, groups), VK_SUCCESS);
    assert_int_equal(count, 1);
    assert_ptr_equal(groups[0].physicalDevices[0], &gpus[2]);
}

/* ---- priorities ----------------------------------------------------------------------------- */

/* Two queues, of which the second one has an own wish; 0 = it has none. */
static VkResult create(const char *priority, VkQueueGlobalPriority wish)
{
    VkDeviceQueueGlobalPriorityCreateInfo own = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_GLOBAL_PRIORITY_CREATE_INFO,
        .globalPriority = wish};
    const VkDeviceQueueCreateInfo queues[] = {
        {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO},
        {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .pNext = wish ? &own : NULL}};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .queueCreateInfoCount = 2,
                                     .pQueueCreateInfos = queues};
    VkQueueGlobalPriority value = 0;
    VkDevice device;

    assert_true(priority_parse(priority, &value));
    driver.n_created = 0;
    VkResult result = priority_create_device(create_device, (VkPhysicalDevice)&gpus[0], &info, NULL,
                                             driver.has_extension, value, &device);
    assert_int_equal(own.globalPriority, wish); /* it is his */
    assert_null(queues[0].pNext);
    return result;
}

static void expect(VkQueueGlobalPriority first, VkQueueGlobalPriority second, unsigned calls)
{
    assert_int_equal(driver.seen[0], first);
    assert_int_equal(driver.seen[1], second);
    assert_int_equal(driver.n_created, calls);
}

#define LOW VK_QUEUE_GLOBAL_PRIORITY_LOW
#define MEDIUM VK_QUEUE_GLOBAL_PRIORITY_MEDIUM
#define HIGH VK_QUEUE_GLOBAL_PRIORITY_HIGH
#define REALTIME VK_QUEUE_GLOBAL_PRIORITY_REALTIME

static void test_priority_of_the_class(void **state)
{
    assert_int_equal(create("low", 0), VK_SUCCESS);
    expect(LOW, LOW, 1);
    assert_int_equal(create("medium", 0), VK_SUCCESS);
    expect(0, 0, 1);
    assert_int_equal(create(NULL, 0), VK_SUCCESS);
    expect(0, 0, 1);
    assert_int_equal(create("high", 0), VK_SUCCESS);
    expect(HIGH, HIGH, 1);
    driver.has_extension = false;
    assert_int_equal(create("high", 0), VK_SUCCESS);
    expect(0, 0, 1);
}

/* It may ask for less than what its vGPU has, never for more. */
static void test_priority_of_the_guest(void **state)
{
    assert_int_equal(create("low", REALTIME), VK_SUCCESS);
    expect(LOW, LOW, 1);
    assert_int_equal(create("medium", REALTIME), VK_SUCCESS);
    expect(0, MEDIUM, 1);
    assert_int_equal(create(NULL, LOW), VK_SUCCESS);
    expect(0, LOW, 1);
    assert_int_equal(create("high", REALTIME), VK_SUCCESS);
    expect(HIGH, HIGH, 1);
    assert_int_equal(create("high", LOW), VK_SUCCESS);
    expect(HIGH, LOW, 1);
}

static void test_priority_refused(void **state)
{
    static const VkResult refusals[] = {VK_ERROR_NOT_PERMITTED, VK_ERROR_INITIALIZATION_FAILED};

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        driver.result = refusals[i];
        assert_int_equal(create("high", REALTIME), VK_SUCCESS);
        expect(0, MEDIUM, 2);
        assert_int_equal(create("high", LOW), VK_SUCCESS);
        expect(0, LOW, 2);
        assert_int_equal(create("medium", REALTIME), VK_SUCCESS);
        expect(0, MEDIUM, 1);
    }
    driver.result = VK_ERROR_OUT_OF_DEVICE_MEMORY; /* which is another matter */
    assert_int_equal(create("high", 0), VK_ERROR_OUT_OF_DEVICE_MEMORY);
    expect(HIGH, HIGH, 1);
}

static void test_priority_nonsense(void **state)
{
    VkQueueGlobalPriority value = HIGH;

    assert_false(priority_parse("", &value));
    assert_false(priority_parse("realtime", &value));
    assert_int_equal(value, HIGH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_chosen_one),
        TEST(test_by_what_both_know),
        TEST(test_the_only_one),
        TEST(test_nonsense),
        TEST(test_room),
        TEST(test_groups),
        TEST(test_priority_of_the_class),
        TEST(test_priority_of_the_guest),
        TEST(test_priority_refused),
        TEST(test_priority_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
