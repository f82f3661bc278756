/* SPDX-License-Identifier: MIT */
/*
 * A Vulkan program that does what it is told, a line at a time, and answers each with a line: what
 * Vulkan said, or a number. For tests of the layer, which control who may use the GPU meanwhile;
 * and `bench N` for whoever wants to know what the layer costs.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <vulkan/vulkan.h>

#define FILL_BYTES (16u << 20) /* one fill takes lavapipe some milliseconds */
#define MEMORIES_MAX 64
#define BATCH_MAX 32

static struct {
    VkInstance instance;
    VkPhysicalDevice gpu;
    VkDevice device;
    VkQueue queue;
    VkCommandPool pool;
    VkBuffer buffer;
    VkDeviceMemory buffer_memory;
    VkSemaphore timeline, binary;
    VkFence fence;
    VkDeviceMemory memories[MEMORIES_MAX];
    unsigned n_memories;
} vk;

/* Our standard output, which other layers print to. */
static FILE *answers;

static void answer(const char *what, VkResult result)
{
    fprintf(answers, "%s %d\n", what, result);
    fflush(answers);
}

static VkResult check(const char *what, VkResult result)
{
    if (result < 0) {
        answer(what, result);
        exit(1);
    }
    return result;
}

static uint32_t host_visible_type(uint32_t bits)
{
    VkPhysicalDeviceMemoryProperties properties;

    vkGetPhysicalDeviceMemoryProperties(vk.gpu, &properties);
    for (uint32_t i = 0; i < properties.memoryTypeCount; i++)
        if (bits & 1u << i &&
            properties.memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)
            return i;
    return 0;
}

static void create_instance(void)
{
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .apiVersion = VK_API_VERSION_1_3};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &application};
    uint32_t one = 1;

    check("instance", vkCreateInstance(&info, NULL, &vk.instance));
    check("gpu", vkEnumeratePhysicalDevices(vk.instance, &one, &vk.gpu));
    if (one == 0) {
        answer("gpus", 0);
        exit(1);
    }
}

static void create_device(bool with_timelines)
{
    static const float priority = 1;
    static const char *const extensions[] = {"VK_KHR_external_memory_fd"};
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    VkPhysicalDeviceVulkan12Features features12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .timelineSemaphore = VK_TRUE};
    VkPhysicalDeviceVulkan13Features features13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
        .pNext = with_timelines ? &features12 : NULL,
        .synchronization2 = VK_TRUE};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &features13,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = 1,
                                     .ppEnabledExtensionNames = extensions};

    check("device", vkCreateDevice(vk.gpu, &info, NULL, &vk.device));
    vkGetDeviceQueue(vk.device, 0, 0, &vk.queue);
}

static void create_objects(bool with_timelines)
{
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    const VkBufferCreateInfo buffer = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                       .size = FILL_BYTES,
                                       .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
    VkMemoryRequirements needs;

    check("pool", vkCreateCommandPool(vk.device, &pool, NULL, &vk.pool));
    check("buffer", vkCreateBuffer(vk.device, &buffer, NULL, &vk.buffer));
    vkGetBufferMemoryRequirements(vk.device, vk.buffer, &needs);
    const VkMemoryAllocateInfo memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                         .allocationSize = needs.size,
                                         .memoryTypeIndex =
                                             host_visible_type(needs.memoryTypeBits)};
    check("memory", vkAllocateMemory(vk.device, &memory, NULL, &vk.buffer_memory));
    check("bind", vkBindBufferMemory(vk.device, vk.buffer, vk.buffer_memory, 0));
    check("semaphore", vkCreateSemaphore(vk.device, &semaphore, NULL, &vk.binary));
    semaphore.pNext = &type;
    if (with_timelines)
        check("semaphore", vkCreateSemaphore(vk.device, &semaphore, NULL, &vk.timeline));
}

/* Leaked until the end: it may be in flight. */
static VkCommandBuffer record(unsigned fills)
{
    const VkCommandBufferAllocateInfo allocate = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = vk.pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1};
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT};
    VkCommandBuffer commands;

    check("commands", vkAllocateCommandBuffers(vk.device, &allocate, &commands));
    check("begin", vkBeginCommandBuffer(commands, &begin));
    for (unsigned i = 0; i < fills; i++)
        vkCmdFillBuffer(commands, vk.buffer, 0, FILL_BYTES, i);
    check("end", vkEndCommandBuffer(commands));
    return commands;
}

/* The fence of the last submission; those before it may be in flight, and are leaked as well. */
static VkFence new_fence(void)
{
    const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};

    check("fence", vkCreateFence(vk.device, &info, NULL, &vk.fence));
    return vk.fence;
}

/* ---- work ----------------------------------------------------------------------------------- */

