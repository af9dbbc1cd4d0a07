/* Anti-entropy: every push-pull interval a member sends the digest of its table to another. If that
 * one's table comes to the same, which is what gossip sees to nearly always, that was all. If not,
 * or when a node joins, push-pull: the two show each other their whole tables, page by page.
 *
 * A page is one datagram. PUSH page p of P is answered by the answerer's PULL pages p, p + P,
 * p + 2P and so on: every page of both tables goes over once when nothing is lost, no answer waits
 * for a complete question, and nothing need be remembered in between. What is lost comes next time.
 *
 *     asker                       answerer (5 pages of its own)
 *       |--- PUSH 0/2 ------------->|
 *       |--- PUSH 1/2 ------------->|
 *       |<-- PULL 0/5, 2/5, 4/5 ----|
 *       |<-- PULL 1/5, 3/5 ---------|
 */
#include "swim_int.h"

#include "pcache/assert.h"

/* A digest is a sum over the members, so that it does not matter that everybody begins with itself.
 * Members are authenticated: it guards against chance, not against choice. */
static uint64_t mix(uint64_t hash, uint64_t v)
{
    hash = (hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t digest_member(const struct pc_member *member)
{
    uint64_t hash = mix(member->id, member->generation);
    hash = mix(hash, (uint64_t)member->incarnation << 8 | (uint64_t)member->state);
    hash = mix(hash, member->addr.port);
    for (size_t i = 0; i < sizeof member->addr.ip; i++) {
        hash = mix(hash, member->addr.ip[i]);
    }
    for (const char *at = member->name; *at != '\0'; at++) {
        hash = mix(hash, (uint8_t)*at);
    }
    return mix(hash, 0);
}

uint64_t pc_swim_digest(const struct pc_swim *swim)
{
    uint64_t sum = 0;
    PC_ASSERT(swim->n > 0);
    for (size_t i = 0; i < swim->n; i++) {
        sum += digest_member(&swim->members[i]);
    }
    return sum;
}

/* The index behind the last member of the page that begins at `first`. */
static size_t page_end(const struct pc_swim *swim, size_t first)
{
    PC_ASSERT(first < swim->n);
    size_t left = pc_swim_updates_budget(swim);
    size_t i = first;
    while (i < swim->n && i - first < PC_SWIM_UPDATES_MAX) {
        size_t bytes = pc_swim_update_bytes(&swim->members[i]);
        if (bytes > left) {
            break;
        }
        left -= bytes;
        i++;
    }
    PC_ASSERT(i > first);
    return i;
}

static uint32_t count_pages(const struct pc_swim *swim)
{
    uint32_t pages = 0;
    for (size_t i = 0; i < swim->n; i = page_end(swim, i)) {
        pages++;
    }
    PC_ASSERT(pages > 0);
    return pages;
}

/* Sends the pages first_page, first_page + step, ... */
static void send_pages(struct pc_swim *swim, const struct pc_addr *to, enum pc_swim_msg_type type,
    uint32_t first_page, uint32_t step)
{
    PC_ASSERT(step > 0);
    uint32_t pages = count_pages(swim);
    size_t begin = 0;
    for (uint32_t page = 0; page < pages; page++) {
        size_t end = page_end(swim, begin);
        if (page >= first_page && (page - first_page) % step == 0) {
            struct pc_swim_msg *msg = pc_swim_send(swim, to, type);
            msg->page = page;
            msg->pages = pages;
            for (size_t i = begin; i < end; i++) {
                msg->updates[msg->updates_n++] = swim->members[i];
            }
        }
        begin = end;
    }
    PC_ASSERT(begin == swim->n);
}

void pc_swim_push(struct pc_swim *swim, const struct pc_addr *to)
{
    send_pages(swim, to, PC_SWIM_PUSH, 0, 1);
}

void pc_swim_recv_push(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    PC_ASSERT(msg->type == PC_SWIM_PUSH);
    PC_ASSERT(pc_swim_index(swim, msg->from) != 0);
    if (msg->pages > PC_MEMBERS_MAX || msg->page >= msg->pages) {
        swim->stats.messages_ignored++;
        return;
    }
    send_pages(swim, from, PC_SWIM_PULL, msg->page, msg->pages);
}

void pc_swim_recv_digest(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    PC_ASSERT(msg->type == PC_SWIM_DIGEST);
    if (msg->nonce != pc_swim_digest(swim)) {
        pc_swim_push(swim, from);
    }
}

static void send_digest(struct pc_swim *swim, enum swim_kind kind)
{
    if (pc_swim_draw(swim, kind, 0, 1) == 1) {
        const struct pc_member *to = &swim->members[swim->scratch[0]];
        PC_ASSERT(to->id != swim->opts.self.id);
        struct pc_swim_msg *msg = pc_swim_send(swim, &to->addr, PC_SWIM_DIGEST);
        msg->nonce = pc_swim_digest(swim);
        pc_swim_piggyback(swim, msg, to->id);
    }
}

void pc_swim_sync_tick(struct pc_swim *swim)
{
    if (!pc_instant_is_due(swim->push_pull_at, swim->now)) {
        return;
    }
    swim->push_pull_at = pc_instant_add_ms(swim->now, swim->opts.push_pull_interval_ms);
    send_digest(swim, SWIM_LIVE);
    send_digest(swim, SWIM_DEAD);
}
