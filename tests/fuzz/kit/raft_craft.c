#include "fuzz/kit/raft_craft.h"

#include <stdio.h>

#define ENTRIES_MANY 40

static struct pc_blob *blob_of(struct pc_buf *bytes)
{
    struct pc_blob *blob = NULL;
    PC_ASSERT(pc_blob_new(pc_slice_of(bytes->data, bytes->len), &blob) == PC_OK);
    pc_buf_destroy(bytes);
    return blob;
}

static void encode_some_command(uint8_t what, uint32_t number, struct pc_buf *out)
{
    static const enum pc_op ops[] = {
        PC_OP_SET, PC_OP_DELETE, PC_OP_EXPIRE, PC_OP_PERSIST, PC_OP_TICK};
    char key[16], value[16];
    struct pc_command command = {.op = ops[what % 5]};
    (void)snprintf(key, sizeof key, "k%u", number % 7);
    (void)snprintf(value, sizeof value, "%u", number);
    if (command.op != PC_OP_TICK) {
        command.key = pc_slice_str(key);
    }
    if (command.op == PC_OP_SET) {
        command.value = pc_slice_str(value);
    }
    command.has_ttl = command.op == PC_OP_EXPIRE || (command.op == PC_OP_SET && (what & 64) != 0);
    command.ttl_ms = command.has_ttl ? number % 5000 : 0;
    if (command.op != PC_OP_TICK && (what & 128) != 0) {
        command.condition = (enum pc_condition)(1 + number % PC_IF_PRESENT);
        command.if_version = command.condition == PC_IF_VERSION ? 1 + number / 3 : 0;
    }
    pc_wire_encode_command(&command, out);
}

static void encode_some_config(uint32_t number, struct pc_buf *out)
{
    struct pc_cluster_config config = {.members_n = 1 + number % 5, .history = {9}};
    for (size_t i = 0; i < config.members_n; i++) {
        config.members[i].id = i + 1;
        config.members[i].votes = i == 0 || ((number >> 4) & (1U << i)) == 0;
        (void)snprintf(config.members[i].name, sizeof config.members[i].name, "node%zu", i + 1);
    }
    pc_wire_encode_config(&config, out);
}

struct pc_blob *craft_body(enum pc_entry_kind kind, uint8_t what, uint32_t number)
{
    struct pc_buf bytes = {0};
    if (kind == PC_ENTRY_NOOP) {
        return NULL;
    }
    if ((what & 0x30) == 0x30) {
        pc_buf_append_u32(&bytes, number); /* no encoding of anything */
    } else if (kind == PC_ENTRY_CONFIG) {
        encode_some_config(number, &bytes);
    } else {
        encode_some_command(what, number, &bytes);
    }
    return blob_of(&bytes);
}

/* ---- what the receiver has */
static pc_term term_at(const struct pc_raft *raft, pc_index index)
{
    struct pc_raft_status status;
    pc_raft_status(raft, &status);
    bool is_known = index <= status.last && (index == 0 || index + 1 >= status.first);
    return is_known ? pc_raft_term_at(raft, index) : status.term;
}

static struct pc_hash chain_at(const struct pc_raft *raft, pc_index index)
{
    const struct pc_entry *entry = pc_raft_entry(raft, index);
    return entry != NULL ? entry->chain : (struct pc_hash){{0}};
}

static pc_ms stamp_at(const struct pc_raft *raft, pc_index index)
{
    const struct pc_entry *entry = pc_raft_entry(raft, index);
    return entry != NULL ? entry->stamp_ms : 0;
}

/* ---- APPEND
 *   c: bit 0 another previous term, 1 another previous chain, 2-3 entries, 4 a wrong chain,
 *      5-6 the commit index, 7 (of every message) counts from the commit index, not the log's end
 *   d: bits 0-7 a number, 8 many entries, 9-12 kinds, 13-16 terms and stamps */
static void craft_entries(
    struct pc_raft_msg *m, const struct pc_raft *raft, const struct fuzz_op *op, pc_ms stamp)
{
    static const enum pc_entry_kind kinds[] = {
        PC_ENTRY_COMMAND, PC_ENTRY_NOOP, PC_ENTRY_COMMAND, PC_ENTRY_CONFIG};
    size_t n = (op->c >> 2) & 3;
    n = n == 3 && (op->d & 0x100) != 0 ? ENTRIES_MANY : n;
    struct pc_hash chain = m->u.append.prev_chain;
    bool as_is = (op->d & 0x2000) == 0; /* what the receiver has at these places, where it has */
    for (size_t i = 0; i < n; i++) {
        pc_index index = m->u.append.prev_index + 1 + i;
        const struct pc_entry *mine = pc_raft_entry(raft, index);
        if (as_is && mine != NULL) {
            pc_entries_push(&m->entries, mine);
            chain = mine->chain;
            continue;
        }
        stamp += (op->d >> 14) & 1 ? op->d >> 16 : 1;
        struct pc_entry entry = {.index = index,
            .term = (op->d & 0x8000) != 0 ? m->u.append.prev_term : m->term,
            .stamp_ms = stamp,
            .req = {.node = 2, .boot = 1, .seq = op->d & 0xff},
            .kind = kinds[(op->d >> 9) & 3]};
        entry.body = craft_body(entry.kind, op->c, op->d >> 3);
        entry.chain = pc_entry_chain(&chain, &entry);
        entry.chain.b[0] ^= (op->c & 16) != 0;
        chain = entry.chain;
        pc_entries_push(&m->entries, &entry);
        pc_entry_clear(&entry);
    }
}

