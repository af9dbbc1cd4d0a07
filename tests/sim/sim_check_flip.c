/* What must follow when a bit has flipped in memory (F.1 to F.3); that nothing acknowledged is lost
 * by it is B.34.
 *
 * Until it is found, the node itself is excused: for its digest (B.30), and for what it answers
 * about the keys that the flip reaches. Everybody else is judged as always, and so is the node from
 * the moment in which it begins to make its state anew.
 *
 * When is it found? A pass over the memory that began with items and digest at odds does not end
 * well: counted in passes, at any time. And a node that runs among healed ones finds it within
 * FOUND_MS, whatever it was. A flip may also be gone before anybody saw it: with its item. */
#include <inttypes.h>
#include <string.h>

#include "core/store/store_int.h"
#include "sim/sim_int.h"

#define FOUND_MS 10000 /* three passes of three seconds: a pass stops at a MiB, once a second */
#define LATE_MS 60000  /* what was said of a node before may arrive for so long */

/* ---- is it sound? */

struct look {
    const struct pc_store *store;
    struct pc_hash sum; /* of the items as they are */
    bool kept_is_right;
};

static void look_at(void *context, struct pc_store_link *link)
{
    struct look *look = context;
    const struct pc_store_item *item = (const struct pc_store_item *)link;
    const uint8_t *kept = pc_store_item_value_hash(item);
    struct pc_hash hash = {{0}};
    struct pc_item view = pc_store_view(look->store, item);
    struct pc_stored_item stored = {.key = view.key,
        .value = pc_blob_slice(view.value),
        .content_type = view.content_type,
        .version = view.version,
        .created = view.created,
        .deadline_ms = view.deadline_ms};
    pc_store_digest_add(&look->sum, &stored);
    if (kept != NULL) {
        pc_store_digest_value(pc_blob_slice(item->value), hash.b);
        look->kept_is_right = look->kept_is_right && memcmp(kept, hash.b, sizeof hash.b) == 0;
    }
}

static struct look look_through(const struct sim_node *node)
{
    const struct pc_store *store = pc_node_store(node->node);
    struct look look = {.store = store, .kept_is_right = true};
    pc_store_table_each(&store->table, look_at, &look);
    return look;
}

static bool is_at_odds(const struct look *look)
{
    struct pc_hash digest = pc_store_digest(look->store);
    return !pc_hash_equal(&look->sum, &digest);
}

/* The items and the digest are what the committed entries make. */
static bool is_right(const struct pc_sim *sim, const struct look *look)
{
    pc_index at = look->store->applied;
    struct pc_hash digest = pc_store_digest(look->store);
    return !is_at_odds(look) && at > 0 && at <= sim->ghost.last &&
           pc_hash_equal(&digest, &sim->ghost.v[at].digest);
}

/* ---- who is excused */

bool sim_flip_excuses(const struct sim_node *node, size_t key)
{
    const struct sim_flip *f = &node->flip;
    return (f->is_open || f->was_open) && (f->keys >> key & 1) != 0;
}

bool pc_sim_is_sound(const struct pc_sim *sim, size_t node)
{
    const struct sim_flip *f = &sim->nodes[node].flip;
    return (!f->is_open || f->is_latent) && !f->is_returning;
}

/* It was wrong, or others may still hear that it was. */
static bool is_suspect(const struct pc_sim *sim, const struct sim_node *node)
{
    const struct sim_flip *f = &node->flip;
    bool lately = f->last_us != 0 && sim->now_us - f->last_us < LATE_MS * UINT64_C(1000);
    return f->is_open || f->is_returning || lately;
}

/* The one that differs has a new identity by now. */
static bool any_is_suspect(const struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (is_suspect(sim, &sim->nodes[i])) {
            return true;
        }
    }
    return false;
}

void sim_flip_alarm(struct pc_sim *sim, const struct sim_node *node, const struct pc_note *note)
{
    const struct sim_node *subject = note->id != 0 ? sim_node_by_id(sim, note->id) : node;
    bool may =
        is_suspect(sim, node) || (subject != NULL ? is_suspect(sim, subject) : any_is_suspect(sim));
    sim_trace_line(sim, "%s: %s", node->name, note->text);
    if (!may) {
        sim_fail(
            sim, PC_SIM_B30, "%s: alarm at entry %" PRIu64 ": %s", node->name, note->a, note->text);
    }
}

