/* metrics.c: see metrics.h. Names and units are cAdvisor's (docs/storage/prometheus.md there). */
#include "metrics.h"

#include <stdbool.h>

static const struct {
    const char *name;
    bool counter;
    const char *help;
} metrics_known[METRICS] = {
    /* clang-format off */
    [CPU_USAGE] = {"container_cpu_usage_seconds_total", true, "CPU time"},
    [CPU_USER] = {"container_cpu_user_seconds_total", true, "CPU time in user mode"},
    [CPU_SYSTEM] = {"container_cpu_system_seconds_total", true, "CPU time in the kernel"},
    [CPU_PERIODS] = {"container_cpu_cfs_periods_total", true, "Periods of the CPU limit"},
    [CPU_THROTTLED_PERIODS] = {"container_cpu_cfs_throttled_periods_total", true,
                               "Periods in which the CPU limit was reached"},
    [CPU_THROTTLED] = {"container_cpu_cfs_throttled_seconds_total", true,
                       "Time for which the CPU limit has stopped the group"},
    [FS_READ_BYTES] = {"container_fs_reads_bytes_total", true, "Bytes read from the device"},
    [FS_READS] = {"container_fs_reads_total", true, "Read requests to the device"},
    [FS_WRITTEN_BYTES] = {"container_fs_writes_bytes_total", true, "Bytes written to the device"},
    [FS_WRITES] = {"container_fs_writes_total", true, "Write requests to the device"},
    [LAST_SEEN] = {"container_last_seen", false, "Time of this response, in seconds since 1970"},
    [MEMORY_CACHE] = {"container_memory_cache", false, "Bytes of page cache"},
    [MEMORY_FAILURES] = {"container_memory_failures_total", true, "Page faults"},
    [MEMORY_LIMIT_HITS] = {"container_memory_failcnt", true, "Times that the limit was reached"},
    [MEMORY_MAPPED] = {"container_memory_mapped_file", false, "Bytes of mapped files"},
    [MEMORY_MOST] = {"container_memory_max_usage_bytes", false, "Most memory that was in use"},
    [MEMORY_RSS] = {"container_memory_rss", false, "Bytes of anonymous memory"},
    [MEMORY_SWAP] = {"container_memory_swap", false, "Bytes in swap space"},
    [MEMORY_USAGE] = {"container_memory_usage_bytes", false, "Memory in use, page cache included"},
    [MEMORY_WORKING_SET] = {"container_memory_working_set_bytes", false,
                            "Memory in use, less page cache that was not used lately"},
    [NETWORK_RECEIVED_BYTES] = {"container_network_receive_bytes_total", true, "Bytes received"},
    [NETWORK_RECEIVED] = {"container_network_receive_packets_total", true, "Packets received"},
    [NETWORK_RECEIVE_ERRORS] = {"container_network_receive_errors_total", true,
                                "Errors while receiving"},
    [NETWORK_RECEIVE_DROPPED] = {"container_network_receive_packets_dropped_total", true,
                                 "Packets dropped while receiving"},
    [NETWORK_SENT_BYTES] = {"container_network_transmit_bytes_total", true, "Bytes sent"},
    [NETWORK_SENT] = {"container_network_transmit_packets_total", true, "Packets sent"},
    [NETWORK_SEND_ERRORS] = {"container_network_transmit_errors_total", true,
                             "Errors while sending"},
    [NETWORK_SEND_DROPPED] = {"container_network_transmit_packets_dropped_total", true,
                              "Packets dropped while sending"},
    [OOM_EVENTS] = {"container_oom_events_total", true, "Processes killed for want of memory"},
    [PRESSURE_CPU_STALLED] = {"container_pressure_cpu_stalled_seconds_total", true,
                              "Time in which all waited for a CPU"},
    [PRESSURE_CPU_WAITING] = {"container_pressure_cpu_waiting_seconds_total", true,
                              "Time in which some waited for a CPU"},
    [PRESSURE_IO_STALLED] = {"container_pressure_io_stalled_seconds_total", true,
                             "Time in which all waited for a device"},
    [PRESSURE_IO_WAITING] = {"container_pressure_io_waiting_seconds_total", true,
                             "Time in which some waited for a device"},
    [PRESSURE_MEMORY_STALLED] = {"container_pressure_memory_stalled_seconds_total", true,
                                 "Time in which all waited for memory"},
    [PRESSURE_MEMORY_WAITING] = {"container_pressure_memory_waiting_seconds_total", true,
                                 "Time in which some waited for memory"},
    [PROCESSES] = {"container_processes", false, "Processes"},
    [SPEC_CPU_PERIOD] = {"container_spec_cpu_period", false,
                         "Period of the CPU limit, in microseconds"},
    [SPEC_CPU_QUOTA] = {"container_spec_cpu_quota", false,
                        "CPU time in a period, in microseconds"},
    [SPEC_CPU_SHARES] = {"container_spec_cpu_shares", false, "Weight, as shares of version 1"},
    [SPEC_MEMORY_LIMIT] = {"container_spec_memory_limit_bytes", false,
                           "Most memory that may be in use; 0 without a limit"},
    [SPEC_MEMORY_RESERVATION] = {"container_spec_memory_reservation_limit_bytes", false,
                                 "Memory that others do not take; 0 for none"},
    [SPEC_MEMORY_SWAP_LIMIT] = {"container_spec_memory_swap_limit_bytes", false,
                                "Most swap space; 0 without a limit"},
    [START_TIME] = {"container_start_time_seconds", false,
                    "Start of the first process, in seconds since 1970"},
    [THREADS] = {"container_threads", false, "Threads"},
    [THREADS_MOST] = {"container_threads_max", false, "Most threads; 0 without a limit"},
    [VERSION] = {"cadvisor_version_info", false, "What serves these metrics; the value is 1"},
    [MACHINE_CORES] = {"machine_cpu_cores", false, "CPUs"},
    [MACHINE_MEMORY] = {"machine_memory_bytes", false, "Memory of the machine"},
    /* clang-format on */
};

static struct text metrics_samples[METRICS];

void metrics_add(enum metric metric, const char *labels, double value)
{
    text_add(&metrics_samples[metric], *labels ? "%s{%s} %.17g\n" : "%s%s %.17g\n",
             metrics_known[metric].name, labels, value);
}

void metrics_write(struct text *page)
{
    for (int i = 0; i < METRICS; i++) {
        if (!metrics_samples[i].length)
            continue;
        const char *name = metrics_known[i].name;
        text_add(page, "# HELP %s %s\n# TYPE %s %s\n%s", name, metrics_known[i].help, name,
                 metrics_known[i].counter ? "counter" : "gauge", metrics_samples[i].bytes);
    }
}
