/* From a snapshot on this node's disk to a store: at a start, and when one was fetched from a peer.
 *
 * Chunks are read a few ahead and go into a store of their own. What clients read meanwhile is the
 * old one, if there is one. Nothing of it counts before the digest of the whole is right. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

bool node_load_is_on(const struct pc_node *n)
{
    return n->load.is_on;
}

bool node_load_is_first(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    return n->applied == 0 && (n->load.is_on || status.first > 1 || node_digest_waits_for_peer(n));
}

bool node_load_is_waited_for(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    return n->applied < n->snapshot.damaged_at ||
           (n->snapshot.newest.is_damaged && n->applied + 1 < status.first);
}

void node_load_begin(struct pc_node *n)
{
    struct node_load *l = &n->load;
    const struct node_newest *newest = &n->snapshot.newest;
    PC_ASSERT(!l->is_on && newest->base.index > n->applied);
    struct pc_store_opts opts = {{0}};
    memcpy(opts.hash_seed, n->opts.store_seed, sizeof opts.hash_seed);
    *l = (struct node_load){
        .is_on = true,
        .store = pc_store_new(&opts),
        .first_tag = n->snapshot.last_tag + 1,
    };
    n->snapshot.last_tag += newest->chunks;
    pc_err err = pc_wire_decode_snapshot_meta(pc_blob_slice(newest->meta), &l->meta);
    PC_ASSERT(err == PC_OK);
    pc_store_load_begin(l->store, l->meta.items);
}

void node_load_adopt(struct pc_node *n, struct pc_node_preload *preload)
{
    struct node_load *l = &n->load;
    if (preload == NULL || !l->is_on || preload->store == NULL) {
        return;
    }
    PC_ASSERT(l->got == 0 && l->asked == 0 && preload->chunks <= n->snapshot.newest.chunks);
    pc_store_delete(l->store);
    l->store = preload->store;
    l->got = l->asked = preload->chunks;
    preload->store = NULL;
}

static void load_end(struct pc_node *n)
{
    pc_store_delete(n->load.store);
    n->load = (struct node_load){0};
}

static bool is_alone(const struct pc_node *n)
{
    for (size_t i = 0; i < n->config.members_n; i++) {
        pc_node_id id = n->config.members[i].id;
        if (id != 0 && id != n->opts.id) {
            return false;
        }
    }
    return n->config.members_n > 0;
}

bool node_load_may_wait(const struct pc_node *n)
{
    return !is_alone(n);
}

/* The snapshot is no good. A log that goes back to entry 1 has everything that was in it; otherwise
 * a peer has to help. Until then the file stays: without it the log would begin with nothing. Where
 * there is no peer that ever could, this node is of no use, and says so by its end. */
static void load_failed(struct pc_node *n, const char *why)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    pc_index index = n->load.meta.base.index;
    node_note_add(n, PC_NOTE_SNAPSHOT_FAILED, n->snapshot.newest.from, index, 1, why);
    load_end(n);
    if (status.first <= 1 && n->snapshot.dropped_upto == 0 && !n->snapshot.is_dropping) {
        node_snap_add(n, PC_NODE_SNAP_SET_ASIDE, 0)->base.index = index;
        pc_blob_unref(n->snapshot.newest.meta);
        n->snapshot.newest = (struct node_newest){0};
    } else if (n->applied == 0 && is_alone(n)) {
        node_snap_add(n, PC_NODE_SNAP_LOST, 0)->base.index = index;
        node_log_failed(n);
    } else {
        n->snapshot.newest.is_damaged = true;
        node_fetch_want(n, index);
    }
}

void node_load_refuse(struct pc_node *n, const struct pc_hash *hash)
{
    struct node_snapshot *s = &n->snapshot;
    if (!node_load_has_refused(n, hash)) {
        s->refused[s->refused_n++ % NODE_REFUSED_MAX] = *hash;
    }
}

bool node_load_has_refused(const struct pc_node *n, const struct pc_hash *hash)
{
    const struct node_snapshot *s = &n->snapshot;
    for (size_t i = 0; i < s->refused_n && i < NODE_REFUSED_MAX; i++) {
        if (memcmp(s->refused[i].b, hash->b, sizeof hash->b) == 0) {
            return true;
        }
    }
    return false;
}

