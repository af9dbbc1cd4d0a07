/* sim_int.h: what the files of tests/sim share. */
#ifndef PC_SIM_INT_H
#define PC_SIM_INT_H

#include "pcache/assert.h"
#include "pcache/prng.h"
#include "pcache/snap.h"
#include "pcache/wal.h"
#include "pcached/identity.h"
#include "sim/sim.h"
#include "sim/sim_branch.h"
#include "sim/sim_client.h"
#include "sim/sim_flip.h"
#include "sim/sim_ghost.h"
#include "sim/sim_member.h"
#include "sim/sim_protocol.h"

/* ---- sim_queue.c: what happens when. Ordered by (time, order of scheduling). */
enum sim_event_type {
    SIM_EV_WAKE = 1,   /* node: its timer */
    SIM_EV_TURN,       /* node: end of a bunch of events */
    SIM_EV_START,      /* node: restart */
    SIM_EV_RESUME,     /* node: end of a pause; a: number of the pause */
    SIM_EV_LINK,       /* node <- peer: the head of a stream arrives; a: token */
    SIM_EV_LOOSE,      /* node <- peer: a raft message outside of the stream; data: packet */
    SIM_EV_DATAGRAM,   /* node <- peer; data: packet */
    SIM_EV_CONNECT,    /* node, peer: try to connect; a: epoch */
    SIM_EV_LOST,       /* node: reconnecting to peer was in vain; a: epoch */
    SIM_EV_JOIN,       /* node: tell SWIM of the others */
    SIM_EV_DISK_WRITE, /* node */
    SIM_EV_DISK_SYNC,  /* node */
    SIM_EV_LOAD,       /* node; data: sim_load */
    SIM_EV_SNAP,       /* node: the next job about a snapshot */
    SIM_EV_BRANCH,     /* node: the next job about its branch */
    SIM_EV_LIFE,       /* node; data: pc_life, which is to be noted */
    SIM_EV_REQUEST,    /* node: a client's request arrives; a: tag */
    SIM_EV_UNREADABLE, /* node: the process ends by itself, its log not being one it reads */
    SIM_EV_EXIT,       /* node: the process ends by itself, after its log failed */
    SIM_EV_STOP,       /* node: the next look at its stop in order */
    SIM_EV_OWN_DISK,   /* node: its own disk is put back; a: number of the exchange */
    SIM_EV_MACHINE,    /* node: what was ordered of a member is done with it; a: the order */
    SIM_EV_CLIENT,     /* a: number of the client: its next operation */
    SIM_EV_PHASE,      /* the clients' habits change */
    SIM_EV_FAULT,      /* a: fault class */
    SIM_EV_UNCUT,      /* node -> peer: a cut ends; a: count of heals when it was made */
    SIM_EV_FAST_DISK,  /* node: it is not slow any more */
    SIM_EV_SPACE,      /* node: the disk has space again */
    SIM_EV_MONITOR,    /* periodic checks */
};

struct sim_event {
    uint64_t at_us;
    uint64_t order;
    enum sim_event_type type;
    uint32_t node, peer;
    uint32_t life; /* of the node; dropped when it has another; 0 = does not matter */
    uint64_t a;
    void *data;
};

struct sim_queue {
    struct sim_event *v;
    size_t n, cap;
    uint64_t order;
};

void sim_queue_push(struct sim_queue *queue, struct sim_event event);
bool sim_queue_pop(struct sim_queue *queue, struct sim_event *out);

/* ---- sim_net.c: streams between pairs of nodes, datagrams */
/*   a: HELLO ->   b admits: WELCOME ->   a, which has admitted b's HELLO, is up: MSG ... */
enum sim_packet_type {
    SIM_PACKET_HELLO = 1,
    SIM_PACKET_WELCOME,
    SIM_PACKET_MSG,
    SIM_PACKET_END,
};

struct sim_packet {
    enum sim_packet_type type;
    struct pc_peer_hello hello;
    struct pc_buf bytes;
    uint64_t at_us;
    uint64_t epoch;
    uint32_t from_life, to_life;
    uint64_t serial;  /* of a sealed datagram */
    uint8_t protocol; /* MSG: it is encoded in */
    bool is_damaged;  /* on the way */
    bool goodbye;     /* END: the process said that it goes */
    struct sim_packet *next;
};

