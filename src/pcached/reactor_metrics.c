#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"
#include "reactor.h"

static void metric(
    struct pc_buf *out, const char *type, const char *name, const char *labels, uint64_t value)
{
    char line[256];
    int used;
    if (type != NULL) {
        used = snprintf(line, sizeof line, "# TYPE pcached_%s %s\n", name, type);
        PC_ASSERT(used > 0 && (size_t)used < sizeof line);
        pc_buf_append(out, line, (size_t)used);
    }
    used = snprintf(line, sizeof line, "pcached_%s%s %" PRIu64 "\n", name, labels, value);
    PC_ASSERT(used > 0 && (size_t)used < sizeof line);
    pc_buf_append(out, line, (size_t)used);
}

static void log_metrics(struct reactor *r, struct pc_buf *out)
{
    struct pc_wal_stats stats;
    pc_wal_thread_stats(r->wal, &stats);
    metric(out, "gauge", "log_segments", "", stats.segments);
    metric(out, "counter", "log_written_bytes_total", "", stats.bytes_written);
    metric(out, "counter", "log_damaged_loads_total", "", stats.damaged_loads);
    uint64_t count = 0;
    for (unsigned i = 0; i < 16; i++) {
        char labels[64];
        count += stats.sync_buckets[i];
        if (i < 15) {
            (void)snprintf(labels, sizeof labels, "{le=\"%.6f\"}", (double)(32u << i) / 1e6);
        } else {
            (void)snprintf(labels, sizeof labels, "{le=\"+Inf\"}");
        }
        char line[128];
        int used = snprintf(line, sizeof line, "%spcached_fsync_seconds_bucket%s %" PRIu64 "\n",
            i == 0 ? "# TYPE pcached_fsync_seconds histogram\n" : "", labels, count);
        PC_ASSERT(used > 0 && (size_t)used < sizeof line);
        pc_buf_append(out, line, (size_t)used);
    }
    char line[128];
    int used = snprintf(line, sizeof line,
        "pcached_fsync_seconds_sum %.6f\npcached_fsync_seconds_count %" PRIu64 "\n",
        (double)stats.sync_us_total / 1e6, stats.syncs);
    PC_ASSERT(used > 0 && (size_t)used < sizeof line);
    pc_buf_append(out, line, (size_t)used);
}

static void bus_metrics(struct reactor *r, struct pc_buf *out)
{
    struct pc_bus_stats s;
    pc_bus_stats(r->bus, &s);
    metric(out, "counter", "bus_frames_sent_total", "", s.frames_sent);
    metric(out, "counter", "bus_frames_received_total", "", s.frames_received);
    metric(out, "counter", "bus_sent_bytes_total", "", s.bytes_sent);
    metric(out, "counter", "bus_received_bytes_total", "", s.bytes_received);
    metric(out, "counter", "bus_handshakes_total", "", s.handshakes_ok);
    const char *name = "bus_rejected_total";
    metric(out, "counter", name, "{reason=\"key\"}", s.rejected_key);
    metric(out, NULL, name, "{reason=\"cluster\"}", s.rejected_cluster);
    metric(out, NULL, name, "{reason=\"version\"}", s.rejected_version);
    metric(out, NULL, name, "{reason=\"malformed\"}", s.rejected_malformed);
    metric(out, NULL, name, "{reason=\"identity\"}", s.rejected_identity);
    metric(out, NULL, name, "{reason=\"timeout\"}", s.rejected_timeout);
    metric(out, NULL, name, "{reason=\"limit\"}", s.rejected_limit);
    metric(out, "counter", "bus_withheld_total", "", s.withheld);
}

static void gossip_metrics(struct reactor *r, struct pc_buf *out)
{
    struct pc_gossip_stats s;
    pc_gossip_stats(r->gossip, &s);
    metric(out, "counter", "gossip_sent_total", "", s.sent);
    metric(out, "counter", "gossip_received_total", "", s.received);
    metric(out, "counter", "gossip_sent_bytes_total", "", s.bytes_sent);
    metric(out, "counter", "gossip_received_bytes_total", "", s.bytes_received);
    const char *name = "gossip_rejected_total";
    metric(out, "counter", name, "{reason=\"key\"}", s.rejected_key);
    metric(out, NULL, name, "{reason=\"replay\"}", s.rejected_replay);
    metric(out, NULL, name, "{reason=\"malformed\"}", s.rejected_malformed);
    metric(out, NULL, name, "{reason=\"rate\"}", s.rejected_rate);
    metric(out, NULL, name, "{reason=\"old_boot\"}", s.rejected_old_boot);
    metric(out, NULL, name, "{reason=\"version\"}", s.rejected_version);
    struct pc_swim_stats swim;
    pc_swim_stats(pc_node_swim(r->node), &swim);
    metric(out, "counter", "swim_probes_total", "", swim.probes);
    metric(out, "counter", "swim_probe_failures_total", "", swim.probe_failures);
    metric(out, "counter", "swim_suspicions_total", "", swim.suspicions);
    metric(out, "counter", "swim_deaths_total", "", swim.deaths);
    metric(out, "counter", "swim_refutations_total", "", swim.refutations);
    metric(out, "gauge", "swim_health", "", swim.health);
}

void reactor_metrics(void *context, struct pc_buf *out)
{
    struct reactor *r = context;
    log_metrics(r, out);
    bus_metrics(r, out);
    gossip_metrics(r, out);
}