/* Whoever is alone, and was told to, goes on with what can be read. */
static bool load_may_lose(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    return status.first > 1 && n->opts.accept_snapshot_loss && is_alone(n);
}

static void load_lose(struct pc_node *n, const char *why)
{
    node_note_add(n, PC_NOTE_SNAPSHOT_FAILED, 0, n->load.meta.base.index, 1, why);
    n->load.is_lossy = true;
}

/* One chunk is no good. */
static void load_chunk_failed(struct pc_node *n, const char *why)
{
    struct node_load *l = &n->load;
    if (!load_may_lose(n)) {
        load_failed(n, why);
        return;
    }
    load_lose(n, why);
    l->got++;
    l->failed_n = 0;
}

/* The term of the snapshot's CONFIG entry, as far as the log is to know it afterwards: if it stands
 * in the log, which then agrees with the snapshot, or is the snapshot's last entry. */
static pc_term load_config_term(const struct pc_node *n, const struct pc_raft_status *status)
{
    const struct pc_snapshot_meta *meta = &n->load.meta;
    if (meta->config_index == meta->base.index) {
        return meta->base.term;
    }
    bool is_known = meta->config_index + 1 >= status->first && meta->config_index <= status->last;
    return is_known ? pc_raft_term_at(n->raft, meta->config_index) : 0;
}

static void load_install(struct pc_node *n, const struct pc_raft_status *status)
{
    const struct pc_snapshot_meta *meta = &n->load.meta;
    struct pc_raft_config voters = {.index = meta->config_index};
    struct pc_cluster_config members;
    bool is_good = pc_wire_raft_config(meta->config, &voters) &&
                   pc_wire_decode_config(meta->config, &members) == PC_OK;
    PC_ASSERT(is_good); /* a meta does not decode with a config that does not */
    node_config_install(n, meta->config_index, load_config_term(n, status), &members);
    struct pc_raft_install install = {.base = meta->base, .config = &voters};
    struct pc_raft_event event = {.type = PC_RAFT_INSTALL};
    event.u.install = &install;
    node_raft_step(n, &event);
}

/* The store is that of the snapshot's entry from now on, and Raft goes on from there if it was not
 * as far. */
static void load_take(struct pc_node *n)
{
    struct node_load *l = &n->load;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (l->meta.base.index > status.commit) {
        load_install(n, &status);
    }
    node_snapshot_give_up(n, "given up: a newer one was loaded");
    pc_store_delete(n->store);
    n->store = l->store;
    l->store = NULL;
    n->applied = l->meta.base.index;
    n->applied_chain = l->meta.base.chain;
    node_snapshot_loaded(n, &l->meta);
    if (l->meta.base.term > n->applied_term) {
        n->applied_term = l->meta.base.term;
        node_client_give_up(n);
    }
    load_end(n);
}

static const char not_its_items[] = "its items are not those that its digest says";

static void load_finish(struct pc_node *n)
{
    struct node_load *l = &n->load;
    struct pc_hash digest = pc_store_digest(l->store);
    if (!l->is_lossy && memcmp(digest.b, l->meta.digest.b, sizeof digest.b) != 0) {
        node_load_refuse(n, &n->snapshot.newest.hash);
        if (!load_may_lose(n)) {
            load_failed(n, not_its_items);
            return;
        }
        load_lose(n, not_its_items);
    }
    if (l->is_lossy) { /* the next one has what is left; this one is not given to anybody */
        n->snapshot.newest.is_damaged = true;
        n->snapshot.is_ordered = true;
    }
    if (pc_store_load_end(l->store, l->meta.base.index, l->meta.base.stamp_ms, &digest) != PC_OK) {
        load_failed(n, not_its_items);
    } else if (l->meta.base.index > n->applied) {
        load_take(n);
    } else {
        load_end(n); /* the log was faster */
    }
}

/* The next items of a chunk, as many as the store takes at once. *is_sound: none of them is from
 * behind the snapshot's entry. */