/* A stream's one direction: first in, first out. */
struct sim_link {
    struct sim_packet *first, *last;
    uint64_t last_at_us;
    uint64_t stalled_us; /* since when it stands; 0 = it does not */
    bool armed;
    uint64_t token; /* of the event that will serve it; older ones are void */
};

/*   CLOSED -- connect --> OPEN -- reset, death --> CLOSING -- both ends know --> CLOSED */
enum sim_conn_state { SIM_CONN_CLOSED = 0, SIM_CONN_OPEN, SIM_CONN_CLOSING };

struct sim_conn {
    enum sim_conn_state state;
    uint64_t epoch;      /* grows with every connection */
    bool up[2];          /* PEER_UP was given to the lower, the higher node ... */
    uint64_t up_from[2]; /* ... at this event */
    uint8_t protocol;    /* that both ends know */
    bool knows[2];       /* CLOSING: that end has seen it */
    bool admits[2];      /* this end has admitted the other one, who said ... */
    struct pc_peer_hello hello[2];
    uint64_t try_token;
};

/* ---- sim_disk.c: the queue in front of a node's log */
struct sim_image { /* the log as (term, chain) by index; slot 0 is unused */
    pc_term *term;
    struct pc_hash *chain;
    pc_index last;
    size_t cap;
};

struct sim_disk {
    struct pc_wal_batch *queue;
    struct pc_raft_base *resets; /* beside the queue: the log is replaced before; index 0 = no */
    size_t n, cap;
    bool busy;
    bool slow;
    bool full; /* LOG_FULL was told */
    uint64_t written_seq;
    uint64_t told_seq;
    pc_index drop_upto; /* waits for the sync; 0 = nothing */
    /* What is on disk, told apart from what the node believes. */
    struct sim_image written;
    pc_index durable;         /* entries <= this are synced */
    pc_term term;             /* synced */
    pc_node_id vote;          /* synced */
    struct pc_raft_base snap; /* of the newest durable snapshot; index 0 = none */
    bool snap_rots;           /* it was damaged at rest */
    pc_index kept;            /* while down: at least this much must be recovered */
    bool torn;                /* a crash hit a write: its term and vote may be there or not */
    pc_term torn_term;
    pc_node_id torn_vote;
};

/* A disk that is not in a node: in a drawer, a copy, or of a former identity. */
struct sim_medium {
    bool used;
    pc_node_id id;    /* 0 = empty */
    uint32_t machine; /* that it was taken from */
    struct pc_sim_fs *fs;
    struct sim_image written;
    pc_index durable;
    pc_term term;
    pc_node_id vote;
    struct pc_raft_base snap;
    pc_index kept;
    bool torn;
    pc_term torn_term;
    pc_node_id torn_vote;
};

struct sim_load {
    uint64_t tag;
    pc_index first, last;
    size_t bytes_max;
    bool raw;
};

/* ---- sim_snap.c: the queue in front of a node's snapshots */
struct sim_snap {
    struct pc_node_snap *jobs;
    size_t n, cap;
    bool busy;
    struct pc_snap_writer *writer;
    uint64_t tag;                  /* of the write under way; 0 = none */
    bool is_fetched;               /* it comes from a peer */
    uint64_t loaded_tag;           /* the last request sent before one was loaded in this life */
    struct pc_snap_reader *newest; /* may be NULL although there is one: it could not be opened */
    struct pc_snap_reader *held;   /* the one before */
    struct pc_node_snapshot found; /* of `newest`; points into its reader */
    struct pc_entry config;        /* made of its meta */
};

/* ---- sim_rot.c: damage at rest */
struct sim_rot {
    struct pc_node_gap *gaps; /* being repaired */
    size_t gaps_n;
    bool doubt;     /* its log's end is lost, or what may never have been committed */
    bool is_struck; /* and has not looked at its log since */
    struct pc_node_repair job;
};
/* Tag of the load that stands for a repair's work on the disk. */
#define SIM_TAG_REPAIR (UINT64_MAX - 1000)

/* ---- sim_node.c: one node and the process around it */
struct sim_seen { /* what a node last thought of a member */
    bool known;
    bool blind; /* what it knew when the member changed its identity was not seen */
    struct pc_member member;
    struct pc_instant at; /* when that was */
    struct pc_instant suspect_since;
};

/* A stop in order, see sim_stop.c. */
enum sim_stop { SIM_STOP_NONE = 0, SIM_STOP_HAND_OVER, SIM_STOP_ANNOUNCE, SIM_STOP_FINISH };

