/* SPDX-License-Identifier: MIT */
/*
 * The interface description of io.aliquot.Mediator (control.h), as "varlinkctl introspect" and
 * "varlinkctl help" show it. Fields are only ever added.
 */
#include "mediator/daemon/control.h"

#include <systemd/sd-varlink-idl.h>

#define COMMENT SD_VARLINK_FIELD_COMMENT
#define FIELD SD_VARLINK_DEFINE_FIELD
#define FIELD_OF SD_VARLINK_DEFINE_FIELD_BY_TYPE
#define VALUE SD_VARLINK_DEFINE_ENUM_VALUE
#define INPUT SD_VARLINK_DEFINE_INPUT
#define OUTPUT SD_VARLINK_DEFINE_OUTPUT
#define INT SD_VARLINK_INT
#define STRING SD_VARLINK_STRING
#define NULLABLE SD_VARLINK_NULLABLE

/* One field a line, as a reader of the description sees it. */
/* clang-format off */
static SD_VARLINK_DEFINE_ENUM_TYPE(State,
    COMMENT("Nobody is connected and no renderer runs."),
    VALUE(idle),
    COMMENT("A front-end is connected and its renderer brings the GPU up."),
    VALUE(starting),
    COMMENT("The front-end is being served."),
    VALUE(connected),
    COMMENT("The guest's driver has its rings running."),
    VALUE(running));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Peer,
    COMMENT("0 if it lives in a pid namespace that the daemon does not see."),
    FIELD(pid, INT, 0),
    FIELD(uid, INT, 0),
    FIELD(gid, INT, 0),
    COMMENT("Name of the program, for people to read: the peer chooses it."),
    FIELD(comm, STRING, 0));

