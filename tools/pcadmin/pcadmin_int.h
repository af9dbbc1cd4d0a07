/* pcadmin_int.h: the commands, and what they share. */
#ifndef PCADMIN_INT_H
#define PCADMIN_INT_H

#include <jansson.h>

#include "client.h"
#include "out.h"
#include "pcache/snap.h"

/* ---- ask.c: requests to the endpoints */
/* The exit status for an HTTP status. */
int exit_of_status(int status);
int exit_of_result(enum client_result result);
/* Says on standard error why an answer is not the wanted one. */
void complain_of_answer(const char *endpoint, const struct response *response);
/* Asks the endpoints in turn until one answers. One that cannot be reached, or answers that it did
 * nothing (503), is passed over; a lost answer only when the request may be repeated (GET). Returns
 * the index of the endpoint that answered, response filled in; or -1, after saying why, with the
 * exit status in *status. */
int ask(
    const struct args *args, const struct request *request, struct response *response, int *status);
/* GET of a JSON object from one endpoint, or from any (endpoint NULL). NULL after saying why. */
json_t *ask_json(const struct args *args, const char *target, int *status);
json_t *response_json(const struct response *response);

/* ---- status_words.c: pure */
/* What the voters that are up mean, from a /v1/status object: "1 more node may fail"; "" when it
 * does not say. */
void redundancy_words(const json_t *status, char *out, size_t out_bytes);
/* How far a member that catches up is: "81% eta 3s"; "" when it is not catching up, or not known.
 */
void progress_words(const json_t *member, char *out, size_t out_bytes);
/* That the node goes on alone, or did and somebody is to decide what of it counts; "" otherwise. */
void solo_words(const json_t *status, char *out, size_t out_bytes);

/* ---- status_view.c: pure */
/* Writes the table of `pcadmin status` from /v1/status objects of one or more nodes; for people
 * with a last line on what may fail. */
void status_view(json_t *const *docs, size_t n, enum output_form form, struct out *out);
void members_view(json_t *members, enum output_form form, struct out *out);
/* "0.2s" "12s" "3m" "5h". */
const char *duration_format(uint64_t ms, char buffer[24]);
/* A member of an object, with a fallback when it is missing or of another type. */
const char *json_text(const json_t *object, const char *name, const char *fallback);
uint64_t json_number(const json_t *object, const char *name, uint64_t fallback);

/* ---- cmd_snapshot.c */
/* The exit status for a file, directory or snapshot that is not as it should be. */
int exit_of_error(pc_err err);
/* Opens a snapshot and checks all of it. On an error it is said on standard error, and *status is
 * the exit status. */
struct pc_snap_reader *snapshot_open(
    const char *path, struct pc_snap_content *content, int *status);

/* ---- commands */
int run_status(const struct args *args);
int run_members(const struct args *args);
int run_member_add(const struct args *args);
int run_member_remove(const struct args *args);
int run_member_promote(const struct args *args);
int run_member_demote(const struct args *args);
int run_member_replace(const struct args *args);
int run_health(const struct args *args);
int run_leader_show(const struct args *args);
int run_leader_transfer(const struct args *args);
int run_cluster_recover(const struct args *args);
int run_get(const struct args *args);
int run_put(const struct args *args);
int run_del(const struct args *args);
int run_snapshot_save(const struct args *args);
int run_snapshot_inspect(const struct args *args);
int run_snapshot_restore(const struct args *args);
int run_log_dump(const struct args *args);
int run_log_tail(const struct args *args);
int run_rollback_list(const struct args *args);
int run_rollback_show(const struct args *args);
int run_rollback_replay(const struct args *args);
int run_rollback_remove(const struct args *args);
int run_key_gen(const struct args *args);
int run_help(const struct args *args);
int run_version(const struct args *args);

/* ---- cmd_kv.c: pure parts */
/* "/v1/kv/<key>[?ttl=..|?consistency=local]", NUL-terminated. */
void kv_target(const struct args *args, struct pc_buf *out);
/* The number in an ETag; 0 when there is none. */
uint64_t etag_version(const char *etag);

#endif
