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
    COMMENT("Host memory that they are charged with, in bytes."),
    FIELD(resourceBytes, INT, 0),
    COMMENT("Rendering contexts that exist now."),
    FIELD(contexts, INT, 0),
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
    FIELD(connectedUsec, INT, NULLABLE));

static SD_VARLINK_DEFINE_METHOD(ListVGPUs,
    COMMENT("Configured ones in the order of the configuration, then those on demand."),
    SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(vgpus, VGPU, SD_VARLINK_ARRAY));

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
    OUTPUT(onDemandSocket, STRING, NULLABLE));

static SD_VARLINK_DEFINE_METHOD_FULL(CreateVGPU,
    SD_VARLINK_REQUIRES_MORE,
    COMMENT("Its name; null: run-1, run-2 and so on, the smallest number that is free."),
    INPUT(name, STRING, NULLABLE),
    COMMENT("As in aliquot.conf(5), and so what follows; null: what [aliquot] says."),
    INPUT(gpu, STRING, NULLABLE),
    INPUT(backend, STRING, NULLABLE),
    COMMENT("Bytes."),
    INPUT(maxMemory, INT, NULLABLE),
    COMMENT("The name that it has got."),
    OUTPUT(name, STRING, 0),
    COMMENT("The socket to connect to. It takes several connections, each with a renderer of its "
            "own: NAME, NAME.2, NAME.3 and so on."),
    OUTPUT(socket, STRING, 0));

static SD_VARLINK_DEFINE_ERROR(NameTaken, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(TooManyVGPUs, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NotAllowed, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(BadValue, FIELD(message, STRING, 0));
static SD_VARLINK_DEFINE_ERROR(Failed, FIELD(message, STRING, 0));

SD_VARLINK_DEFINE_INTERFACE(io_aliquot_Mediator, "io.aliquot.Mediator",
    SD_VARLINK_INTERFACE_COMMENT("Aliquot shares one GPU among vGPUs: the state of its daemon."),
    SD_VARLINK_SYMBOL_COMMENT("What a vGPU is doing."),
    &vl_type_State,
    SD_VARLINK_SYMBOL_COMMENT("Who is connected to a vGPU."),
    &vl_type_Peer,
    SD_VARLINK_SYMBOL_COMMENT("One vGPU. The counters are what its renderer says."),
    &vl_type_VGPU,
    SD_VARLINK_SYMBOL_COMMENT("All vGPUs there are."),
    &vl_method_ListVGPUs,
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
    SD_VARLINK_SYMBOL_COMMENT("The vGPU could not be made."),
    &vl_error_Failed);
/* clang-format on */
