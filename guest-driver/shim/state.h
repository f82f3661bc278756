/* SPDX-License-Identifier: MIT */
/*
 * The lock over what hangs on opened render nodes: their handles, the references and fences of
 * buffers, syncobjs, the fences of sync_files. It is held for moments only, never while waiting or
 * sending. Order of locks: device->submit_lock, this one, the library's; the table of descriptors
 * has its own, under which nothing else is taken.
 */
#ifndef ALIQUOT_SHIM_STATE_H
#define ALIQUOT_SHIM_STATE_H

void state_lock(void);
void state_unlock(void);

#endif
