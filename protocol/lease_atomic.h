/* SPDX-License-Identifier: MIT */
/*
 * How lease.c and lease_wait.c touch shared memory. The words that the protocol depends on go
 * through LEASE_…, all sequentially consistent; what is only advice or bookkeeping goes through
 * LEASE_STAT_…, relaxed. The exhaustive exploration in tests/model defines the former itself, and
 * how bounds are read, which is all that differs between the code it explores and the code that
 * runs.
 */
#ifndef ALIQUOT_PROTOCOL_LEASE_ATOMIC_H
#define ALIQUOT_PROTOCOL_LEASE_ATOMIC_H

#ifndef LEASE_LOAD
#define LEASE_LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_SEQ_CST)
#define LEASE_STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_SEQ_CST)
#define LEASE_ADD(ptr, value) ((void)__atomic_add_fetch((ptr), (value), __ATOMIC_SEQ_CST))
/* True if it was *expected and now is value; otherwise *expected is what it was. */
#define LEASE_CAS(ptr, expected, value)                                                            \
    __atomic_compare_exchange_n((ptr), (expected), (value), false, __ATOMIC_SEQ_CST,               \
                                __ATOMIC_SEQ_CST)
#endif

#ifndef LEASE_STAT_LOAD
#define LEASE_STAT_LOAD(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#endif
#define LEASE_STAT_STORE(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELEASE)
#define LEASE_STAT_ADD(ptr, value) ((void)__atomic_add_fetch((ptr), (value), __ATOMIC_ACQ_REL))
#define LEASE_STAT_CAS(ptr, expected, value)                                                       \
    __atomic_compare_exchange_n((ptr), (expected), (value), false, __ATOMIC_ACQ_REL,               \
                                __ATOMIC_ACQUIRE)

#endif
