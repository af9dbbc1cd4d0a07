/* What leaves the machine: log writes, and messages that wait until the log has what they promise.
 *
 * Each turn builds one write, and another one where the log is replaced. Its number is known
 * beforehand (write_seq + 1), so a promise made in the same turn can name the write that it depends
 * on. Held messages of a term that has passed are dropped: to the world they are messages that got
 * lost. */
#include "raft_int.h"

#include <string.h>

static struct pc_raft_write *write_building(struct pc_raft *r)
{
    if (!r->building_used) {
        PC_ASSERT(r->building.entries.n == 0 && !r->building.has_vote);
        r->building_used = true;
        r->building.seq = r->write_seq + 1;
    }
    return &r->building;
}

bool raft_disk_is_behind(const struct pc_raft *r)
{
    return r->marks_n >= RAFT_WRITES_BEHIND || r->unsynced_bytes >= RAFT_UNSYNCED_BYTES_MAX;
}

bool raft_disk_is_stalled(const struct pc_raft *r)
{
    return r->marks_n > 0 &&
           pc_instant_ms_between(r->marks[0].at, r->now) >= r->opts.election_max_ms;
}

uint64_t raft_write_barrier(const struct pc_raft *r)
{
    return r->building_used ? r->building.seq : r->write_seq;
}

void raft_write_vote(struct pc_raft *r)
{
    struct pc_raft_write *write = write_building(r);
    write->has_vote = true;
    write->term = r->term;
    write->vote = r->vote;
    r->term_seq = write->seq;
}

static void write_lower_marks(struct pc_raft *r, pc_index last)
{
    for (size_t i = 0; i < r->marks_n; i++) {
        if (r->marks[i].last > last) {
            r->marks[i].last = last;
        }
    }
    if (r->durable > last) {
        r->durable = last;
    }
}

void raft_write_truncate(struct pc_raft *r, pc_index from)
{
    PC_ASSERT(from > r->commit && from <= raft_log_last(&r->log));
    struct pc_raft_write *write = write_building(r);
    bool is_on_disk = write->entries.n == 0 || from < write->entries.v[0].index;
    /* Entries that this very write was going to append are simply not written. */
    while (write->entries.n > 0 && write->entries.v[write->entries.n - 1].index >= from) {
        pc_entry_clear(&write->entries.v[--write->entries.n]);
    }
    if (is_on_disk && (write->truncate_from == 0 || from < write->truncate_from)) {
        write->truncate_from = from;
    }
    raft_log_truncate(&r->log, from);
    raft_config_on_truncate(r, from);
    write_lower_marks(r, from - 1);
    r->acked = r->acked < from ? r->acked : from - 1;
}

void raft_write_append(struct pc_raft *r, const struct pc_entry *entry)
{
    raft_log_append(&r->log, entry);
    pc_entries_push(&write_building(r)->entries, entry);
    raft_config_on_append(r, entry);
}

/* What was promised of a log that is no more. */
static void outbox_drop_answers(struct pc_raft *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->held_n; i++) {
        if (r->held[i].msg.type == PC_RAFT_MSG_APPEND_RESP) {
            pc_raft_msg_clear(&r->held[i].msg);
        } else {
            r->held[kept++] = r->held[i];
        }
    }
    r->held_n = kept;
}

static size_t write_bytes(const struct pc_raft_write *write)
{
    size_t bytes = 0;
    for (size_t i = 0; i < write->entries.n; i++) {
        bytes += pc_entry_bytes(&write->entries.v[i]);
    }
    return bytes;
}

void raft_write_flush(struct pc_raft *r)
{
    if (!r->building_used) {
        return;
    }
    PC_ASSERT(r->building.seq == r->write_seq + 1);
    PC_ASSERT(r->marks_n == 0 || r->marks[r->marks_n - 1].seq < r->building.seq);
    r->write_seq = r->building.seq;
    r->building.commit = r->commit;
    if (r->marks_n == r->marks_cap) {
        r->marks_cap = r->marks_cap == 0 ? 64 : r->marks_cap * 2;
        r->marks = pc_xrealloc(r->marks, r->marks_cap * sizeof *r->marks);
    }
    r->marks[r->marks_n++] = (struct raft_write_mark){
        .seq = r->write_seq,
        .bytes = write_bytes(&r->building),
        .at = r->now,
        .last = raft_log_last(&r->log),
    };
    r->unsynced_bytes += r->marks[r->marks_n - 1].bytes;
    struct pc_raft_effects *fx = r->fx;
    if (fx->writes_n == fx->writes_cap) {
        fx->writes_cap = fx->writes_cap == 0 ? 4 : fx->writes_cap * 2;
        fx->writes = pc_xrealloc(fx->writes, fx->writes_cap * sizeof *fx->writes);
    }
    fx->writes[fx->writes_n++] = r->building;
    r->building = (struct pc_raft_write){0};
    r->building_used = false;
}

/* A term is durable before the log goes that was acknowledged in an earlier one: in between, a
 * crash would leave a node that has less than it had promised. What else is to be written is void.
 */
static void write_vote_apart(struct pc_raft *r)
{
    struct pc_raft_write *write = &r->building;
    PC_ASSERT(r->building_used && write->has_vote);
    pc_index before = write->entries.n > 0 ? write->entries.v[0].index - 1 : r->commit;
    pc_entries_clear(&write->entries);
    write->truncate_from = 0;
    raft_write_flush(r);
    struct pc_raft_write *flushed = &r->fx->writes[r->fx->writes_n - 1];
    flushed->commit = flushed->commit < before ? flushed->commit : before;
}