static SD_VARLINK_DEFINE_ENUM_TYPE(Lease,
    COMMENT("It has not got the GPU."),
    VALUE(idle),
    COMMENT("It may submit."),
    VALUE(granted),
    COMMENT("Its slice is over, and what it has submitted ends."),
    VALUE(yielding),
    COMMENT("The GPU was taken from it."),
    VALUE(revoked));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Histogram,
    COMMENT("Upper bounds of the buckets but the last, which takes all above."),
    FIELD(boundsUsec, INT, SD_VARLINK_ARRAY),
    COMMENT("How many are below the bound, and not below the one before."),
    FIELD(counts, INT, SD_VARLINK_ARRAY),
    FIELD(count, INT, 0),
    FIELD(sumUsec, INT, 0),
    FIELD(maxUsec, INT, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(VGPU,
    FIELD(name, STRING, 0),
    FIELD_OF(state, State, 0),
    COMMENT("\"configured\"; \"on-demand\": made for one connection, gone with it; or \"claimed\": "
            "made by CreateVGPU."),
    FIELD(kind, STRING, 0),
    COMMENT("Path of the socket that a front-end connects to."),
    FIELD(socket, STRING, 0),
    COMMENT("Who is connected; null if nobody is."),
    FIELD_OF(peer, Peer, NULLABLE),
    COMMENT("\"software\", a render node, \"egl:N\", or \"none\" with the null backend."),
    FIELD(gpu, STRING, 0),
    COMMENT("What draws: \"virgl\" or \"null\"."),
    FIELD(backend, STRING, 0),
    COMMENT("The GPU and driver in use, in the renderer's words; null until it is up."),
    FIELD(gl, STRING, NULLABLE),
    COMMENT("Process id of the renderer; null without one."),
    FIELD(rendererPid, INT, NULLABLE),
    COMMENT("Resources that exist now."),
    FIELD(resources, INT, 0),
    COMMENT("Host memory that they are charged with, in bytes, without the device memory of Vulkan."),
    FIELD(resourceBytes, INT, 0),
    COMMENT("Rendering contexts that exist now."),
    FIELD(contexts, INT, 0),
    COMMENT("Blobs that the guest sees in the host-visible region now."),
    FIELD(mappedBlobs, INT, 0),
    COMMENT("Of the contexts those of Vulkan, each a process of its own, and the devices in them."),
    FIELD(vulkanContexts, INT, 0),
    FIELD(vulkanDevices, INT, 0),
    COMMENT("Device memory of Vulkan that they hold, which counts for maxMemory too."),
    FIELD(vulkanBytes, INT, 0),
    COMMENT("Submissions to Vulkan queues, and allocations refused for maxMemory; since the "
            "connection."),
    FIELD(vulkanSubmits, INT, 0),
    FIELD(vulkanRefused, INT, 0),
    COMMENT("Submissions of 3D commands; this and what follows counts from the connection on."),
    FIELD(submits, INT, 0),
    COMMENT("virtio-gpu commands answered."),
    FIELD(commands, INT, 0),
    COMMENT("Fences completed."),
    FIELD(fences, INT, 0),
    COMMENT("Bad commands and messages refused."),
    FIELD(rejected, INT, 0),
    COMMENT("Updates sent to a display."),
    FIELD(flushes, INT, 0),
    COMMENT("When the connection came: CLOCK_REALTIME in microseconds; null without one."),
    FIELD(connectedUsec, INT, NULLABLE),
    COMMENT("Its number on its GPU, as in ReadEvents."),
    FIELD(number, INT, 0),
    COMMENT("The claimed vGPU whose share, with these knobs, this one has a part of: it serves a "
            "further connection to it. Null if the share is its own."),
    FIELD(shareOf, STRING, NULLABLE),
    COMMENT("Knobs, as in aliquot.conf(5)."),
    FIELD(weight, INT, 0),
    COMMENT("\"12.5%\""),
    FIELD(reservation, STRING, 0),
    COMMENT("\"100%\""),
    FIELD(cap, STRING, 0),
    COMMENT("\"4ms\""),
    FIELD(slice, STRING, 0),
    FIELD_OF(lease, Lease, 0),
    COMMENT("GPU time that it was charged; this and what follows counts for its whole life."),
    FIELD(gpuUsec, INT, 0),
    COMMENT("GPU time as its renderers measured it."),
    FIELD(busyUsec, INT, 0),
    COMMENT("Of it, that of Vulkan."),
    FIELD(vulkanUsec, INT, 0),
    COMMENT("Time that it had work and others had the GPU."),
    FIELD(waitingUsec, INT, 0),
    COMMENT("Time that it had work and had used up its cap."),
    FIELD(cappedUsec, INT, 0),
    FIELD(slices, INT, 0),
    COMMENT("How far it is ahead of its fair share now."),
    FIELD(debtUsec, INT, 0),
    COMMENT("GPU time charged beyond the ends of its slices."),
    FIELD(overrunUsec, INT, 0),
    COMMENT("Submissions to the GPU, of them completed, and of them there now."),
    FIELD(gpuSubmits, INT, 0),
    FIELD(gpuCompletions, INT, 0),
    FIELD(inFlight, INT, 0),
    COMMENT("Command streams cut because others waited."),
    FIELD(cuts, INT, 0),
    COMMENT("Renderers killed for holding the GPU."),
    FIELD(resets, INT, 0),
    COMMENT("Renderers killed for lies about their use of the GPU."),
    FIELD(faults, INT, 0),
    COMMENT("Times that its renderers rang the arbiter's doorbell so often that it was not heard "
            "for a while."),
    FIELD(floods, INT, 0),
    COMMENT("Times that its renderers were stopped for their use of the processors of a software "
            "GPU beyond the cap."),
    FIELD(stops, INT, 0),
    COMMENT("From asking for the GPU to getting it."),
    FIELD_OF(waits, Histogram, 0),
    COMMENT("From the renderer's taking up a command stream to its completion on the GPU, and from "
            "a submission to a Vulkan queue to the completion of the piece that it began, as its "
            "renderers tell."),
    FIELD_OF(latencies, Histogram, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(GPU,
    FIELD(gpu, STRING, 0),
    COMMENT("\"fair\", \"equal\", \"fixed\" or \"exclusive\"."),
    FIELD(policy, STRING, 0),
    COMMENT("How slices end: \"cpu\" or \"drain\"."),
    FIELD(preempt, STRING, 0),
    COMMENT("vGPUs inside a slice at once, at most."),
    FIELD(parallelism, INT, 0),
    COMMENT("Sum of the reservations."),
    FIELD(reserved, STRING, 0),
    COMMENT("How many vGPUs are on it."),
    FIELD(vgpus, INT, 0),
    COMMENT("Time since the first vGPU came to it."),
    FIELD(elapsedUsec, INT, 0),
    COMMENT("GPU time that vGPUs used."),
    FIELD(busyUsec, INT, 0),
    FIELD(slices, INT, 0),
    COMMENT("From the end of a slice to the next vGPU's first submission."),
    FIELD_OF(handoffs, Histogram, 0));

static SD_VARLINK_DEFINE_ENUM_TYPE(EventKind,
    COMMENT("Asks for the GPU."),
    VALUE(wait),
    COMMENT("A slice begins; the one before, if there was no release, ends. value: when it is to "
            "end, in the time of timeNsec."),
    VALUE(grant),
    COMMENT("Its slice is over: it is asked to stop."),
    VALUE(yield),
    COMMENT("Nothing of it is on the GPU any more, or its renderer is gone and waits no more. "
            "value: what it was charged, in nanoseconds."),
    VALUE(release),
    COMMENT("Its renderer is killed for holding the GPU. value: for how long, in nanoseconds."),
    VALUE(reset));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Event,
    COMMENT("CLOCK_MONOTONIC."),
    FIELD(timeNsec, INT, 0),
    COMMENT("The number of the vGPU; it is not used again."),
    FIELD(vgpu, INT, 0),
    FIELD_OF(kind, EventKind, 0),
    FIELD(value, INT, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(VGPUNumber,
    FIELD(number, INT, 0),
    FIELD(name, STRING, 0));

static SD_VARLINK_DEFINE_METHOD(ListVGPUs,
    COMMENT("Configured ones in the order of the configuration, then those on demand."),
    SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(vgpus, VGPU, SD_VARLINK_ARRAY),
    COMMENT("When that was: CLOCK_MONOTONIC in microseconds."),
    OUTPUT(monotonicUsec, INT, 0));

static SD_VARLINK_DEFINE_METHOD(ListGPUs,
    COMMENT("Those that vGPUs are on or were on."),
    SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(gpus, GPU, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD(SetVGPU,
    COMMENT("Which vGPU. What is set for a claimed one is for all its connections."),
    INPUT(name, STRING, 0),
    COMMENT("As in aliquot.conf(5); null: as it is."),
    INPUT(weight, INT, NULLABLE),
    INPUT(reservation, STRING, NULLABLE),
    INPUT(cap, STRING, NULLABLE),
    INPUT(slice, STRING, NULLABLE),
    COMMENT("Whether the daemon's next start has it too; for configured vGPUs."),
    INPUT(persist, SD_VARLINK_BOOL, NULLABLE),
    COMMENT("What is in force now."),
    OUTPUT(name, STRING, 0),
    OUTPUT(weight, INT, 0),
    OUTPUT(reservation, STRING, 0),
    OUTPUT(cap, STRING, 0),
    OUTPUT(slice, STRING, 0));

static SD_VARLINK_DEFINE_METHOD(ReadEvents,
    COMMENT("As in ListGPUs."),
    INPUT(gpu, STRING, 0),
    COMMENT("From where on: what the last reply said, 0 for the oldest that is kept, null for those "
            "from now on."),
    INPUT(cursor, INT, NULLABLE),
    COMMENT("A bounded number, the oldest first."),
    SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(events, Event, SD_VARLINK_ARRAY),
    COMMENT("From where on the next ones are."),
    OUTPUT(cursor, INT, 0),
    COMMENT("How many were overwritten between the cursor that was given and the first event."),
    OUTPUT(lost, INT, 0),
    COMMENT("True if there may be more at once."),
    OUTPUT(more, SD_VARLINK_BOOL, 0),
    COMMENT("Names of the vGPUs that are on the GPU now."),
    SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(vgpus, VGPUNumber, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_ENUM_TYPE(WorkKind,
    COMMENT("Command streams, from when the renderer took the first of them up to the fence that "
            "told of their completion."),
    VALUE(fence),
    COMMENT("Submissions to a queue of Vulkan, from when they could go to the GPU to their "
            "completion."),
    VALUE(vulkan),
    COMMENT("Some that were not kept, or could not be true."),
    VALUE(lost));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Work,
    COMMENT("The number of the vGPU; it is not used again."),
    FIELD(vgpu, INT, 0),
    FIELD_OF(kind, WorkKind, 0),
    COMMENT("CLOCK_MONOTONIC; with lost both are when that was seen."),
    FIELD(beginNsec, INT, 0),
    FIELD(endNsec, INT, 0),
    COMMENT("How many command streams or submissions it was for, or how many are lost."),
    FIELD(count, INT, 0),
    COMMENT("Which of the vGPU's processes: 0 is the renderer, others have a Vulkan context each."),
    FIELD(slot, INT, 0),
    COMMENT("Of that process's Vulkan device."),
    FIELD(queue, INT, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(VGPUMemory,
    FIELD(number, INT, 0),
    COMMENT("As resourceBytes and vulkanBytes in ListVGPUs."),
    FIELD(resourceBytes, INT, 0),
    FIELD(vulkanBytes, INT, 0));

static SD_VARLINK_DEFINE_METHOD(ReadWork,
    COMMENT("As in ReadEvents, and so what follows; cursors of one are none of the other."),
    INPUT(gpu, STRING, 0),
    INPUT(cursor, INT, NULLABLE),
    COMMENT("A bounded number. Those of one slot are mostly in the order of their ends."),
    SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(work, Work, SD_VARLINK_ARRAY),
    OUTPUT(cursor, INT, 0),
    OUTPUT(lost, INT, 0),
    OUTPUT(more, SD_VARLINK_BOOL, 0),
    COMMENT("What the vGPUs on the GPU have of its memory."),
    SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(memory, VGPUMemory, SD_VARLINK_ARRAY),
    COMMENT("When that was: CLOCK_MONOTONIC."),
    OUTPUT(timeNsec, INT, 0));

static SD_VARLINK_DEFINE_METHOD(GetInfo,
    COMMENT("Version of the daemon."),
    OUTPUT(version, STRING, 0),
    COMMENT("Process id of the daemon."),
    OUTPUT(pid, INT, 0),
    COMMENT("The GPU of vGPUs that name none; \"none\" with the null backend."),
    OUTPUT(gpu, STRING, 0),
    COMMENT("Why it is that one: a sentence."),
    OUTPUT(why, STRING, 0),
    COMMENT("Where the sockets are."),
    OUTPUT(socketDir, STRING, 0),
    COMMENT("The socket where each connection gets a vGPU of its own; null if there is none."),
    OUTPUT(onDemandSocket, STRING, NULLABLE),
    COMMENT("Where metrics are served; null if they are not."),
    OUTPUT(metrics, STRING, NULLABLE));

static SD_VARLINK_DEFINE_METHOD_FULL(CreateVGPU,
    SD_VARLINK_REQUIRES_MORE,
    COMMENT("Its name; null: run-1, run-2 and so on, the smallest number that is free."),
    INPUT(name, STRING, NULLABLE),
    COMMENT("As in aliquot.conf(5), and so what follows; null: what [aliquot] says."),
    INPUT(gpu, STRING, NULLABLE),
    INPUT(backend, STRING, NULLABLE),
    COMMENT("Bytes."),
    INPUT(maxMemory, INT, NULLABLE),
    COMMENT("\"auto\", \"on\" or \"off\"."),
    INPUT(vulkan, STRING, NULLABLE),
    INPUT(weight, INT, NULLABLE),
    INPUT(reservation, STRING, NULLABLE),
    INPUT(cap, STRING, NULLABLE),
    INPUT(slice, STRING, NULLABLE),
    COMMENT("The name that it has got."),
    OUTPUT(name, STRING, 0),
    COMMENT("The socket to connect to. It takes several connections, each with a renderer of its "
            "own: NAME, NAME.2, NAME.3 and so on."),
    OUTPUT(socket, STRING, 0));

static SD_VARLINK_DEFINE_ERROR(NameTaken, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(TooManyVGPUs, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NotAllowed, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(BadValue, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NoSuchVGPU, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NoSuchGPU);
static SD_VARLINK_DEFINE_ERROR(NotAdmitted, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NotPermitted, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NotKept, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(Failed, FIELD(message, STRING, 0));

SD_VARLINK_DEFINE_INTERFACE(io_aliquot_Mediator, "io.aliquot.Mediator",
    SD_VARLINK_INTERFACE_COMMENT("Aliquot shares one GPU among vGPUs: the state of its daemon."),
    SD_VARLINK_SYMBOL_COMMENT("What a vGPU is doing."),
    &vl_type_State,
    SD_VARLINK_SYMBOL_COMMENT("Who is connected to a vGPU."),
    &vl_type_Peer,
    SD_VARLINK_SYMBOL_COMMENT("Whether a vGPU has got its GPU."),
    &vl_type_Lease,
    SD_VARLINK_SYMBOL_COMMENT("How often something took how long."),
    &vl_type_Histogram,
    SD_VARLINK_SYMBOL_COMMENT("One vGPU. The counters are what its renderer says."),
    &vl_type_VGPU,
    SD_VARLINK_SYMBOL_COMMENT("A GPU and how it is shared."),
    &vl_type_GPU,
    SD_VARLINK_SYMBOL_COMMENT("What happens to a vGPU."),
    &vl_type_EventKind,
    SD_VARLINK_SYMBOL_COMMENT("One event of the trace."),
    &vl_type_Event,
    SD_VARLINK_SYMBOL_COMMENT("Which vGPU has a number."),
    &vl_type_VGPUNumber,
    SD_VARLINK_SYMBOL_COMMENT("All vGPUs there are."),
    &vl_method_ListVGPUs,
    SD_VARLINK_SYMBOL_COMMENT("All GPUs in use."),
    &vl_method_ListGPUs,
    SD_VARLINK_SYMBOL_COMMENT("Changes knobs of a vGPU, in force at once."),
    &vl_method_SetVGPU,
    SD_VARLINK_SYMBOL_COMMENT("Reads the trace of a GPU, of which the last events are kept."),
    &vl_method_ReadEvents,
    SD_VARLINK_SYMBOL_COMMENT("What a piece of the GPU's work was for."),
    &vl_type_WorkKind,
    SD_VARLINK_SYMBOL_COMMENT("Something that the GPU did, in the renderer's words."),
    &vl_type_Work,
    SD_VARLINK_SYMBOL_COMMENT("GPU memory of a vGPU."),
    &vl_type_VGPUMemory,
    SD_VARLINK_SYMBOL_COMMENT("Reads what the vGPUs of a GPU had it do, of which the last is kept "
                              "from when somebody first asks."),
    &vl_method_ReadWork,
    SD_VARLINK_SYMBOL_COMMENT("The daemon itself."),
    &vl_method_GetInfo,
    SD_VARLINK_SYMBOL_COMMENT("Makes a vGPU for the caller. There is one reply, as soon as its socket "
                              "listens, and no final one: the vGPU is there until the caller's "
                              "connection ends."),
    &vl_method_CreateVGPU,
    SD_VARLINK_SYMBOL_COMMENT("There is a vGPU of this name. All messages are for people to read."),
    &vl_error_NameTaken,
    SD_VARLINK_SYMBOL_COMMENT("There are as many vGPUs as max-vgpus allows."),
    &vl_error_TooManyVGPUs,
    SD_VARLINK_SYMBOL_COMMENT("This daemon serves configured vGPUs only."),
    &vl_error_NotAllowed,
    SD_VARLINK_SYMBOL_COMMENT("A parameter is not as it should be, or there is no such GPU."),
    &vl_error_BadValue,
    SD_VARLINK_SYMBOL_COMMENT("There is no vGPU of this name."),
    &vl_error_NoSuchVGPU,
    SD_VARLINK_SYMBOL_COMMENT("No vGPU is or was on a GPU of this name."),
    &vl_error_NoSuchGPU,
    SD_VARLINK_SYMBOL_COMMENT("The GPU has not enough left for the reservation, or belongs to "
                              "another vGPU."),
    &vl_error_NotAdmitted,
    SD_VARLINK_SYMBOL_COMMENT("The vGPU belongs to somebody else: only root and the daemon's user may."),
    &vl_error_NotPermitted,
    SD_VARLINK_SYMBOL_COMMENT("The change is in force, but could not be kept for the next start."),
    &vl_error_NotKept,
    SD_VARLINK_SYMBOL_COMMENT("The vGPU could not be made."),
    &vl_error_Failed);
/* clang-format on */