/* submit SUBMISSIONS FILLS */
static VkResult do_submit(unsigned submissions, unsigned fills)
{
    const VkCommandBuffer commands = record(fills);
    VkSubmitInfo infos[BATCH_MAX];

    for (unsigned i = 0; i < submissions && i < BATCH_MAX; i++)
        infos[i] = (VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                  .commandBufferCount = 1,
                                  .pCommandBuffers = &commands};
    return vkQueueSubmit(vk.queue, submissions, infos, new_fence());
}

static VkResult do_submit2(unsigned fills)
{
    const VkCommandBufferSubmitInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = record(fills)};
    const VkSubmitInfo2 info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                                .commandBufferInfoCount = 1,
                                .pCommandBufferInfos = &commands};

    return vkQueueSubmit2(vk.queue, 1, &info, new_fence());
}

/* after WAIT SIGNAL FILLS: work that waits for a value of the timeline and gives it another */
static VkResult do_after(uint64_t wait, uint64_t signal, unsigned fills)
{
    static const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkCommandBuffer commands = record(fills);
    const VkTimelineSemaphoreSubmitInfo values = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = 1,
        .pWaitSemaphoreValues = &wait,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &signal};
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .pNext = &values,
                               .waitSemaphoreCount = 1,
                               .pWaitSemaphores = &vk.timeline,
                               .pWaitDstStageMask = &all,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands,
                               .signalSemaphoreCount = 1,
                               .pSignalSemaphores = &vk.timeline};

    return vkQueueSubmit(vk.queue, 1, &info, new_fence());
}

static VkResult do_signal(uint64_t value)
{
    const VkSemaphoreSignalInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, .semaphore = vk.timeline, .value = value};

    return vkSignalSemaphore(vk.device, &info);
}

/* await VALUE: of the timeline */
static VkResult do_await(uint64_t value)
{
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &vk.timeline,
                                      .pValues = &value};

    return vkWaitSemaphores(vk.device, &info, UINT64_MAX);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* bench N: what vkQueueSubmit of a nearly empty command buffer takes, median of 64 rounds of N */
static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void do_bench(unsigned submits)
{
    const VkCommandBuffer commands = record(0);
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands};
    uint64_t submitting[64], whole[64];

    for (unsigned round = 0; round < 64; round++) {
        uint64_t begun_ns = now_ns();

        for (unsigned i = 0; i < submits; i++)
            check("submit", vkQueueSubmit(vk.queue, 1, &info, VK_NULL_HANDLE));
        submitting[round] = now_ns() - begun_ns;
        check("idle", vkQueueWaitIdle(vk.queue));
        whole[round] = now_ns() - begun_ns;
    }
    qsort(submitting, 64, sizeof(submitting[0]), compare);
    qsort(whole, 64, sizeof(whole[0]), compare);
    fprintf(answers, "ns %" PRIu64 " %" PRIu64 "\n", submitting[32] / submits, whole[32] / submits);
    fflush(answers);
}

/* busy FILLS FRAMES: frames, each waited for; how long from submission to completion, in ns */
static void do_busy(unsigned fills, unsigned frames)
{
    const VkCommandBuffer commands = record(fills);
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands};
    uint64_t sum_ns = 0;

    new_fence();
    for (unsigned i = 0; i < frames; i++) {
        uint64_t begun_ns = now_ns();

        vkResetFences(vk.device, 1, &vk.fence); /* it was waited for */
        check("submit", vkQueueSubmit(vk.queue, 1, &info, vk.fence));
        check("wait", vkWaitForFences(vk.device, 1, &vk.fence, VK_TRUE, UINT64_MAX));
        sum_ns += now_ns() - begun_ns;
    }
    fprintf(answers, "ns %" PRIu64 "\n", sum_ns);
    fflush(answers);
}

/* ---- memory --------------------------------------------------------------------------------- */

static VkResult do_alloc(uint64_t bytes, bool exported)
{
    const VkExportMemoryAllocateInfo export = {
        .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT};
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .pNext = exported ? &export : NULL,
                                       .allocationSize = bytes,
                                       .memoryTypeIndex = host_visible_type(UINT32_MAX)};
    VkResult result = vkAllocateMemory(vk.device, &info, NULL, &vk.memories[vk.n_memories]);

    vk.n_memories += result == VK_SUCCESS;
    return result;
}

/* A word at the beginning of a memory, as it was before. */
static uint32_t exchange_word(VkDeviceMemory memory, uint32_t word)
{
    uint32_t *p = NULL, before;

    check("map", vkMapMemory(vk.device, memory, 0, VK_WHOLE_SIZE, 0, (void **)&p));
    before = *p;
    *p = word;
    vkUnmapMemory(vk.device, memory);
    return before;
}

/* export INDEX: how long the file is that another process would map, and what it begins with when
 * the memory begins with 1; then it is imported, and that is what the import begins with. */
