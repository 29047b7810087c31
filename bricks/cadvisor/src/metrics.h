/*
 * metrics.h: the metrics by cAdvisor's names, and their samples in Prometheus' text format.
 *
 * Source: Prometheus, "Exposition formats": all samples of a metric stand together.
 */
#ifndef COMPOS_METRICS_H
#define COMPOS_METRICS_H

#include "web/text.h"

enum metric {
    CPU_USAGE,
    CPU_USER,
    CPU_SYSTEM,
    CPU_PERIODS,
    CPU_THROTTLED_PERIODS,
    CPU_THROTTLED,
    FS_READ_BYTES,
    FS_READS,
    FS_WRITTEN_BYTES,
    FS_WRITES,
    LAST_SEEN,
    MEMORY_CACHE,
    MEMORY_FAILURES,
    MEMORY_LIMIT_HITS,
    MEMORY_MAPPED,
    MEMORY_MOST,
    MEMORY_RSS,
    MEMORY_SWAP,
    MEMORY_USAGE,
    MEMORY_WORKING_SET,
    NETWORK_RECEIVED_BYTES,
    NETWORK_RECEIVED,
    NETWORK_RECEIVE_ERRORS,
    NETWORK_RECEIVE_DROPPED,
    NETWORK_SENT_BYTES,
    NETWORK_SENT,
    NETWORK_SEND_ERRORS,
    NETWORK_SEND_DROPPED,
    OOM_EVENTS,
    PRESSURE_CPU_STALLED,
    PRESSURE_CPU_WAITING,
    PRESSURE_IO_STALLED,
    PRESSURE_IO_WAITING,
    PRESSURE_MEMORY_STALLED,
    PRESSURE_MEMORY_WAITING,
    PROCESSES,
    SPEC_CPU_PERIOD,
    SPEC_CPU_QUOTA,
    SPEC_CPU_SHARES,
    SPEC_MEMORY_LIMIT,
    SPEC_MEMORY_RESERVATION,
    SPEC_MEMORY_SWAP_LIMIT,
    START_TIME,
    THREADS,
    THREADS_MOST,
    VERSION,
    MACHINE_CORES,
    MACHINE_MEMORY,
    METRICS
};

/* A sample; `labels` as text_add_label writes them, "" for none. */
void metrics_add(enum metric metric, const char *labels, double value);

/* Everything that has been added. */
void metrics_write(struct text *page);

#endif
