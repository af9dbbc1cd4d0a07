/* sim.h: a whole cluster in one process, on one clock, decided by one seed.
 *
 * Every node is the real machine (node.h) on the real log (wal.h) over a simulated file system; the
 * simulator is the driver that node.h describes, plus the network, the disks, the clients and the
 * faults. A ghost beside the nodes knows what was promised; the properties below are checked
 * against it after every event. The same seed and parameters give the same run, to the last event.
 *
 *   chaos: faults and clients -> heal: everybody up, no fault -> converged? -> final reads */
#ifndef PC_SIM_H
#define PC_SIM_H

#include <stdio.h>

#include "pcache/node.h"
#include "support/sim_fs.h"

#define PC_SIM_FOUNDERS_MAX 5
#define PC_SIM_NODES_MAX 8 /* machines, in use or not */
#define PC_SIM_KEYS_MAX 64
#define PC_SIM_CLIENTS_MAX 16

/* id, number, kind (SAFETY or LIVENESS), what it says. The numbers are those of the reliability
 * plan; A, K, P, W and R are the simulator's own. */
#define PC_SIM_PROPERTY_LIST(X)                                                                    \
    X(B1, "B.1", SAFETY, "at most one leader in a term")                                           \
    X(B2, "B.2", SAFETY, "a leader never removes an entry of its own log in its term")             \
    X(B3, "B.3", SAFETY, "equal index and term mean an equal chain, on every node")                \
    X(B4, "B.4", SAFETY, "a new leader has every committed entry")                                 \
    X(B5, "B.5", SAFETY, "nodes commit and apply the same entry at an index")                      \
    X(B6, "B.6", SAFETY, "commit and applied never go back, nor beyond what is committed")         \
    X(B7, "B.7", SAFETY, "a leader commits an entry of its term that a majority has on disk")      \
    X(B8, "B.8", SAFETY, "term and vote are on disk before a message of the term leaves")          \
    X(B9, "B.9", SAFETY, "entries are on disk before they are acknowledged to the leader")         \
    X(B10, "B.10", SAFETY, "a node votes for one candidate in a term, restarts included")          \
    X(B11, "B.11", SAFETY, "no truncation of a committed or, in this term, acknowledged entry")    \
    X(B12, "B.12", SAFETY, "one change of members at a time, of one vote, by a leader at work")    \
    X(B13, "B.13", SAFETY, "the members that count are those of the newest entry that names them") \
    X(B14, "B.14", SAFETY,                                                                         \
        "on a disk that is not its own a node promises nothing as its old self")                   \
    X(B15, "B.15", SAFETY,                                                                         \
        "a snapshot is the committed state of its entry, stays, and the log goes on behind it")    \
    X(I1, "I.1", SAFETY, "a node on its own disk is taken for itself")                             \
    X(B21, "B.21", SAFETY, "a linearizable read sees all that was visible when it began")          \
    X(B24, "B.24", SAFETY, "what a node shows never goes back")                                    \
    X(B25, "B.25", SAFETY, "a request id changes the state at most once")                          \
    X(B30, "B.30", SAFETY, "the digest at an applied index is the same on every node")             \
    X(B31, "B.31", SAFETY, "values, outcomes and expiry follow from the log alone")                \
    X(A1, "A.1", SAFETY,                                                                           \
        "what a branch shows follows from its base and records, and is marked; none is committed") \
    X(A2, "A.2", SAFETY,                                                                           \
        "a branch shows what is durable, and that stands in one file of its node, and stays")      \
    X(A3, "A.3", SAFETY, "a branch lies on a committed state, which stands still below it")        \
    X(A4, "A.4", SAFETY, "a branch opens only where no other voter is heard")                      \
    X(K1, "K.1", SAFETY, "a write is done where its condition holds, and nowhere else")            \
    X(B34, "B.34", SAFETY, "every acknowledged write is there at the end, on every node")          \
    X(B36, "B.36", SAFETY, "what was reported synced is recovered; a mere crash damages nothing")  \
    X(B39, "B.39", SAFETY, "after a failed write or sync the log is used no more")                 \
    X(B40, "B.40", SAFETY, "a disk that is full keeps no node from starting")                      \
    X(B41, "B.41", SAFETY, "what a node acknowledges is what that very leader has")                \
    X(B42, "B.42", SAFETY, "a node never thinks ill of itself, and refutes who does")              \
    X(B43, "B.43", SAFETY, "only a member raises its incarnation, and it never falls")             \
    X(B44, "B.44", SAFETY, "in one incarnation a member's state only gets worse")                  \
    X(B45, "B.45", SAFETY, "no death without a suspicion of the least length")                     \
    X(S1, "S.1", LIVENESS, "a stop in order and a hand-over fail no request")                      \
    X(B53, "B.53", SAFETY, "what waits is bounded: requests, writes, messages to a peer")          \
    X(M1, "M.1", SAFETY, "nothing that was damaged on the way is taken")                           \
    X(M2, "M.2", SAFETY, "no life of a node takes a datagram twice")                               \
    X(M4, "M.4", SAFETY, "a message that makes no sense changes nothing")                          \
    X(W1, "W.1", SAFETY, "what is encoded decodes, to the same bytes when encoded again")          \
    X(C1, "C.1", SAFETY, "what is answered about members is true, and nothing is done unasked")    \
    X(C2, "C.2", SAFETY, "a spare answers no client")                                              \
    X(C3, "C.3", SAFETY,                                                                           \
        "a death takes one vote, of one that is long silent, and one spare's place")               \
    X(C4, "C.4", LIVENESS, "deaths one by one stop nobody whom spares or auto_shrink keep going")  \
    X(P1, "P.1", SAFETY,                                                                           \
        "what is newer is said where it is spoken; with no protocol in common nothing, by name")   \
    X(P2, "P.2", SAFETY, "no program writes or applies an entry that it cannot read")              \
    X(P3, "P.3", SAFETY,                                                                           \
        "a newer entry is made while all who are linked read it, and else refused by name")        \
    X(P4, "P.4", LIVENESS, "when all are of one age, what is new works")                           \
    X(R1, "R.1", LIVENESS, "every request gets exactly one reply, in time")                        \
    X(R2, "R.2", SAFETY, "a write that was refused as not done is never committed")                \
    X(B50, "B.50", LIVENESS,                                                                       \
        "a majority that heals, and then all: one leader, equal state, in time")                   \
    X(B52, "B.52", LIVENESS, "who is outside the core does not raise its term again and again")    \
    X(F1, "F.1", LIVENESS, "a bit that flips in memory is found, and the alarm is of its node")    \
    X(F2, "F.2", SAFETY, "whose memory was not sound ends with the state of the others")           \
    X(F3, "F.3", SAFETY, "a flipped bit gets into no snapshot, and stays in its node")             \
    X(B54, "B.54", SAFETY, "the same seed gives the same run")