struct sim_node {
    uint32_t index;
    pc_node_id id;      /* under which it runs, or ran last */
    pc_node_id own_id;  /* of its own disk */
    pc_node_id disk_id; /* of the disk that is in it; 0 = an empty one */
    char name[8];
    struct pc_sim_fs *fs;
    struct pc_wal *wal;
    struct pc_node *node; /* NULL = down */
    struct pc_node_effects fx;
    uint32_t life;                    /* grows with every start and every crash */
    uint64_t generation;              /* of the life of `id` that runs, or ran last */
    uint64_t own_generation;          /* the same of own_id */
    uint64_t mark;                    /* of this life */
    uint64_t noted[PC_SIM_NODES_MAX]; /* lives of the others, on its own disk */
    bool start_pending;

    int64_t clock_offset_us;
    int32_t drift_ppm;
    uint64_t local_last_us;
    int64_t wall_offset_ms;

    bool paused;
    uint64_t paused_at_us, pause_token;
    struct sim_event *deferred; /* what came during the pause */
    size_t deferred_n, deferred_cap;

    enum sim_stop stop;
    uint64_t stop_since_us;
    bool says_goodbye; /* to its peers, while it ends */

    struct sim_seal *seal;         /* of its datagrams; NULL: they go as they are */
    struct pc_protocols speaks;    /* the program that runs, or ran last */
    struct pc_protocols installed; /* that is started next */
    bool is_unreadable;            /* to that its log is */
    uint64_t older_until_us;       /* one of before conditions ran; 0 = never */
    uint64_t turn_from;            /* the first event that the next turn is of; 0 = none yet */
    bool turn_due;
    uint64_t wake_at_us; /* of the armed timer; UINT64_MAX = none */

    struct sim_disk disk;
    struct sim_rot rot;
    struct sim_snap snap;
    struct sim_branches branches;
    struct sim_flip flip;
    uint8_t history[16]; /* noted beside the log */
    bool has_history;
    bool had_log; /* its identity said so when it started */
    uint64_t capacity_token;
    struct identity identity; /* of the process that runs, or ran last */
    bool log_failed;          /* the process will end soon */
    uint64_t faults_seen;     /* failed calls that were accounted for */
    uint64_t failed_tries;    /* writes and syncs up to the failure */

    /* Which disk this is (sim_medium.c). */
    struct sim_medium drawer; /* its own, while another one is in the node */
    struct sim_medium copy;   /* of its own, of some time ago */
    uint64_t copy_generation; /* newest that it knows */
    bool is_old_copy;         /* runs on it */
    uint64_t exchange;        /* number of the last exchange */
    bool is_stranger;         /* runs on an empty disk in a cluster that exists */
    bool must_refuse;         /* this disk is not one to start on */
    bool has_refused;         /* and it did: down until its own is back */
    bool is_lost;             /* its own disk does not come back */
    bool is_absent;           /* not in use */
    bool joins;               /* set to wait for an invitation, and to found nothing */
    bool is_frozen;           /* outside of the core: nothing mends it for now */
    char refusal[256];

    /* for the checks */
    struct sim_image mem;            /* the log as handed out */
    const struct sim_config *config; /* the newest in it; NULL = none */
    enum pc_raft_role role;
    pc_term term;
    pc_index commit, commit_checked, applied, shown;
    uint64_t answered_us[PC_SIM_NODES_MAX]; /* when a machine last answered, in the same term */
    pc_term acked_term;
    pc_index acked;
    struct sim_seen seen[PC_SIM_NODES_MAX];
    struct pc_member declared[PC_SIM_NODES_MAX]; /* dead by own verdict, earlier lives included */
};

#define SIM_ADMINISTRATORS 2
#define SIM_LINES 400
#define SIM_LINE_BYTES 200

