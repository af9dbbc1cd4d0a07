/* bus_int.h: what the files of edge/bus share.
 *
 *   bus.c            the listener, sending, flushing, the owner's calls
 *   bus_conn.c       one TCP connection: bytes in, bytes out, its end
 *   bus_socket.c     options, connecting
 *   bus_handshake.c  greetings, session keys, HELLO and REFUSED
 *   bus_frame.c      sealing and opening frames in place
 *   bus_link.c       dialing one peer for ever
 *   bus_refusal.c    how often a refusal is worth a log line
 *   bus_peer.c       what is known of a peer id: generation, connections, whether it is lost
 *
 * Any callback to the owner may send, and a send may cut a connection. So a connection that ends is
 * only marked CLOSED and freed later from the event loop; code that has called out looks at the
 * state before it goes on. */
#ifndef PCACHE_BUS_INT_H
#define PCACHE_BUS_INT_H

#include <sodium.h>
#include <sys/queue.h>

#include "pcache/bus.h"
#include "pcache/os.h"
#include "pcache/prng.h"

/* Buckets of pc_log_limited. */
#define BUS_LOG_REJECT 0
#define BUS_LOG_LINK 1

#define BUS_GREETING_I_BYTES 88 /* of the side that dialled */
#define BUS_GREETING_R_BYTES 56 /* of the side that accepted */
#define BUS_BOOT_BYTES 16

#define BUS_FRAME_HEAD_BYTES 4
/* A sealed frame is tag byte + kind + body + authenticator. */
#define BUS_SEAL_BYTES crypto_secretstream_xchacha20poly1305_ABYTES
#define BUS_SEALED_BYTES_MIN (BUS_SEAL_BYTES + 1)
#define BUS_SEALED_BYTES_MAX (BUS_SEAL_BYTES + 1 + PC_FRAME_BYTES_MAX)

#define BUS_IN_BYTES (64 * 1024)

enum bus_frame_kind {
    BUS_FRAME_HELLO = 1,
    BUS_FRAME_REFUSED = 2,
    BUS_FRAME_MSG = 3,
    BUS_FRAME_BYE = 4,
};

/*   outgoing: CONNECTING --> GREETING --> HELLO --> UP
 *   incoming:                GREETING --> HELLO --> UP       any --> CLOSED
 *
 *   GREETING: waits for the clear first message of the other side
 *   HELLO:    keys are there; waits for the first frame that decrypts */
enum bus_conn_state {
    BUS_CONN_CONNECTING,
    BUS_CONN_GREETING,
    BUS_CONN_HELLO,
    BUS_CONN_UP,
    BUS_CONN_CLOSED,
};

/* Why a connection ends. */
enum bus_end {
    BUS_END_OURS,    /* we had enough of it */
    BUS_END_PEER,    /* EOF, reset, timeout: the other process may be gone */
    BUS_END_BYE,     /* the other process said that it goes */
    BUS_END_REFUSED, /* one side does not want the other: logged as such, see bus_refusal.c */
};

#define BUS_REFUSALS_MAX 64

/* One peer that refuses this node or is refused by it. */
struct bus_refusal {
    char peer[PC_NAME_BYTES_MAX + 1];
    bool is_ours; /* this node refuses */
    struct pc_instant logged_at;
    uint64_t left_out; /* since then */
};

struct bus_refusals {
    struct bus_refusal v[BUS_REFUSALS_MAX];
    size_t n;
};

struct bus_link;
struct bus_peer;

struct bus_conn {
    TAILQ_ENTRY(bus_conn) entry; /* in bus->conns or bus->dead */
    TAILQ_ENTRY(bus_conn) dirty_entry;
    struct pc_bus *bus;
    struct bus_link *link; /* outgoing only */
    struct bus_peer *peer; /* UP only */
    enum bus_conn_state state;
    bool dirty; /* in bus->dirty: has output that nobody has tried to write */
    bool pull_ready;
    bool push_started;
    int fd;
    struct pc_addr addr;
    struct pc_protocols theirs; /* from HELLO on */
    uint8_t protocol;           /* that is spoken, from HELLO on; 0 = they have none in common */
    struct event *read_event;
    struct event *write_event;
    struct event *deadline;
    uint8_t *in;
    size_t in_len;
    size_t in_cap;
    struct pc_buf out;
    size_t out_at; /* written up to here */
    uint64_t frames_pushed;
    crypto_secretstream_xchacha20poly1305_state push;
    crypto_secretstream_xchacha20poly1305_state pull;
    uint8_t push_header[crypto_secretstream_xchacha20poly1305_HEADERBYTES];
    uint8_t pull_key[crypto_secretstream_xchacha20poly1305_KEYBYTES]; /* until its header comes */
    uint8_t public_key[crypto_kx_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_kx_SECRETKEYBYTES];
    uint8_t greetings[BUS_GREETING_I_BYTES + BUS_GREETING_R_BYTES];
};
TAILQ_HEAD(bus_conn_list, bus_conn);