/* ---- found */

void sim_flip_turn(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_flip *f = &node->flip;
    sim_flip_step(node);
    for (size_t i = 0; i < node->fx.notes_n; i++) {
        const struct pc_note *note = &node->fx.notes[i];
        if (note->type != PC_NOTE_DIGEST || note->id != 0 || note->b == 0) {
            continue;
        }
        sim->stats.flips_found += f->is_open ? 1 : 0;
        f->was_open = f->is_open;
        f->is_open = f->wants_entry = false;
        f->is_returning = true;
        node->applied = 0; /* it begins anew */
    }
}

void sim_flip_turn_done(struct pc_sim *sim, struct sim_node *node)
{
    node->flip.was_open = false;
    if (node->flip.wants_entry) {
        sim_flip_entry(sim, node);
    }
}

void sim_flip_died(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_flip *f = &node->flip;
    f->last_us = f->is_open || f->is_returning ? sim->now_us : f->last_us;
    f->is_open = f->is_returning = f->was_open = f->wants_entry = false;
    f->keys = 0;
}

/* ---- in time */

static void check_in_time(struct pc_sim *sim, struct sim_node *node, const struct look *look,
    const struct pc_node_status *status, uint64_t since_us)
{
    struct sim_flip *f = &node->flip;
    if (!is_at_odds(look)) {
        f->is_unsound = false;
    } else if (!f->is_unsound) {
        f->is_unsound = true;
        f->passes = status->digest_check.passes;
    } else if (status->digest_check.passes >= f->passes + 2) {
        sim_fail(sim, PC_SIM_F1, "%s: a pass over all of its memory did not see the flipped bit",
            node->name);
    }
    bool counts = !sim->chaos && !node->is_frozen && !f->is_latent;
    f->healed_us += counts ? since_us : 0;
    if (f->healed_us > FOUND_MS * UINT64_C(1000)) {
        sim_fail(sim, PC_SIM_F1,
            "%s: a bit flipped, all is healed, and nobody has seen it for %d ms", node->name,
            FOUND_MS);
    }
}

void sim_flip_look(struct pc_sim *sim, struct sim_node *node, uint64_t since_us)
{
    struct sim_flip *f = &node->flip;
    if ((!f->is_open && !f->is_returning) || node->paused || node->turn_due) {
        return;
    }
    struct pc_node_status status;
    struct look look = look_through(node);
    pc_node_status(node->node, sim_node_now(sim, node), &status);
    f->last_us = sim->now_us;
    if (f->body != NULL) {
        return; /* it has not been applied */
    }
    f->is_returning = f->is_returning && status.digest_check.is_coming_back;
    bool is_whole = is_right(sim, &look);
    f->is_latent = f->is_open && is_whole && !look.kept_is_right;
    if (!f->is_open) {
        if (!f->is_returning && !is_whole) {
            sim_fail(sim, PC_SIM_F2,
                "%s: its state was made anew, and is another one at entry %" PRIu64, node->name,
                look.store->applied);
        }
    } else if (is_whole && look.kept_is_right) {
        f->is_open = false;
        sim->stats.flips_gone++;
        sim_trace_line(sim, "%s: what had flipped is gone", node->name);
    } else {
        check_in_time(sim, node, &look, &status, since_us);
    }
}

/* ---- snapshots */

void sim_flip_check_snapshot(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_snap_reader *reader = node->snap.newest;
    if (!sim->params.fault[PC_SIM_FAULT_FLIP] || reader == NULL || sim->failed) {
        return;
    }
    struct pc_hash sum = {{0}};
    pc_index at = pc_snap_reader_meta(reader)->base.index;
    pc_sim_fs_hold(node->fs, true);
    if (sim_snap_sum(reader, &sum) && !pc_hash_equal(&sum, &sim->ghost.v[at].digest)) {
        sim_fail(sim, PC_SIM_F3, "%s: in the snapshot of entry %" PRIu64 " a bit has flipped",
            node->name, at);
    }
    pc_sim_fs_hold(node->fs, false);
}