static void craft_append(struct pc_raft_msg *m, const struct pc_raft *raft,
    const struct fuzz_op *op, const struct pc_raft_status *status, pc_index index)
{
    m->u.append.prev_index = index;
    m->u.append.prev_term = term_at(raft, index);
    if ((op->c & 1) != 0) {
        m->u.append.prev_term = fuzz_near(m->u.append.prev_term, (uint8_t)op->d, op->d >> 4);
    }
    m->u.append.prev_chain = chain_at(raft, index);
    m->u.append.prev_chain.b[3] ^= (op->c & 2) != 0;
    m->u.append.round = op->d & 0xff;
    m->u.append.clock_ms = fuzz_near(stamp_at(raft, status->last), (uint8_t)(op->d >> 4), op->d);
    m->u.append.clock_ms &= UINT64_MAX / 2;
    craft_entries(m, raft, op, stamp_at(raft, index));
    switch ((op->c >> 5) & 3) {
    case 0:
        m->u.append.commit = index + m->entries.n;
        break;
    case 1:
        m->u.append.commit = fuzz_near(status->commit, (uint8_t)op->d, op->d);
        break;
    case 2:
        m->u.append.commit = UINT64_MAX;
        break;
    default:
        break;
    }
}

/* Everything but APPEND. */
static void craft_fields(
    struct pc_raft_msg *m, const struct pc_raft *raft, const struct fuzz_op *op, pc_index index)
{
    bool yes = (op->c & 1) != 0;
    bool second = (op->c & 2) != 0;
    switch (m->type) {
    case PC_RAFT_MSG_VOTE:
        m->u.vote.pre = yes;
        m->u.vote.transfer = second;
        m->u.vote.last_index = index;
        m->u.vote.last_term = fuzz_near(term_at(raft, index), (uint8_t)op->d, op->d >> 8);
        break;
    case PC_RAFT_MSG_VOTE_RESP:
        m->u.vote_resp.pre = yes;
        m->u.vote_resp.granted = second;
        m->u.vote_resp.clock_ms = fuzz_near(1000, (uint8_t)op->d, op->d) & (UINT64_MAX / 2);
        break;
    case PC_RAFT_MSG_APPEND_RESP:
        m->u.append_resp.accepted = !yes;
        m->u.append_resp.match = index;
        m->u.append_resp.hint = fuzz_near(index, (uint8_t)op->d, op->d >> 8);
        m->u.append_resp.hint_term = fuzz_near(m->term, (uint8_t)(op->d >> 4), op->d >> 8);
        m->u.append_resp.round = fuzz_near(op->c >> 2, (uint8_t)(op->d >> 8), op->d);
        m->u.append_resp.fetching = (op->c & 0x60) == 0x60 ? index + op->d % 64 : 0;
        break;
    case PC_RAFT_MSG_READ:
    case PC_RAFT_MSG_READ_RESP:
        m->u.read.ctx = op->d & 15;
        m->u.read.index = index;
        break;
    case PC_RAFT_MSG_SNAPSHOT:
        m->u.snapshot.first = index;
        m->u.snapshot.commit = fuzz_near(index, (uint8_t)op->d, op->d >> 8);
        m->u.snapshot.round = op->d & 0xff;
        m->u.snapshot.clock_ms = fuzz_near(1000, (uint8_t)op->d, op->d) & (UINT64_MAX / 2);
        break;
    case PC_RAFT_MSG_APPEND:
    case PC_RAFT_MSG_TIMEOUT_NOW:
        break;
    }
}

bool craft_through_wire(struct pc_msg *msg, struct pc_msg *out)
{
    struct pc_buf bytes = {0};
    pc_wire_encode_msg(msg, &bytes);
    pc_err err = pc_wire_decode_msg(pc_slice_of(bytes.data, bytes.len), msg->from, msg->to, out);
    pc_buf_destroy(&bytes);
    pc_msg_clear(msg);
    return err == PC_OK;
}