struct bus_link {
    TAILQ_ENTRY(bus_link) entry;
    struct pc_bus *bus;
    char name[PC_NAME_BYTES_MAX + 1];
    char address[PC_ADDRESS_BYTES_MAX + 1]; /* as configured; "" = it is not */
    struct pc_addr hint;                    /* learned; may be none */
    struct pc_addr came_from;               /* where it came in from last, when it is not
                                               configured; may be none */
    struct pc_addr welcome;                 /* where it has just come in from; for one round */
    bool hint_is_wrong;                     /* it led to a peer of another name */
    bool hint_turn;                         /* the next round is the hint's */
    bool is_hint_round;                     /* the one under way, or last made, is not for the
                                               configured address */
    bool refused;                           /* in this round, by either side */
    struct event *timer;
    uint64_t ticket; /* of the resolver; 0 = none open */
    struct pc_log_lasting unresolved;
    struct pc_addr addrs[PC_RESOLVER_ADDRS_MAX];
    size_t addrs_n;
    size_t next; /* address to try next */
    struct bus_conn *conn;
    pc_ms delay_ms;
    pc_node_id led_to; /* the peer that led_addr led to when last tried; 0 = none yet */
    struct pc_addr led_addr;
};

struct bus_peer {
    TAILQ_ENTRY(bus_peer) entry;
    struct pc_bus *bus;
    pc_node_id id;
    char name[PC_NAME_BYTES_MAX + 1]; /* as it said last */
    uint64_t generation;              /* highest that authenticated */
    uint8_t boot[BUS_BOOT_BYTES];
    struct pc_addr addr; /* numeric, of the last outgoing link; may be none */
    struct bus_conn *out;
    struct bus_conn *in;
    bool lost_told; /* since the last HELLO */
    int probe_fd;   /* -1 = no probe under way */
    bool probe_connected;
    struct event *probe_event;
    struct pc_instant probe_end;
};

struct pc_bus {
    struct event_base *base;
    struct pc_bus_ops ops;
    struct pc_resolver *resolver;
    bool owns_resolver;
    bool closing;
    int listen_fd;
    uint16_t port;
    struct event *accept_event;
    struct event *accept_pause; /* descriptors ran out: accept again later */
    struct event *flush_event;
    struct event *reap_event;
    uint8_t cluster_key[32];
    uint8_t cluster_id[32];
    uint8_t boot[BUS_BOOT_BYTES];
    pc_node_id self; /* as of the last handshake */
    struct pc_protocols protocols;
    struct pc_prng prng;
    struct bus_conn_list conns;
    struct bus_conn_list dirty;
    struct bus_conn_list dead;
    TAILQ_HEAD(, bus_link) links;
    TAILQ_HEAD(, bus_peer) peers;
    size_t links_n;
    size_t peers_n;
    size_t unauthenticated_n; /* incoming connections not UP */
    struct bus_refusals refusals;
    struct pc_bus_stats stats;
};

/* ---- bus_conn.c */
struct bus_conn *bus_conn_accepted(struct pc_bus *bus, int fd, const struct pc_addr *addr);
/* Begins to connect. NULL when the system refuses at once. */
struct bus_conn *bus_conn_dialled(struct bus_link *link, const struct pc_addr *addr);
void bus_conn_move(struct bus_conn *conn, enum bus_conn_state to);
/* Ends the connection: tells link, peer and owner. `why` goes to the log. */
void bus_conn_close(struct bus_conn *conn, enum bus_end end, const char *why);
/* Counts in *counter, logs, and closes: the other side broke a rule. */
void bus_conn_reject(struct bus_conn *conn, uint64_t *counter, const char *why);
void bus_conn_free(struct bus_conn *conn);
/* Writes what is pending, now. May close the connection. */
void bus_conn_flush(struct bus_conn *conn);
/* Output was added: it goes out at the next pc_bus_flush or turn of the loop. */
void bus_conn_mark_dirty(struct bus_conn *conn);
size_t bus_conn_pending(const struct bus_conn *conn);
static inline bool bus_conn_is_outgoing(const struct bus_conn *conn)
{
    return conn->link != NULL;
}