struct pc_sim {
    struct pc_sim_params params;
    uint64_t now_us;
    struct sim_queue queue;
    struct pc_prng rng_net, rng_disk, rng_life, rng_client, rng_node, rng_rot, rng_snap,
        rng_condition, rng_branch;
    struct pc_prng rng_class[PC_SIM_FAULTS_N]; /* of each class of faults */
    struct pc_prng *rng_fault;                 /* of the one that strikes */
    struct sim_node nodes[PC_SIM_NODES_MAX];
    struct sim_link links[PC_SIM_NODES_MAX][PC_SIM_NODES_MAX]; /* [from][to] */
    struct sim_conn conns[PC_SIM_NODES_MAX][PC_SIM_NODES_MAX]; /* [lower][higher] */
    int cuts[PC_SIM_NODES_MAX][PC_SIM_NODES_MAX];
    int stream_cuts[PC_SIM_NODES_MAX][PC_SIM_NODES_MAX]; /* ... of connections alone */
    uint64_t heals;        /* cuts made before the last heal end without effect */
    struct sim_kept *kept; /* datagrams of late */
    struct sim_ghost ghost;
    struct sim_config **configs; /* all that were made */
    size_t configs_n, configs_cap;
    struct sim_client clients[PC_SIM_CLIENTS_MAX];
    struct sim_op *ops; /* [tag - 1] */
    size_t ops_n, ops_cap;
    size_t ops_open_from;                        /* all before are done */
    uint64_t administrators[SIM_ADMINISTRATORS]; /* tag of what each has asked for; 0 = nothing */
    uint64_t tended_us;
    uint64_t shrunk_us;       /* when a vote was last asked to be taken away */
    uint64_t emptied_us;      /* when a disk was last lost */
    struct sim_medium *attic; /* disks of identities that do not run any more */
    size_t attic_n;
    uint64_t next_value;
    enum sim_phase phase;
    bool ages;                      /* not all programs are this build's */
    size_t rolled_out, rolled_from; /* the program that the machines get, from that one on */
    bool clients_on;
    bool chaos;     /* faults may happen */
    bool is_serene; /* nothing happens that a client should notice, and everybody is ready */
    bool monitoring;

    bool failed;
    enum pc_sim_property failure;
    char failure_text[512];
    uint64_t hash;
    char lines[SIM_LINES][SIM_LINE_BYTES];
    uint64_t lines_n;
    struct pc_sim_stats stats;
};

/* ---- sim_params.c */
/* Dice of their own for every name. */
void sim_params_seed(struct pc_prng *rng, uint64_t seed, const char *name);
/* SWIM hears of members that are not there, from damaged datagrams or from liars. They take no
 * probe, and members that trust themselves least for that take nine times as long to find who is
 * dead. */
bool sim_params_has_ghosts(const struct pc_sim_params *params);