static void do_export(unsigned i)
{
    const VkMemoryGetFdInfoKHR info = {.sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
                                       .memory = vk.memories[i],
                                       .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT};
    PFN_vkGetMemoryFdKHR get =
        (PFN_vkGetMemoryFdKHR)vkGetDeviceProcAddr(vk.device, "vkGetMemoryFdKHR");
    struct stat st = {0};
    uint32_t word = 0, imported = 0;
    int fd = -1;

    check("export", get(vk.device, &info, &fd));
    (void)fstat(fd, &st);
    exchange_word(vk.memories[i], 1);
    if (pread(fd, &word, sizeof(word), 0) != sizeof(word))
        word = UINT32_MAX;
    /* It takes the descriptor, and is another memory of the same bytes. */
    const VkImportMemoryFdInfoKHR import = {.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
                                            .handleType =
                                                VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
                                            .fd = fd};
    const VkMemoryAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                           .pNext = &import,
                                           .allocationSize = 4096,
                                           .memoryTypeIndex = host_visible_type(UINT32_MAX)};
    if (vkAllocateMemory(vk.device, &allocate, NULL, &vk.memories[vk.n_memories]) == VK_SUCCESS)
        imported = exchange_word(vk.memories[vk.n_memories++], 2);
    fprintf(answers, "bytes %lld %u %u %u\n", (long long)st.st_size, word, imported,
            exchange_word(vk.memories[i], 3));
    fflush(answers);
}

static void do_budget(void)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &budget};

    vkGetPhysicalDeviceMemoryProperties2(vk.gpu, &properties);
    fprintf(answers, "heap %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            properties.memoryProperties.memoryHeaps[0].size, budget.heapBudget[0],
            budget.heapUsage[0]);
    fflush(answers);
}

/* ---- the line ------------------------------------------------------------------------------- */

static bool obey(const char *word, const uint64_t *n)
{
    uint64_t value = 0;

    if (strcmp(word, "submit") == 0)
        answer(word, do_submit((unsigned)n[0], (unsigned)n[1]));
    else if (strcmp(word, "submit2") == 0)
        answer(word, do_submit2((unsigned)n[0]));
    else if (strcmp(word, "after") == 0)
        answer(word, do_after(n[0], n[1], (unsigned)n[2]));
    else if (strcmp(word, "signal") == 0)
        answer(word, do_signal(n[0]));
    else if (strcmp(word, "await") == 0)
        answer(word, do_await(n[0]));
    else if (strcmp(word, "wait") == 0)
        answer(word, vkWaitForFences(vk.device, 1, &vk.fence, VK_TRUE, UINT64_MAX));
    else if (strcmp(word, "status") == 0)
        answer(word, vkGetFenceStatus(vk.device, vk.fence));
    else if (strcmp(word, "value") == 0)
        answer(word, vkGetSemaphoreCounterValue(vk.device, vk.timeline, &value));
    else if (strcmp(word, "idle") == 0)
        answer(word, vkDeviceWaitIdle(vk.device));
    else if (strcmp(word, "alloc") == 0)
        answer(word, do_alloc(n[0], n[1]));
    else if (strcmp(word, "free") == 0) {
        vkFreeMemory(vk.device, vk.memories[n[0]], NULL);
        vk.memories[n[0]] = VK_NULL_HANDLE;
        answer(word, VK_SUCCESS);
    } else if (strcmp(word, "export") == 0)
        do_export((unsigned)n[0]);
    else if (strcmp(word, "budget") == 0)
        do_budget();
    else if (strcmp(word, "bench") == 0)
        do_bench((unsigned)n[0]);
    else if (strcmp(word, "busy") == 0)
        do_busy((unsigned)n[0], (unsigned)n[1]);
    else if (strcmp(word, "destroy") == 0) {
        /* With all that it has, as who is killed leaves it; the layer and the driver must bear it.
         */
        vkDestroyDevice(vk.device, NULL);
        vkDestroyInstance(vk.instance, NULL);
        answer(word, VK_SUCCESS);
        return false;
    } else
        answer("what?", VK_ERROR_UNKNOWN);
    return true;
}

int main(int argc, char **argv)
{
    bool with_timelines = argc < 2 || strcmp(argv[1], "--without-timelines") != 0, going = true;
    char line[256];

    answers = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    create_instance();
    create_device(with_timelines);
    create_objects(with_timelines);
    answer("ready", VK_SUCCESS);
    while (going && fgets(line, sizeof(line), stdin)) {
        char *rest = line, *word = strsep(&rest, " \n");
        uint64_t n[3] = {0};

        for (int i = 0; i < 3 && rest; i++)
            n[i] = strtoull(rest, &rest, 0);
        going = obey(word, n);
    }
    return 0;
}
