/* One SWIM machine among members that may say anything. The input is a program of messages about a
 * few ids, with generations and incarnations near those known, and of time. Each message has been
 * through the wire. After every step: the invariants 42 to 45, no record goes back, and everything
 * that is sent fits a datagram. */
#include "fuzz/kit/fuzz.h"

#include <stdio.h>

#include "pcache/swim.h"
#include "pcache/wire_swim.h"

#define SELF 3
#define IDS 7
#define OPS_MAX 300
#define NONCES 16
#define CHECKED_MEMBERS 32
#define PACKET_BYTES 1340

struct world {
    struct pc_swim *swim;
    struct pc_swim_effects effects;
    struct pc_instant now;
    struct pc_member known[PC_MEMBERS_MAX]; /* before the step */
    size_t known_n;
    uint64_t nonces[NONCES]; /* of pings sent lately: an answer needs one */
    size_t nonces_n;
    unsigned steps;
    bool left;
};

static struct pc_addr addr_of(uint64_t id)
{
    struct pc_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = 7946};
    addr.ip[14] = (uint8_t)(id >> 8);
    addr.ip[15] = (uint8_t)id;
    return addr;
}

/* ---- properties */
static int record_order(const struct pc_member *a, const struct pc_member *b)
{
    if (a->generation != b->generation) {
        return a->generation < b->generation ? -1 : 1;
    }
    if (a->incarnation != b->incarnation) {
        return a->incarnation < b->incarnation ? -1 : 1;
    }
    return a->state == b->state ? 0 : a->state < b->state ? -1 : 1;
}

static void check_records(struct world *w)
{
    for (size_t i = 0; i < w->known_n; i++) {
        const struct pc_member *now = pc_swim_find(w->swim, w->known[i].id);
        FUZZ_CHECK("B.43 B.44", now == NULL || record_order(&w->known[i], now) <= 0);
    }
    const struct pc_member *members;
    w->known_n = pc_swim_members(w->swim, &members);
    FUZZ_CHECK("a bound", w->known_n <= PC_MEMBERS_MAX);
    memcpy(w->known, members, w->known_n * sizeof *members);
    FUZZ_CHECK("B.42",
        members[0].id == SELF && members[0].state == (w->left ? PC_MEMBER_LEFT : PC_MEMBER_ALIVE));
}

static void check_out(struct world *w, const struct pc_swim_out *out)
{
    struct pc_buf bytes = {0};
    FUZZ_CHECK("sent to somebody", !pc_addr_is_none(&out->to));
    FUZZ_CHECK("a message has an encoding", pc_wire_encode_swim(&out->msg, &bytes) == PC_OK);
    FUZZ_CHECK("it fits", bytes.len <= PACKET_BYTES);
    struct pc_swim_msg twin;
    FUZZ_CHECK("the others take it",
        pc_wire_decode_swim(pc_slice_of(bytes.data, bytes.len), &twin) == PC_OK);
    pc_buf_destroy(&bytes);
    for (uint32_t i = 0; i < out->msg.updates_n; i++) {
        const struct pc_member *said = &out->msg.updates[i];
        FUZZ_CHECK("B.42",
            said->id != SELF || said->state == PC_MEMBER_ALIVE || said->state == PC_MEMBER_LEFT);
    }
    if (out->msg.type == PC_SWIM_PING) {
        w->nonces[w->nonces_n++ % NONCES] = out->msg.nonce;
    }
}

static void step(struct world *w, struct pc_swim_event *event)
{
    event->now = w->now;
    w->effects.out_n = w->effects.changed_n = 0;
    pc_swim_step(w->swim, event, &w->effects);
    if (w->known_n < CHECKED_MEMBERS || w->steps++ % 64 == 0) {
        pc_swim_check(w->swim); /* looks at every pair of members */
    }
    for (size_t i = 0; i < w->effects.out_n; i++) {
        check_out(w, &w->effects.out[i]);
    }
    check_records(w);
}

/* ---- messages: a: type and sender, b: generation and nonce, c: updates, d: what they say */
static struct pc_member craft_update(const struct world *w, const struct fuzz_op *op, unsigned i)
{
    unsigned shift = (i * 7) % 24;
    uint32_t bits = op->d >> shift | op->d << (32 - shift) % 32;
    uint64_t id = 1 + bits % IDS;
    if ((op->c & 0xc0) == 0xc0) {
        id = 1000 + bits % 2000; /* so many that the table fills */
    }
    const struct pc_member *known = pc_swim_find(w->swim, id);
    struct pc_member member = {.id = id,
        .addr = addr_of((bits >> 3) % 5 != 0 ? id : id + 1),
        .generation = known != NULL ? known->generation : 10,
        .incarnation = known != NULL ? known->incarnation : 1,
        .state = (enum pc_member_state)(PC_MEMBER_ALIVE + (bits >> 6) % 4),
        .accuser = (bits >> 8) % (IDS + 1)};
    member.generation =
        fuzz_near(member.generation, (bits >> 11) % 4 == 0 ? bits >> 13 & 15 : 0, bits);
    member.incarnation =
        (uint32_t)fuzz_near(member.incarnation, (uint8_t)(bits >> 17 & 15), bits >> 5);
    (void)snprintf(member.name, sizeof member.name, "n%llu", (unsigned long long)id);
    if ((bits >> 21 & 7) == 7) {
        member.addr = (struct pc_addr){0};
    }
    return member;
}

