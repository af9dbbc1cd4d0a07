#include "reactor.h"

static const char *role_text(uint64_t role)
{
    switch (role) {
    case PC_RAFT_LEADER:
        return "leader";
    case PC_RAFT_CANDIDATE:
        return "candidate";
    case PC_RAFT_PRECANDIDATE:
        return "precandidate";
    default:
        return "follower";
    }
}

static const char *member_text(uint64_t state)
{
    switch (state) {
    case PC_MEMBER_ALIVE:
        return "alive";
    case PC_MEMBER_SUSPECT:
        return "suspect";
    case PC_MEMBER_DEAD:
        return "dead";
    default:
        return "left";
    }
}

/* What concerns who belongs to the cluster. False: it is about something else. */
static bool member_note_log(const struct pc_note *note)
{
    switch (note->type) {
    case PC_NOTE_MEMBER:
        pc_log(PC_LOG_INFO, "member", "member", note->text, "id", pc_log_id(note->id), "state",
            member_text(note->a), "incarnation", pc_log_u64(note->b), NULL);
        return true;
    case PC_NOTE_MEMBERS_EDITED:
        pc_log(PC_LOG_WARN,
            "[cluster] members, or spares, differ from those that formed the cluster: those count",
            NULL);
        return true;
    case PC_NOTE_CONFIG:
        pc_log(PC_LOG_INFO, "members", "entry", pc_log_u64(note->a), "voters", pc_log_u64(note->b),
            "voting", note->text, NULL);
        return true;
    case PC_NOTE_DEATH:
        pc_log(
            PC_LOG_WARN, "votes change", "entry", pc_log_u64(note->a), "reason", note->text, NULL);
        return true;
    case PC_NOTE_JOINED:
        pc_log(PC_LOG_INFO, "invited into a cluster", "history", note->text, NULL);
        return true;
    case PC_NOTE_NOT_MEMBER:
        pc_log(PC_LOG_WARN, "this node is not a member", "reason", note->text, NULL);
        return true;
    default:
        return false;
    }
}

void reactor_note_log(const struct reactor *r, const struct pc_note *note)
{
    (void)r;
    if (member_note_log(note)) {
        return;
    }
    switch (note->type) {
    case PC_NOTE_ROLE:
        pc_log(PC_LOG_INFO, "role", "role", role_text(note->a), "term", pc_log_u64(note->b),
            "leader", note->text, NULL);
        break;
    case PC_NOTE_FORMED:
        /* Right once in the life of a cluster; afterwards all founders have lost their data. */
        pc_log(PC_LOG_WARN,
            "cluster formed: this is a NEW one, without the data of any cluster that was here"
            " before",
            "members", pc_log_u64(note->a), "history", note->text, NULL);
        break;
    case PC_NOTE_REFUSED:
        break; /* the bus logs it, with the peer's name and at a rate that suits a lasting state */
    case PC_NOTE_DIVERGENCE:
        pc_log(PC_LOG_ERROR, "entries from the leader do not fit this log: not taken", "leader",
            pc_log_id(note->id), "term", pc_log_u64(note->b), "count", pc_log_u64(note->a), NULL);
        break;
    case PC_NOTE_DISK:
        pc_log(note->a != 0 ? PC_LOG_WARN : PC_LOG_INFO, "disk", "state", note->text, NULL);
        break;
    case PC_NOTE_SNAPSHOT:
        pc_log(PC_LOG_INFO, "snapshot", "entry", pc_log_u64(note->a), "bytes", pc_log_u64(note->b),
            "what", note->text, "peer", pc_log_id(note->id), NULL);
        break;
    case PC_NOTE_CATCHUP:
        pc_log(PC_LOG_INFO, "catching up", "from", pc_log_u64(note->a), "to", pc_log_u64(note->b),
            "what", note->text, NULL);
        break;
    case PC_NOTE_SNAPSHOT_FAILED:
        pc_log(note->b != 0 ? PC_LOG_ERROR : PC_LOG_WARN,
            note->b != 0 ? "a snapshot is no good" : "no snapshot this time", "entry",
            pc_log_u64(note->a), "reason", note->text, "peer", pc_log_id(note->id), NULL);
        break;
    case PC_NOTE_DIGEST:
        pc_log(note->b != 0 ? PC_LOG_ERROR : PC_LOG_INFO, "state", "entry", pc_log_u64(note->a),
            "what", note->text, "peer", pc_log_id(note->id), NULL);
        break;
    case PC_NOTE_BRANCH:
        pc_log(PC_LOG_WARN, "branch", "what", note->text, "records", pc_log_u64(note->b), NULL);
        break;
    case PC_NOTE_WITHHELD:
        pc_log(PC_LOG_WARN, "a member cannot read the log", "reason", note->text, "peer",
            pc_log_id(note->id), NULL);
        break;
    case PC_NOTE_REPAIR:
        if (note->b == 0) { /* not a range: everything from there on */
            pc_log(PC_LOG_WARN, "entries may be missing", "from", pc_log_u64(note->a), "what",
                note->text, NULL);
            break;
        }
        pc_log(PC_LOG_WARN, "damaged entries", "from", pc_log_u64(note->a), "to",
            pc_log_u64(note->b), "what", note->text, "peer", pc_log_id(note->id), NULL);
        break;
    default:
        break;
    }
}