static size_t read_items(struct pc_wire_chunk_reader *reader, pc_index upto,
    struct pc_stored_item items[PC_STORE_PREFETCH_MAX], bool *is_sound)
{
    size_t count = 0;
    while (count < PC_STORE_PREFETCH_MAX && pc_wire_chunk_next(reader, &items[count])) {
        *is_sound = *is_sound && items[count].version <= upto;
        count++;
    }
    return count;
}

const char *pc_node_load_chunk(struct pc_store *store, pc_index upto, struct pc_slice chunk)
{
    struct pc_wire_chunk_reader reader = pc_wire_chunk_reader_of(chunk);
    struct pc_stored_item items[PC_STORE_PREFETCH_MAX];
    size_t count;
    do {
        bool is_sound = true;
        count = read_items(&reader, upto, items, &is_sound);
        pc_err err = is_sound ? pc_store_load_many(store, items, count) : PC_E_CORRUPT;
        if (err == PC_E_NOMEM) {
            pc_out_of_memory(chunk.len);
        }
        if (err != PC_OK) {
            return "an item in it is out of range, or there twice";
        }
    } while (count == PC_STORE_PREFETCH_MAX);
    return pc_wire_chunk_finish(&reader) == PC_OK ? NULL : "a chunk of it does not decode";
}

/* The next chunk could not be read, which says nothing about it. Those that were asked for behind
 * it come in vain. */
static void load_again(struct pc_node *n, pc_ms wait_ms)
{
    struct node_load *l = &n->load;
    l->asked = l->got;
    l->first_tag = n->snapshot.last_tag + 1;
    n->snapshot.last_tag += n->snapshot.newest.chunks;
    l->retry_at = pc_instant_add_ms(n->now, wait_ms);
}

bool node_load_event(struct pc_node *n, const struct pc_node_snap_event *event)
{
    struct node_load *l = &n->load;
    if (event->type != PC_NODE_SNAP_GOT || !l->is_on || event->tag != l->first_tag + l->got) {
        return false;
    }
    bool lacks = event->err == PC_E_AGAIN || event->err == PC_E_NOMEM;
    if (lacks || (event->err == PC_E_IO && ++l->failed_n < NODE_LOAD_RETRIES_IO)) {
        load_again(n, lacks ? NODE_LOAD_RETRY_MS : NODE_LOAD_RETRY_IO_MS);
        return true;
    }
    if (event->err != PC_OK) {
        load_chunk_failed(n, event->text != NULL ? event->text : pc_err_text(event->err));
        return true;
    }
    const char *why = pc_node_load_chunk(l->store, l->meta.base.index, event->chunk);
    if (why != NULL) {
        node_load_refuse(n, &n->snapshot.newest.hash);
        load_chunk_failed(n, why);
        return true;
    }
    l->got++;
    l->failed_n = 0;
    return true;
}

struct pc_instant node_load_wake_at(const struct pc_node *n)
{
    const struct node_load *l = &n->load;
    bool is_held = l->got == n->snapshot.newest.chunks && node_solo_holds(n);
    if (!l->is_on || l->asked > l->got || is_held) {
        return PC_INSTANT_NEVER;
    }
    return pc_instant_is_due(l->retry_at, n->now) ? n->now : l->retry_at;
}

void node_load_turn(struct pc_node *n)
{
    struct node_load *l = &n->load;
    const struct node_newest *newest = &n->snapshot.newest;
    if (!l->is_on) {
        return;
    }
    if (l->got == newest->chunks) {
        if (!node_solo_holds(n)) {
            load_finish(n);
        }
        return;
    }
    if (!pc_instant_is_due(l->retry_at, n->now)) {
        return;
    }
    for (; l->asked < newest->chunks && l->asked - l->got < NODE_LOAD_AHEAD; l->asked++) {
        struct pc_node_snap *snap = node_snap_add(n, PC_NODE_SNAP_READ, l->first_tag + l->asked);
        snap->base.index = newest->base.index;
        snap->number = l->asked;
    }
}

unsigned node_load_percent(const struct pc_node *n)
{
    uint32_t chunks = n->snapshot.newest.chunks;
    return chunks > 0 ? (unsigned)(UINT64_C(100) * n->load.got / chunks) : 0;
}