enum pc_sim_property {
#define PC_SIM_PROPERTY_ENUM(id, number, kind, text) PC_SIM_##id,
    PC_SIM_PROPERTY_LIST(PC_SIM_PROPERTY_ENUM)
#undef PC_SIM_PROPERTY_ENUM
        PC_SIM_PROPERTIES_N
};

enum pc_sim_kind { PC_SIM_SAFETY = 1, PC_SIM_LIVENESS = 2 };

const char *pc_sim_property_number(enum pc_sim_property property);
const char *pc_sim_property_text(enum pc_sim_property property);
enum pc_sim_kind pc_sim_property_kind(enum pc_sim_property property);

/* Bugs that the driver can have; the nodes stay as they are. */
enum pc_sim_plant {
    PC_SIM_PLANT_NONE = 0,
    PC_SIM_PLANT_ACK_BEFORE_FSYNC,   /* SYNCED when written */
    PC_SIM_PLANT_VOTE_NOT_PERSISTED, /* term and vote are left out of batches */
    PC_SIM_PLANT_READ_NO_WAIT,       /* linearizable reads are answered from memory */
    PC_SIM_PLANT_LEADER_SELF,        /* a leader's own SYNCED comes when written */
    PC_SIM_PLANT_DUP_FORWARD,        /* forwarded commands arrive twice */
    PC_SIM_PLANT_WALL_TTL,           /* expiry by the wall clock of the node that is asked */
    PC_SIM_PLANT_GENERATION_KEPT,    /* a restart keeps the generation of the life before */
    PC_SIM_PLANT_SYNC_BELIEVED,      /* a failed sync is taken for one that succeeded */
    PC_SIM_PLANT_STOP_AT_ONCE,       /* a stop in order does not wait for anything */
    PC_SIM_PLANT_SWIM_DECIDES,       /* whom SWIM calls dead need not acknowledge any more */
    PC_SIM_PLANT_OUTSIDER_DISTURBS,  /* somebody outside the core answers from later terms */
    PC_SIM_PLANT_NONSENSE_MENDED,    /* the driver makes sense of a message that has none */
    PC_SIM_PLANT_REPLAY_TAKEN,       /* senders, and what they sent, are forgotten at once */
    PC_SIM_PLANT_WIPED_ADMITTED,     /* peers take a node on an empty disk for its old self */
    PC_SIM_PLANTS_N
};
const char *pc_sim_plant_name(enum pc_sim_plant plant);