void raft_write_reset(struct pc_raft *r, const struct pc_raft_base *base)
{
    PC_ASSERT(r->role == PC_RAFT_FOLLOWER && base->index > r->commit);
    if (r->building_used && r->building.has_vote) {
        write_vote_apart(r);
    }
    struct pc_raft_write *write = write_building(r);
    pc_entries_clear(&write->entries);
    write->truncate_from = 0;
    write->has_reset = true;
    write->reset = *base;
    raft_log_reset(&r->log, base);
    raft_config_on_truncate(r, base->index + 1);
    write_lower_marks(r, base->index);
    outbox_drop_answers(r);
    r->durable = base->index; /* the snapshot is */
    r->acked = r->acked < base->index ? r->acked : base->index;
}

struct pc_raft_msg raft_msg(const struct pc_raft *r, enum pc_raft_msg_type type, pc_node_id to)
{
    return (struct pc_raft_msg){.type = type, .from = r->opts.id, .to = to, .term = r->term};
}

static void outbox_emit(struct pc_raft *r, const struct pc_raft_msg *msg)
{
    struct pc_raft_effects *fx = r->fx;
    if (fx->msgs_n == fx->msgs_cap) {
        fx->msgs_cap = fx->msgs_cap == 0 ? 16 : fx->msgs_cap * 2;
        fx->msgs = pc_xrealloc(fx->msgs, fx->msgs_cap * sizeof *fx->msgs);
    }
    fx->msgs[fx->msgs_n++] = *msg;
}

static bool held_is_due(const struct pc_raft *r, const struct raft_held *held)
{
    return held->need <= r->synced_seq && held->need_vote <= r->voted_seq;
}

void raft_send(struct pc_raft *r, struct pc_raft_msg *msg, uint64_t need)
{
    PC_ASSERT(msg->to != 0 && msg->to != r->opts.id);
    PC_ASSERT(need <= raft_write_barrier(r)); /* or it would wait for ever */
    struct raft_held held = {.need = need, .need_vote = r->term_seq, .msg = *msg};
    if (held_is_due(r, &held)) {
        outbox_emit(r, msg);
        return;
    }
    if (r->held_n == r->held_cap) {
        r->held_cap = r->held_cap == 0 ? 16 : r->held_cap * 2;
        r->held = pc_xrealloc(r->held, r->held_cap * sizeof *r->held);
    }
    r->held[r->held_n++] = held;
}

/* Sends what is due, drops what is of an old term, keeps the rest in order. */
static void outbox_release(struct pc_raft *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->held_n; i++) {
        struct raft_held *held = &r->held[i];
        if (held->msg.term < r->term) {
            pc_raft_msg_clear(&held->msg);
        } else if (held_is_due(r, held)) {
            outbox_emit(r, &held->msg);
        } else {
            r->held[kept++] = *held;
        }
    }
    r->held_n = kept;
}

void raft_recv_synced(struct pc_raft *r, uint64_t seq)
{
    PC_ASSERT(seq <= r->write_seq);
    if (seq <= r->synced_seq) {
        return;
    }
    r->synced_seq = seq;
    r->voted_seq = seq > r->voted_seq ? seq : r->voted_seq;
    size_t done = 0;
    for (; done < r->marks_n && r->marks[done].seq <= seq; done++) {
        if (r->marks[done].last > r->durable) {
            r->durable = r->marks[done].last;
        }
        PC_ASSERT(r->unsynced_bytes >= r->marks[done].bytes);
        r->unsynced_bytes -= r->marks[done].bytes;
    }
    r->marks_n -= done;
    memmove(r->marks, r->marks + done, r->marks_n * sizeof *r->marks);
    if (r->doubt != 0 && raft_log_term_at(&r->log, r->durable) > r->doubt) {
        r->doubt = 0; /* its leader had everything that is committed, and now this log has */
    }
    outbox_release(r);
    if (r->role == PC_RAFT_LEADER) {
        raft_commit_maybe_advance(r);
    }
}

void raft_recv_voted(struct pc_raft *r, uint64_t seq)
{
    PC_ASSERT(seq <= r->write_seq);
    if (seq > r->voted_seq) {
        r->voted_seq = seq;
        outbox_release(r);
    }
}

void raft_read_report(struct pc_raft *r, uint64_t ctx, pc_index index)
{
    struct pc_raft_effects *fx = r->fx;
    if (fx->reads_n == fx->reads_cap) {
        fx->reads_cap = fx->reads_cap == 0 ? 16 : fx->reads_cap * 2;
        fx->reads = pc_xrealloc(fx->reads, fx->reads_cap * sizeof *fx->reads);
    }
    fx->reads[fx->reads_n++] = (struct pc_raft_read_done){.ctx = ctx, .index = index};
}

void raft_load_request(struct pc_raft *r, pc_node_id peer, pc_index first, pc_index last)
{
    PC_ASSERT(first >= 1 && first <= last);
    struct pc_raft_effects *fx = r->fx;
    if (fx->loads_n == fx->loads_cap) {
        fx->loads_cap = fx->loads_cap == 0 ? 4 : fx->loads_cap * 2;
        fx->loads = pc_xrealloc(fx->loads, fx->loads_cap * sizeof *fx->loads);
    }
    fx->loads[fx->loads_n++] = (struct pc_raft_load){.peer = peer, .first = first, .last = last};
}