/* ---- sim_trace.c */
void sim_trace_mix(struct pc_sim *sim, uint64_t v);
void sim_trace_line(struct pc_sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Records the first violation; later ones, and ignored ones, are not looked at. */
void sim_fail(struct pc_sim *sim, enum pc_sim_property property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- sim_cluster.c */
/* Schedules an event in `delay_us`. */
void sim_at(struct pc_sim *sim, uint64_t delay_us, struct sim_event event);
void sim_event_drop(struct sim_event *event);
/* An exponential pause with this mean, at most 20 times it. */
uint64_t sim_exponential_us(struct pc_prng *rng, uint64_t mean_us);

/* ---- sim_node.c */
struct pc_instant sim_node_now(const struct pc_sim *sim, const struct sim_node *node);
pc_ms sim_node_wall_ms(const struct pc_sim *sim, const struct sim_node *node);
void sim_node_create(struct pc_sim *sim, uint32_t index);
void sim_node_destroy(struct pc_sim *sim, struct sim_node *node);
void sim_node_start(struct pc_sim *sim, struct sim_node *node);
void sim_node_start_later(struct pc_sim *sim, struct sim_node *node);
void sim_node_crash(struct pc_sim *sim, struct sim_node *node, enum pc_sim_fs_crash how);
void sim_node_step(struct pc_sim *sim, struct sim_node *node, struct pc_node_event *event);
void sim_node_turn(struct pc_sim *sim, struct sim_node *node);
void sim_node_wake(struct pc_sim *sim, struct sim_node *node);
void sim_node_pause(struct pc_sim *sim, struct sim_node *node, uint64_t ms);
void sim_node_resume(struct pc_sim *sim, struct sim_node *node);
void sim_node_swim(struct pc_sim *sim, struct sim_node *node, struct pc_swim_event *event);
struct pc_addr sim_node_addr(uint32_t index);
struct sim_node *sim_node_by_id(struct pc_sim *sim, pc_node_id id); /* NULL: nobody */

/* The process is gone and its disk stays; at least `kept` entries must be recovered from it. */
void sim_node_end(
    struct pc_sim *sim, struct sim_node *node, enum pc_sim_fs_crash how, pc_index kept);

/* ---- sim_restart.c: from the disk to a running node */
/* False when there was no coming up: a crash in recovery (a restart is scheduled), or a violation.
 */
bool sim_restart(struct pc_sim *sim, struct sim_node *node);

/* ---- sim_net.c */
void sim_net_send(struct pc_sim *sim, struct sim_node *from, const struct pc_msg *msg);
void sim_net_link(struct pc_sim *sim, const struct sim_event *event);
void sim_net_loose(struct pc_sim *sim, struct sim_node *to, uint32_t from, struct sim_packet *p);
void sim_net_connect(struct pc_sim *sim, const struct sim_event *event);
void sim_net_connect_soon(struct pc_sim *sim, uint32_t a, uint32_t b, uint64_t delay_us);
void sim_net_lost(struct pc_sim *sim, struct sim_node *node, const struct sim_event *event);
void sim_net_died(struct pc_sim *sim, uint32_t index, bool host_too);
void sim_net_reset(struct pc_sim *sim, uint32_t a, uint32_t b);
void sim_net_clear(struct pc_sim *sim);
/* What is under way arrives soon, however late it was meant to be. */
void sim_net_hurry(struct pc_sim *sim);
void sim_packet_free(struct sim_packet *packet);
struct sim_conn *sim_net_conn(struct pc_sim *sim, uint32_t a, uint32_t b);
uint64_t sim_net_delay_us(struct pc_sim *sim);
/* ---- sim_udp.c */
void sim_udp_send(struct pc_sim *sim, struct sim_node *from, const struct pc_swim_out *out);
void sim_udp_recv(
    struct pc_sim *sim, struct sim_node *to, uint32_t from, const struct sim_packet *packet);

/* ---- sim_image.c */
void sim_image_append(
    struct sim_image *image, pc_index index, pc_term term, const struct pc_hash *chain);
void sim_image_truncate(struct sim_image *image, pc_index from);
/* Appends what is committed, up to this index. */
void sim_image_fill(struct sim_image *image, const struct sim_ghost *ghost, pc_index upto);
void sim_image_destroy(struct sim_image *image);
/* Does the image have this very entry? */
bool sim_image_has(const struct sim_image *image, pc_index index, const struct pc_hash *chain);

/* ---- sim_rot_snap.c, sim_rot.c */
void sim_rot_snap_strike(struct pc_sim *sim, struct sim_node *node); /* before a start */
/* Damages it; false: there is none, or nothing of it but header and footer. */
bool sim_rot_snap_now(struct pc_sim *sim, struct sim_node *node);
void sim_rot_strike(struct pc_sim *sim, struct sim_node *node); /* before a start */
/* The log loses committed entries behind its snapshot, or in front of it; false: it has none to
 * lose. */
bool sim_rot_now(struct sim_node *node, bool in_front);
/* Takes note of what a start has found. True: entries are lost, and are to be repaired first. */
bool sim_rot_found(struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found);
void sim_rot_queue(struct pc_sim *sim, struct sim_node *node, struct pc_node_repair *repair);
void sim_rot_repair(struct pc_sim *sim, struct sim_node *node);
void sim_rot_check_send(struct pc_sim *sim, struct sim_node *node, const struct pc_msg *msg);
void sim_rot_destroy(struct sim_node *node);
/* Hands a log that was opened anew to the running node (sim_restart.c). */
void sim_restored(struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found);

/* ---- sim_disk.c */
void sim_disk_submit(struct pc_sim *sim, struct sim_node *node, struct pc_raft_write *write);
void sim_disk_write(struct pc_sim *sim, struct sim_node *node);
void sim_disk_sync(struct pc_sim *sim, struct sim_node *node);
void sim_disk_load(struct pc_sim *sim, struct sim_node *node, const struct sim_load *load);
/* Tells the node how its disk is. */
void sim_disk_measure(struct pc_sim *sim, struct sim_node *node);
void sim_disk_clear(struct sim_node *node);
/* Calls to the node's file system fail now and then from now on, or no more. */
void sim_disk_arm(struct pc_sim *sim, struct sim_node *node, bool on);
/* Did a call fail since the last time somebody asked? */
bool sim_disk_had_fault(struct pc_sim *sim, struct sim_node *node);
/* The power has gone in the middle of something that wrote no part of the log. */
void sim_disk_crash(struct pc_sim *sim, struct sim_node *node);
/* A call has failed that leaves the log as good as it was; the process ends all the same. */
void sim_disk_fail_beside(
    struct pc_sim *sim, struct sim_node *node, const char *what, const struct pc_error *error);
/* Drops the front of the log, as far as the snapshots allow. */
void sim_disk_drop(struct pc_sim *sim, struct sim_node *node, pc_index upto);
/* The process ends after its log has failed. */
void sim_disk_exit(struct pc_sim *sim, struct sim_node *node);
/* Writes and syncs what waits and closes the log. False when the power went instead. */
bool sim_disk_finish(struct pc_sim *sim, struct sim_node *node);

/* ---- sim_note.c: what is noted beside the log */
/* Before the first promise leaves, the identity says that there is a log. False: it cannot. */
bool sim_note_log(struct pc_sim *sim, struct sim_node *node);
/* Before the first message of Raft leaves, it says that this life is met. False: it cannot. */
bool sim_note_met(struct pc_sim *sim, struct sim_node *node);
/* Before the first entry of the cluster that the node was invited into, its history is noted.
 * False: it cannot. */
bool sim_note_history(struct pc_sim *sim, struct sim_node *node);
/* A note on a peer's life goes to the disk. */
void sim_note_life(struct pc_sim *sim, struct sim_node *node, const struct pc_life *life);

/* ---- sim_snap.c: snapshots */
/* Takes a job over. */
void sim_snap_queue(struct pc_sim *sim, struct sim_node *node, struct pc_node_snap *job);
void sim_snap_act(struct pc_sim *sim, struct sim_node *node); /* the next one */
/* Drops what waits and closes everything; what is on the disk stays as it is. */
void sim_snap_close(struct sim_node *node);
/* The newest snapshot, for a start: node->snap.found. PC_OK also when there is none. */
PC_MUST_CHECK pc_err sim_snap_find(
    struct pc_sim *sim, struct sim_node *node, struct pc_error *error);
/* Is it what was durable, and does the log go on behind it? */
void sim_snap_check_found(
    struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found);
/* The members by the snapshot that was found, as an entry; NULL: there is none. Borrowed. */
const struct pc_entry *sim_snap_config(struct sim_node *node, const struct pc_wal_recovered *found);
/* Is this the committed entry of its index? */
bool sim_snap_is_committed(const struct pc_sim *sim, const struct pc_raft_base *base);
/* The digest of the items that are in it; false: they cannot be read. */
bool sim_snap_sum(struct pc_snap_reader *reader, struct pc_hash *sum);

/* ---- sim_stop.c: a stop in order */
void sim_stop_begin(struct pc_sim *sim, struct sim_node *node);
void sim_stop_now(struct pc_sim *sim, struct sim_node *node);
void sim_stop_poll(struct pc_sim *sim, struct sim_node *node);
bool sim_stop_is_fine(const struct pc_sim *sim);

/* ---- sim_lies.c: what SWIM is told (B.49) */
void sim_lies_tell(struct pc_sim *sim);
void sim_lies_believe(struct pc_sim *sim, const struct sim_node *node, pc_node_id dead);

/* ---- sim_seal.c: datagrams under the real seal (M1, M2) */
bool sim_seal_is_used(const struct pc_sim *sim);
void sim_seal_open(struct pc_sim *sim, struct sim_node *node);
void sim_seal_close(struct sim_node *node);
void sim_seal_pack(
    struct pc_sim *sim, const struct sim_node *from, uint32_t to, struct sim_packet *packet);
/* Opens in place. False: dropped. */
bool sim_seal_unpack(struct pc_sim *sim, struct sim_node *to, const struct sim_packet *packet,
    struct pc_slice *text);
void sim_seal_replay(struct pc_sim *sim);
void sim_seal_forget(struct pc_sim *sim);

/* ---- sim_malformed.c: what no member says (M4) */
void sim_malformed_tell(struct pc_sim *sim);
void sim_malformed_bytes(struct pc_sim *sim, struct pc_slice bytes);

/* ---- sim_medium.c: which disk is in which node (D9) */
/* An empty file system with a data directory. */
struct pc_sim_fs *sim_medium_new_fs(struct pc_sim *sim);
/* A node is about to start: perhaps on another disk. */
void sim_medium_before_start(struct pc_sim *sim, struct sim_node *node);
/* A node has died: its disk may be copied. */
void sim_medium_after_death(struct pc_sim *sim, struct sim_node *node);
/* Puts the node's own disk back, if it is away and not lost; the node dies first. */
void sim_medium_restore(struct pc_sim *sim, struct sim_node *node);
/* All of these: the node is down. */
void sim_medium_wipe(struct pc_sim *sim, struct sim_node *node);           /* for good */
void sim_medium_lose(struct pc_sim *sim, struct sim_node *node, bool log); /* or the identity */
void sim_medium_swap(struct pc_sim *sim, struct sim_node *a, struct sim_node *b);
void sim_medium_keep_copy(struct sim_node *node);
void sim_medium_put_copy(struct pc_sim *sim, struct sim_node *node);
void sim_medium_destroy(struct sim_medium *medium);
/* A peer has found out that the node's disk is an older copy: the node ends. */
void sim_medium_found_out(struct pc_sim *sim, struct sim_node *node);
/* Is this entry on a disk of this identity, wherever that is? */
bool sim_medium_has(
    const struct pc_sim *sim, pc_node_id id, pc_index index, const struct pc_hash *chain);

/* ---- sim_check.c: the rules of the log */
void sim_check_step(struct pc_sim *sim, struct sim_node *node);
void sim_check_write(struct pc_sim *sim, struct sim_node *node, const struct pc_raft_write *write);
void sim_check_turn(struct pc_sim *sim, struct sim_node *node);
void sim_check_send(struct pc_sim *sim, struct sim_node *node, const struct pc_msg *msg);
void sim_check_started(struct pc_sim *sim, struct sim_node *node, pc_index commit);
/* What waits in the node, before its disk and on its lines. */
void sim_check_caps(struct pc_sim *sim, const struct sim_node *node);
/* ---- sim_check_swim.c */
void sim_check_swim(struct pc_sim *sim, struct sim_node *node);
void sim_check_swim_recv(struct pc_sim *sim, struct sim_node *node, const struct pc_swim_msg *msg);
/* ---- sim_check_refused.c: R.2 */
void sim_check_refused(struct pc_sim *sim, const struct sim_op *op);
void sim_check_branched_value(struct pc_sim *sim, uint64_t value);  /* it is a branch's: A.1 */
void sim_check_committed_value(struct pc_sim *sim, uint64_t value); /* 0 = not a SET */

/* ---- sim_check_reply.c */
void sim_check_reply(
    struct pc_sim *sim, struct sim_node *node, struct sim_op *op, const struct pc_reply *reply);

/* ---- sim_client.c */
void sim_client_act(struct pc_sim *sim, size_t client);
/* Asks a node for a change of members; returns its tag. */
uint64_t sim_client_member(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_member_change *change);
void sim_client_phase(struct pc_sim *sim);
uint64_t sim_client_value(const struct pc_reply *reply); /* which write's */
void sim_client_reply(struct pc_sim *sim, struct sim_node *node, const struct pc_reply *reply);
void sim_client_node_died(struct pc_sim *sim, const struct sim_node *node);
void sim_client_request(struct pc_sim *sim, struct sim_node *node, uint64_t tag);
void sim_client_resumed(struct pc_sim *sim, const struct sim_node *node, uint64_t paused_us);
void sim_client_check_hang(struct pc_sim *sim);
bool sim_client_all_done(struct pc_sim *sim);
void sim_client_start(struct pc_sim *sim);

/* ---- sim_fault.c */
void sim_fault_begin(struct pc_sim *sim);
void sim_fault_strike(struct pc_sim *sim, enum pc_sim_fault fault);
void sim_fault_cut(struct pc_sim *sim, uint32_t from, uint32_t to, uint64_t ms);
void sim_fault_uncut(struct pc_sim *sim, const struct sim_event *event);
void sim_fault_space(struct pc_sim *sim, struct sim_node *node, uint64_t token);
void sim_fault_end_all(struct pc_sim *sim);

/* Ends what concerns one node: its disk, its pause, its death. */
void sim_fault_end_at(struct pc_sim *sim, struct sim_node *node);

/* ---- sim_core.c: a majority heals, the others stay broken (B.50, B.52) */
void sim_core_run(struct pc_sim *sim);

/* ---- sim_heal.c */
/* Runs until those that are not frozen, nor lost, have come together; `where` is for the text. */
bool sim_heal_converge(struct pc_sim *sim, const char *where);
void sim_heal_and_verify(struct pc_sim *sim);

#endif