/* Fault classes: id, the part of the runs in ppm in which it is there, the mean time between two of
 * them is drawn between the next two numbers (ms; 0 = it does not strike, it is always there), what
 * it does. Each has dice of its own, seeded with its name. */
#define PC_SIM_FAULT_LIST(X)                                                                       \
    X(DELAY, 800000, 0, 0, "long delays, some messages very late")                                 \
    X(LOSS, 800000, 0, 0, "lost datagrams, segments sent again, reset connections")                \
    X(DUPLICATE, 800000, 0, 0, "messages that come twice")                                         \
    X(REORDER, 800000, 0, 0, "messages that overtake each other")                                  \
    X(ONE_WAY, 800000, 700, 15000, "one direction of one line cut")                                \
    X(PARTITION, 800000, 700, 15000, "split, isolated, deaf, mute, bridge")                        \
    X(KILL, 800000, 700, 15000, "a process dies")                                                  \
    X(POWER_CUT, 800000, 700, 15000, "a host dies; unsynced writes are torn and reordered")        \
    X(INSTANT_RESTART, 800000, 0, 0, "half of the restarts come within 50 ms")                     \
    X(PAUSE, 800000, 700, 15000, "a process stands still")                                         \
    X(SLOW_DISK, 800000, 3000, 20000, "writes and syncs take up to 5 s")                           \
    X(WALL_CLOCK, 800000, 700, 15000, "wall clocks years apart, and steps of an hour")             \
    X(TRANSFER, 800000, 700, 15000, "leadership handed over")                                      \
    X(ALL_POWER_CUT, 800000, 3000, 30000, "power cut of all hosts at once")                        \
    X(SPURIOUS_LOST, 800000, 700, 15000, "a peer is reported dead and is not")                     \
    X(LOG_FULL, 800000, 1000, 8000, "no space, or little; short writes")                           \
    X(SLOW_CPU, 800000, 0, 0, "turns end late")                                                    \
    X(CRASH_IN_WRITE, 800000, 0, 0, "power cut within a write, a sync or recovery")                \
    X(DRIFT, 800000, 0, 0, "monotonic clocks up to 1 % fast or slow")                              \
    X(IO_ERROR, 400000, 0, 0, "calls fail; a failed sync loses what it was to sync")               \
    X(STOP, 600000, 1500, 15000, "a process is stopped in order")                                  \
    X(SWIM_LIES, 150000, 20, 300, "SWIM is told anything of anybody")                              \
    X(CORRUPT, 300000, 0, 0, "damaged datagrams, and streams that close because of damage")        \
    X(REPLAY, 300000, 20, 400, "datagrams played back, also to later lives")                       \
    X(MALFORMED, 300000, 20, 300, "messages that decode and make no sense; damaged bytes")         \
    X(DISK_LOST, 400000, 0, 0,                                                                     \
        "restart on an empty, incomplete or somebody else's disk, or on an older copy of its own") \
    X(WIPED, 200000, 3000, 20000, "a disk is lost for good, and an empty one is in its place")     \
    X(MEMBERS, 400000, 500, 5000, "two administrators change the members; machines come and go")   \
    X(DEATH, 300000, 3000, 20000, "a node is dead or cut off for longer than the others wait")     \
    X(FLIP, 300000, 200, 4000, "a bit flips in what a node holds in memory")                       \
    X(PROTOCOLS, 120000, 400, 3000, "programs of other ages are rolled out, machine by machine")