static void craft(struct world *w, const struct fuzz_op *op, struct pc_swim_msg *out)
{
    uint64_t from = 1 + (op->a >> 3) % (IDS + 2);
    const struct pc_member *known = pc_swim_find(w->swim, from);
    *out = (struct pc_swim_msg){.type = (enum pc_swim_msg_type)(1 + op->a % 8),
        .from = from,
        .from_generation = fuzz_near(known != NULL ? known->generation : 10, op->b & 15, op->d),
        .nonce = (op->b & 16) != 0 ? op->d : w->nonces[(op->b >> 5) % NONCES],
        .target_id = op->d % (IDS + 1),
        .target = addr_of(op->d % (IDS + 1)),
        .page = (op->d >> 8) % 5,
        .pages = (op->d >> 11) % 6,
        .updates_n = (op->c & 0xc0) == 0xc0 ? op->c & 31 : (op->c & 63) % 6};
    if (out->type == PC_SWIM_ACK && (op->b & 16) == 0) {
        out->target_id = from;
    }
    for (uint32_t i = 0; i < out->updates_n; i++) {
        out->updates[i] = craft_update(w, op, i);
    }
}

static void recv(struct world *w, const struct fuzz_op *op)
{
    struct pc_swim_msg msg, arrived;
    craft(w, op, &msg);
    struct pc_buf bytes = {0};
    if (pc_wire_encode_swim(&msg, &bytes) == PC_OK &&
        pc_wire_decode_swim(pc_slice_of(bytes.data, bytes.len), &arrived) == PC_OK) {
        struct pc_swim_event event = {.type = PC_SWIM_RECV, .msg = &arrived};
        event.addr = addr_of((op->b & 128) != 0 ? op->d : msg.from);
        step(w, &event);
    }
    pc_buf_destroy(&bytes);
}

static void wake(struct world *w, bool early)
{
    struct pc_instant at = pc_swim_wake_at(w->swim);
    if (!early && at.us > w->now.us && at.us != UINT64_MAX) {
        w->now = at;
    }
    struct pc_swim_event event = {.type = PC_SWIM_WAKE};
    step(w, &event);
}

static void run_op(struct world *w, const struct fuzz_op *op)
{
    struct pc_swim_event event = {.type = PC_SWIM_CONTACT, .id = 1 + op->a % (IDS + 2)};
    switch (op->code % 10) {
    case 0:
    case 1:
    case 2:
        recv(w, op);
        return;
    case 3:
    case 4:
        wake(w, false);
        return;
    case 5:
        wake(w, true);
        return;
    case 6:
        for (unsigned i = 0; i < op->a % 40; i++) {
            wake(w, false);
        }
        return;
    case 7:
        w->now = pc_instant_add_ms(w->now, op->d % 100000);
        return;
    case 8:
        event.type = op->b % 16 == 0 ? PC_SWIM_LEAVE : PC_SWIM_JOIN;
        event.addr = addr_of(op->a % (IDS + 2));
        w->left = w->left || event.type == PC_SWIM_LEAVE;
        break;
    default:
        break;
    }
    step(w, &event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct fuzz_op op;
    if (!fuzz_next(&in, &op)) {
        return 0;
    }
    struct world *w = pc_xalloc(sizeof *w);
    w->now.us = 1000 * 1000;
    struct pc_swim_opts opts = {0};
    pc_swim_opts_default(&opts);
    opts.self = (struct pc_member){
        .id = SELF, .generation = 10 + (op.a & 1), .state = PC_MEMBER_ALIVE, .name = "n3"};
    if ((op.a & 2) != 0) {
        opts.self.addr = addr_of(SELF);
    }
    opts.seed = op.d;
    opts.packet_bytes_max = PACKET_BYTES;
    w->swim = pc_swim_new(&opts, w->now);
    for (int i = 0; i < OPS_MAX && fuzz_next(&in, &op); i++) {
        run_op(w, &op);
    }
    pc_swim_delete(w->swim);
    pc_swim_effects_destroy(&w->effects);
    free(w);
    return 0;
}