bool craft_raft_msg(const struct pc_raft *raft, const struct fuzz_op *op, struct pc_msg *out)
{
    struct pc_raft_status status;
    pc_raft_status(raft, &status);
    pc_node_id from = 2 + (op->a >> 3) % CRAFT_PEERS;
    struct pc_msg msg = {.type = PC_MSG_RAFT, .from = from, .to = CRAFT_SELF};
    struct pc_raft_msg *m = &msg.raft;
    m->type =
        op->code >= CRAFT_CODE_NEW ? PC_RAFT_MSG_SNAPSHOT : (enum pc_raft_msg_type)(1 + op->a % 7);
    m->from = from;
    m->to = CRAFT_SELF;
    m->term = fuzz_near(status.term, op->b & 15, op->d >> 8);
    pc_index base = (op->c & 128) != 0 ? status.commit : status.last;
    pc_index index = fuzz_near(base, op->b >> 4, op->d >> 8);
    if (m->type == PC_RAFT_MSG_APPEND) {
        craft_append(m, raft, op, &status, index);
    } else {
        craft_fields(m, raft, op, index);
    }
    return craft_through_wire(&msg, out);
}

/* As far as the wire carries it. */
static pc_ms later(pc_ms stamp, pc_ms more)
{
    return stamp + more < PC_CLOCK_MS_MAX ? stamp + more : PC_CLOCK_MS_MAX;
}

struct pc_raft_base craft_base(const struct pc_raft *raft, const struct fuzz_op *op)
{
    struct pc_raft_status status;
    pc_raft_status(raft, &status);
    pc_index commit = status.commit;
    const struct pc_entry *mine = pc_raft_entry(raft, commit + 1 + op->a % 8);
    if (mine != NULL && (op->b & 1) != 0) {
        return pc_raft_base_of(mine);
    }
    const struct pc_entry *before = commit > 0 ? pc_raft_entry(raft, commit) : NULL;
    struct pc_raft_base base = {.index = commit + 1 + op->a % 8,
        .term = (commit > 0 ? pc_raft_term_at(raft, commit) : 1) + op->c % 4,
        .stamp_ms = later(before != NULL ? before->stamp_ms : 1000, op->d % 5000)};
    base.chain.b[0] = 1 + op->c;
    return base;
}

bool craft_next_config(const struct pc_raft *raft, const struct fuzz_op *op, struct pc_blob **body)
{
    struct pc_cluster_config next = {.history = {9}};
    const struct pc_raft_config *config = pc_raft_config_get(raft);
    size_t voters = 0;
    for (pc_node_id id = 1; id < 2 + CRAFT_PEERS; id++) {
        bool votes = pc_raft_is_voter(raft, id), learns = false;
        for (size_t i = 0; i < config->learners_n; i++) {
            learns |= config->learners[i] == id;
        }
        if (id == 1 + op->a % (CRAFT_PEERS + 1U)) {
            votes = op->b % 3 == 0;
            learns = op->b % 3 == 1;
        }
        if (votes || learns) {
            struct pc_cluster_member *member = &next.members[next.members_n++];
            member->id = id;
            member->votes = votes;
            (void)snprintf(member->name, sizeof member->name, "node%d", (int)id);
            voters += votes ? 1 : 0;
        }
    }
    if (voters == 0) {
        return false;
    }
    struct pc_buf bytes = {0};
    pc_wire_encode_config(&next, &bytes);
    *body = blob_of(&bytes);
    return true;
}

void craft_offer(const struct pc_raft *raft, const struct fuzz_op *op,
    const struct pc_raft_base *snap, struct pc_entries *out)
{
    struct pc_raft_status now;
    pc_raft_status(raft, &now);
    const struct pc_entry *last = pc_raft_entry(raft, now.last);
    struct pc_hash chain = last != NULL ? last->chain : snap->chain;
    pc_ms stamp = last != NULL ? last->stamp_ms : snap->stamp_ms;
    for (size_t i = 0; i < 1U + op->a % 4; i++) {
        struct pc_entry entry = {.index = now.last + 1 + i + ((op->b & 7) == 7),
            .term = pc_raft_term_at(raft, now.last) + ((op->b >> 3) & 1),
            .stamp_ms = stamp = later(stamp, op->d & 7),
            .kind = (op->c & 6) == 6 ? PC_ENTRY_CONFIG : PC_ENTRY_COMMAND};
        entry.body = craft_body(entry.kind, op->c, op->d);
        entry.chain = pc_entry_chain(&chain, &entry);
        entry.chain.b[1] ^= (op->c & 9) == 9;
        chain = entry.chain;
        pc_entries_push(out, &entry);
        pc_entry_clear(&entry);
    }
}

struct pc_raft_config craft_config_at(const struct pc_raft *raft, pc_index upto)
{
    struct pc_raft_config config = *pc_raft_config_committed(raft);
    for (pc_index i = config.index + 1; i <= upto; i++) {
        const struct pc_entry *entry = pc_raft_entry(raft, i);
        if (entry != NULL && entry->kind == PC_ENTRY_CONFIG) {
            PC_ASSERT(pc_wire_raft_config(pc_blob_slice(entry->body), &config));
            config.index = i;
        }
    }
    return config;
}