enum pc_sim_fault {
#define PC_SIM_FAULT_ENUM(id, ppm, lo, hi, text) PC_SIM_FAULT_##id,
    PC_SIM_FAULT_LIST(PC_SIM_FAULT_ENUM)
#undef PC_SIM_FAULT_ENUM
        PC_SIM_FAULTS_N
};
const char *pc_sim_fault_name(enum pc_sim_fault fault);
bool pc_sim_fault_strikes(enum pc_sim_fault fault);

/* Where a bit flips (sim_flip.c). */
#define PC_SIM_FLIP_LIST(X)                                                                        \
    X(VALUE, "value")                                                                              \
    X(VERSION, "version")                                                                          \
    X(CREATED, "created")                                                                          \
    X(DEADLINE, "deadline")                                                                        \
    X(KEY, "key")                                                                                  \
    X(TYPE, "content type")                                                                        \
    X(KEPT_HASH, "kept hash of the value")                                                         \
    X(DIGEST, "digest of all")                                                                     \
    X(ASIDE, "value, kept aside for a snapshot")                                                   \
    X(ENTRY, "an entry, as it is applied")

enum pc_sim_flip {
#define PC_SIM_FLIP_ENUM(id, text) PC_SIM_FLIP_##id,
    PC_SIM_FLIP_LIST(PC_SIM_FLIP_ENUM)
#undef PC_SIM_FLIP_ENUM
        PC_SIM_FLIPS_N
};

/* What a run is made of. Everything follows from the seed; a test may change it before the run. */
struct pc_sim_params {
    uint64_t seed;
    size_t nodes_n;    /* machines */
    size_t founders_n; /* of them, the first ones, form the cluster; the others wait until they are
                          added; 0 = all */
    size_t spares_n;   /* machines behind those: initial spares */
    bool auto_shrink;
    pc_ms dead_after_ms; /* 0 = as by default */
    bool deaths;         /* when all is healed one dies after the other: sim_spare.c */
    bool replaces_lost;  /* an empty disk may take the place of one that is gone */
    uint64_t chaos_ms;   /* how long faults and clients go on */
    bool fault[PC_SIM_FAULTS_N];
    bool flips_entries;                     /* bits flip in those, and in nothing else */
    uint64_t fault_gap_ms[PC_SIM_FAULTS_N]; /* mean time between two faults of a class */
    uint64_t faults_from_ms;                /* no fault before */
    bool serene; /* nothing happens that may fail a request, once everybody is ready */

    uint64_t delay_min_us, delay_mean_us; /* one way: least, and mean of what comes on top */
    uint32_t late_ppm;                    /* messages that come very late */
    uint64_t late_max_us;
    uint32_t loss_ppm;  /* datagrams lost; segments of a stream sent again */
    uint32_t reset_ppm; /* connections that break, per message */
    uint32_t duplicate_ppm, reorder_ppm;
    uint32_t corrupt_ppm;   /* datagrams; a hundredth of it for messages of a stream */
    uint64_t stall_max_us;  /* a stream that stands longer is reset */
    uint64_t lost_delay_us; /* a reconnect unanswered for this long means PEER_LOST */
    uint32_t lost_ppm;      /* how often that is noticed at all */
    uint64_t down_max_ms;   /* a crashed node stays down for up to this */
    uint64_t pause_max_ms;
    uint64_t partition_max_ms;
    uint64_t disk_write_us, disk_sync_us; /* means */
    uint64_t disk_slow_us;                /* mean while slow */
    uint32_t crash_in_write_ppm;
    uint32_t io_error_ppm;   /* failing calls to the file system */
    uint32_t disk_lost_ppm;  /* restarts on another disk */
    uint32_t rot_ppm;        /* restarts on a disk that was damaged at rest */
    uint32_t snap_rot_ppm;   /* restarts on a disk whose newest snapshot was */
    uint64_t drain_delay_ms; /* between the hand-over and the last request, when a node stops */
    uint64_t turn_delay_us;  /* a turn ends up to this after its first event */
    bool wall_wild;          /* wall clocks off by up to years */
    int32_t drift_ppm_max;