/* ---- bus_socket.c */
/* Options of every connection: no delay, and dead after 10 s without acknowledgement. */
void bus_socket_tune(int fd);
/* A socket that began to connect to addr, or -1 with errno. */
int bus_socket_connect(const struct pc_addr *addr);
/* The outcome of connecting: 0 or an errno. A socket connected to itself counts as refused. */
int bus_socket_connect_result(int fd);

/* ---- bus_handshake.c */
void bus_handshake_begin(struct bus_conn *conn);
/* Looks at the first `len` clear bytes. Returns how many were used; 0 = more are needed. */
size_t bus_handshake_recv_greeting(struct bus_conn *conn, const uint8_t *bytes, size_t len);
void bus_handshake_recv_hello(struct bus_conn *conn, struct pc_slice body);
void bus_handshake_recv_refused(struct bus_conn *conn, struct pc_slice body);

/* ---- bus_frame.c */
/* Starts a frame at the end of conn->out; the caller appends the body, then ends it. */
size_t bus_frame_begin(struct bus_conn *conn, enum bus_frame_kind kind);
void bus_frame_end(struct bus_conn *conn, size_t begin);
/* Opens a sealed frame in place. False when it is not authentic. */
bool bus_frame_open(struct bus_conn *conn, uint8_t *frame, size_t sealed, struct pc_slice *inner,
    unsigned char *tag);
/* Takes the other side's stream header: frames can be opened from now on. */
void bus_frame_pull_start(struct bus_conn *conn, const uint8_t *header);
void bus_frame_push_bye(struct bus_conn *conn);

/* ---- bus_link.c */
struct bus_link *bus_link_new(struct pc_bus *bus, const char *name, const char *address);
void bus_link_delete(struct bus_link *link);
struct bus_link *bus_link_find(struct pc_bus *bus, const char *name);
void bus_link_set_address(struct bus_link *link, const char *address);
void bus_link_set_hint(struct bus_link *link, const struct pc_addr *addr);
/* False when the connection came of a hint and the peer at its other end is not this link's: the
 * hint is given up. A configured address is the operator's word and not questioned. */
bool bus_link_accepts(struct bus_link *link, const char *peer_name);
void bus_link_on_up(struct bus_link *link, pc_node_id peer);
/* Another link to this peer is up already: one is enough. */
void bus_link_on_double(struct bus_link *link, pc_node_id peer);
/* Its connection has ended, or could not be made. */
void bus_link_on_end(struct bus_link *link, bool was_up);
/* One side refused the other: the tries become rarer than after an address that does not answer. */
void bus_link_on_refused(struct bus_link *link);
/* The peer has come in by itself, from this address, and is welcome: a try is worth while now. It
 * says that it listens on `port`; 0 = it says nothing. */
void bus_link_on_welcome(struct bus_link *link, const struct pc_addr *from, uint16_t port);
/* How long to wait after a round that followed a wait of at most `delay_ms`. */
pc_ms bus_link_delay_after(pc_ms delay_ms, bool refused);

/* ---- bus_peer.c */
struct bus_peer *bus_peer_find(struct pc_bus *bus, pc_node_id id);
/* NULL when PC_MEMBERS_MAX peers are connected. */
struct bus_peer *bus_peer_get(struct pc_bus *bus, pc_node_id id);
void bus_peer_delete(struct bus_peer *peer);
/* A HELLO of this life has authenticated: whatever was of an earlier one is over. */
void bus_peer_on_hello(
    struct bus_peer *peer, const char *name, uint64_t generation, const uint8_t *boot);
/* A connection that was UP has ended. */
void bus_peer_on_end(struct bus_peer *peer, struct bus_conn *conn, enum bus_end end);

/* ---- bus_refusal.c */
/* Counts a refusal. True when it is worth a line; then *left_out is how many before it were not. */
bool bus_refusals_admit(struct bus_refusals *refusals, const char *peer, bool is_ours,
    struct pc_instant now, uint64_t *left_out);
void bus_refusal_log(const struct bus_conn *conn, const char *peer, bool is_ours, const char *text);

#endif