    size_t clients_n;
    size_t keys_n;
    uint64_t think_us; /* mean pause of a client between two operations */
    uint32_t local_ppm;
    uint32_t condition_ppm; /* writes with a condition: compare-and-set, create, replace */
    size_t tail_bytes_max;
    uint64_t segment_bytes;
    /* Snapshots; snapshot_log_bytes 0 = none are made. */
    uint64_t snapshot_log_bytes, log_keep_bytes;
    unsigned snapshot_percent;
    size_t value_more_max;         /* what values may have on top, so that the log grows */
    pc_index catchup_entries;      /* so far behind, a node asks other peers than the leader */
    size_t catchup_unsynced_bytes; /* ... and takes no more while so much waits for its disk */
    bool disk_measured;            /* the nodes are told how their disks are, once a second */
    uint64_t heal_max_ms;
    bool solo; /* who is alone goes on in a branch */
    pc_ms solo_after_ms;
    bool frozen_rest; /* a majority heals first, while the others stay broken */

    enum pc_sim_plant plant;
    uint64_t ignored; /* bit set of properties that are not checked */
    bool verbose;     /* print the time line as it happens */
};

/* Draws everything from the seed. nodes_n = 0: drawn as well (3 mostly, sometimes 1 or 5). */
void pc_sim_params_draw(struct pc_sim_params *params, uint64_t seed, size_t nodes_n);
/* As above, with at least three nodes, and nothing but what an operator may do at any time: no
 * request may fail. */
void pc_sim_params_draw_serene(struct pc_sim_params *params, uint64_t seed);
/* Takes a class of faults out of a drawn run, and leaves the rest of it as it is. */
void pc_sim_params_leave_out(struct pc_sim_params *params, enum pc_sim_fault fault);
/* A calm cluster: no faults, no clients, short delays; for scenarios. */
void pc_sim_params_calm(struct pc_sim_params *params, uint64_t seed, size_t nodes_n);

struct pc_sim_stats {
    uint64_t events, simulated_ms;
    uint64_t elections_won, crashes, power_cuts, restarts, pauses, partitions, transfers;
    uint64_t crashes_in_write, full_episodes, resets, recoveries_cut;
    uint64_t io_errors, failed_logs, failed_starts; /* calls; processes that ended of one */
    uint64_t disks_exchanged, disks_lost, refused_starts;
    uint64_t old_copies, refused_copies; /* put back; found out by a peer */
    uint64_t lives_noted;
    uint64_t snaps_made, snaps_fetched, snaps_failed; /* durable; writes of one that failed */
    uint64_t snaps_found, snaps_installed;            /* at a start; in place of the log */
    uint64_t snaps_rotten;                            /* damaged at rest */
    uint64_t log_drops;                               /* after which the log begins later */
    uint64_t branches_opened, branches_resumed, branches_failed; /* after a start; calls */
    uint64_t branch_writes, branch_reads;                        /* acknowledged from one */
    uint64_t messages, datagrams, syncs, loads, loads_spared;
    uint64_t fetches, entries_given; /* questions for entries; entries in the answers */
    uint64_t stops, lies, nonsense, damaged, replayed;
    uint64_t member_requests, members_changed; /* orders of administrators; those that were done */
    uint64_t disks_replaced, joined;           /* by empty ones; empty ones let in */
    uint64_t long_deaths;                      /* nodes away for longer than the others wait */
    uint64_t places_taken, votes_taken;      /* of the dead: by spares; by auto_shrink, or given */
    uint64_t votes_regained, survived;       /* by returned ones; deaths of those one by one */
    uint64_t flips, flips_found, flips_gone; /* bits; nodes that found some; or had nothing left */
    uint64_t programs_exchanged, withheld;   /* messages that their receivers did not know */
    uint64_t newer_entries, refused_for_age, unreadable_logs; /* writes; programs that ended */
    uint64_t cores, window_raises; /* frozen rests; rises of the term beside them */
    uint64_t refusals;             /* of forwarded commands */
    uint64_t acked_writes, unknown_writes, refused_writes;
    uint64_t conditions_met, conditions_unmet; /* of the acknowledged ones */
    uint64_t linear_reads, local_reads, failed_reads;
    uint64_t committed, expired_seen;
    uint64_t core_ms_max, heal_ms_max; /* slowest convergence: of a core, of all */
};
void pc_sim_stats_add(struct pc_sim_stats *into, const struct pc_sim_stats *more);

struct pc_sim; /* opaque */

/* Ownership: params are copied. Nodes are not started: pc_sim_run does, or pc_sim_start. */
struct pc_sim *pc_sim_new(const struct pc_sim_params *params);
void pc_sim_delete(struct pc_sim *sim);

/* The whole run; stops at the first violation. */
void pc_sim_run(struct pc_sim *sim);

bool pc_sim_failed(const struct pc_sim *sim);
enum pc_sim_property pc_sim_failure(const struct pc_sim *sim); /* requires a failure */
const char *pc_sim_failure_text(const struct pc_sim *sim);
uint64_t pc_sim_trace_hash(const struct pc_sim *sim);
void pc_sim_stats(const struct pc_sim *sim, struct pc_sim_stats *stats);
const struct pc_sim_params *pc_sim_params(const struct pc_sim *sim);
/* The last state changes, oldest first, one per line. */
void pc_sim_print_timeline(const struct pc_sim *sim, FILE *out);

/* Does this run break a property of the same kind as this one? */
bool pc_sim_breaks(const struct pc_sim_params *params, enum pc_sim_property property);
/* Makes a run that breaks `property`, or another of its kind, as small as it can: time, classes of
 * faults, nodes, clients.
 */
void pc_sim_shrink(struct pc_sim_params *params, enum pc_sim_property property);

/* ---- by hand, for scenarios; nodes are 0..nodes_n-1, times are true time */
uint64_t pc_sim_now_ms(const struct pc_sim *sim);
void pc_sim_start(struct pc_sim *sim, size_t node); /* recovers and starts a node that is down */
void pc_sim_crash(struct pc_sim *sim, size_t node, enum pc_sim_fs_crash how);
void pc_sim_wipe(struct pc_sim *sim, size_t node); /* a node that is down loses all data */
void pc_sim_cut(struct pc_sim *sim, size_t from, size_t to, bool cut);
/* Cuts or joins what connections carry, both ways; datagrams pass. */
void pc_sim_cut_streams(struct pc_sim *sim, size_t a, size_t b, bool cut);
/* A machine that is down, in use or not, gets an empty disk, and is set to wait for an invitation.
 * Its own disk stays aside for pc_sim_old_disk when it took part. */
void pc_sim_renew(struct pc_sim *sim, size_t node);
/* The disk that `from` had before its last one, put into `into`, which is not in use and is called
 * as `from` from now on: two machines of one name. */
void pc_sim_old_disk(struct pc_sim *sim, size_t from, size_t into);
/* Asks a node for a change of members; the subject is named by its machine. */
uint64_t pc_sim_member(struct pc_sim *sim, size_t node, enum pc_member_op op,
    enum pc_member_want want, size_t subject);
/* The newest members that are committed; NULL = there is no cluster yet. */
const struct pc_cluster_config *pc_sim_members(const struct pc_sim *sim);
/* A node that is down finds its disk without its log, or without its identity; or, with_other, has
 * exchanged it with that node, which is down as well. Its own disk waits for pc_sim_own_disk. */
void pc_sim_lose_log(struct pc_sim *sim, size_t node);
void pc_sim_lose_identity(struct pc_sim *sim, size_t node);
void pc_sim_swap_disks(struct pc_sim *sim, size_t node, size_t with_other);
void pc_sim_own_disk(struct pc_sim *sim, size_t node); /* dies when it is up */
/* Keeps a copy of the disk of a node that is down; puts it into the node, also down, later. */
void pc_sim_keep_copy(struct pc_sim *sim, size_t node);
void pc_sim_put_copy(struct pc_sim *sim, size_t node);
/* The call of this kind on the node's disk after `skip` more fails with PC_E_IO. */
void pc_sim_fail_call(struct pc_sim *sim, size_t node, enum pc_sim_fs_op op, uint64_t skip);
/* The power goes at this call to the node's disk, 0 = the next one; nothing of it is done. */
void pc_sim_cut_power(struct pc_sim *sim, size_t node, uint64_t calls);
/* The log of a node that is down loses committed entries, between others; false: it cannot. Repairs
 * are on in runs with rot_ppm > 0. */
bool pc_sim_damage_log(struct pc_sim *sim, size_t node);
/* The same in front of its snapshot, in what a start does not read. */
bool pc_sim_damage_front(struct pc_sim *sim, size_t node);
/* The newest snapshot of a node that is down is damaged; false: it has none. */
bool pc_sim_damage_snapshot(struct pc_sim *sim, size_t node);
/* A bit of the item under `key`, SIZE_MAX = any, flips in the memory of a node that runs. False: it
 * has nothing of the kind, its flip would end the process, or too many others are not sound. The
 * run's class FLIP is on, and its disks are measured. */
bool pc_sim_flip(struct pc_sim *sim, size_t node, enum pc_sim_flip what, size_t key);
/* What has flipped was found, or is gone, and the node is whole again; a wrong hash of a value that
 * is right does not count. */
bool pc_sim_is_sound(const struct pc_sim *sim, size_t node);
/* The program that the node is started as from its next start on; in runs with the class PROTOCOLS.
 * Its log is not one that this program reads: then the node stays down until it is started as
 * another one. */
void pc_sim_install(struct pc_sim *sim, size_t node, struct pc_protocols program);
bool pc_sim_cannot_read(const struct pc_sim *sim, size_t node);
/* Did the node, when it was to start, refuse its disk? */
bool pc_sim_has_refused(const struct pc_sim *sim, size_t node);
/* No file of the node's disk may grow, or they may again. */
void pc_sim_space(struct pc_sim *sim, size_t node, bool is_there);
void pc_sim_stop(struct pc_sim *sim, size_t node);       /* as SIGTERM does */
void pc_sim_stop_again(struct pc_sim *sim, size_t node); /* the second signal: at once */
void pc_sim_transfer(struct pc_sim *sim, size_t node, size_t target);
void pc_sim_run_for(struct pc_sim *sim, uint64_t ms);
/* Runs until `done` says so; false when `ms` passed or a property broke before. */
bool pc_sim_run_until(
    struct pc_sim *sim, bool (*done)(struct pc_sim *sim, void *arg), void *arg, uint64_t ms);
/* Clients go on by themselves from now on, or stop after what they do. */
void pc_sim_clients(struct pc_sim *sim, bool on);
/* Ends all faults, starts everybody, waits for convergence, reads everything back. */
void pc_sim_heal(struct pc_sim *sim);

/* The one leader of the highest term that has an entry of its term committed, or -1. */
int pc_sim_leader(const struct pc_sim *sim);
bool pc_sim_is_up(const struct pc_sim *sim, size_t node);
/* Borrowed until the node crashes; NULL when it is down. */
const struct pc_node *pc_sim_node(const struct pc_sim *sim, size_t node);
/* Why a peer refused this node last; "" = never. */
const char *pc_sim_refusal(const struct pc_sim *sim, size_t node);
pc_node_id pc_sim_node_id(const struct pc_sim *sim, size_t node);
uint64_t pc_sim_now_us_at(const struct pc_sim *sim, size_t node); /* by the node's own clock */

/* An operation of the test itself; checked like those of the clients. */
struct pc_sim_op_result {
    bool done; /* a reply came, or the node died (then `died`) */
    bool died;
    enum pc_reply_status status;
    pc_index index;
    pc_index version;
    uint64_t value; /* which write's value a read returned; 0 = none */
    bool is_alone;  /* answered by a branch of the node alone */
    bool unmet;     /* a write whose condition did not hold */
};
/* op: PC_OP_SET, DELETE, EXPIRE or PERSIST; ttl_ms 0 = none. Returns its number. */
uint64_t pc_sim_write(struct pc_sim *sim, size_t node, enum pc_op op, size_t key, pc_ms ttl_ms);
/* A SET under a condition. */
uint64_t pc_sim_write_if(
    struct pc_sim *sim, size_t node, size_t key, enum pc_condition condition, pc_index if_version);
uint64_t pc_sim_read(struct pc_sim *sim, size_t node, size_t key, bool local);
struct pc_sim_op_result pc_sim_result(const struct pc_sim *sim, uint64_t op);

#endif
