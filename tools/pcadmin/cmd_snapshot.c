/* snapshot save, inspect. A copy gets its name when it is whole, checked and durable: what has the
 * name of a backup is one.
 *
 *     order (POST) --> durable there --> FILE.part --> synced --> checked --> FILE
 *
 * Order and download go to the same node; behind a balancer they may not, and then the index of
 * what came tells. */
#define _GNU_SOURCE
#include "pcadmin_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define ORDER_MS_MIN 20000 /* a node answers an order within 10 s */
#define POLL_MS 200

int exit_of_error(pc_err err)
{
    switch (err) {
    case PC_E_CORRUPT:
    case PC_E_MALFORMED:
        return EXIT_DAMAGED;
    case PC_E_VERSION:
        return EXIT_VERSION;
    case PC_E_EXISTS:
    case PC_E_LOCKED:
        return EXIT_NO;
    case PC_E_INVALID:
        return EXIT_USAGE;
    default:
        return EXIT_LOCAL_IO;
    }
}

static int fail(const char *what, const struct pc_error *error)
{
    fprintf(stderr, "pcadmin: %s%s%s\n", what, what[0] != '\0' ? ": " : "", error->text);
    return exit_of_error(error->code);
}

struct pc_snap_reader *snapshot_open(const char *path, struct pc_snap_content *content, int *status)
{
    struct pc_snap_reader *reader = NULL;
    struct pc_error error;
    pc_err err = pc_snap_reader_open(pc_fs_posix(), path, &reader, &error);
    if (err == PC_OK) {
        err = pc_snap_check(reader, NULL, NULL, content, &error);
    }
    if (err != PC_OK) {
        *status = fail("", &error);
        pc_snap_reader_close(reader);
        return NULL;
    }
    return reader;
}

/* ---- what it is of */

static void hex_of(const uint8_t *bytes, char out[33])
{
    pc_hex_encode(bytes, 16, out);
}

static void time_of(pc_ms stamp_ms, char out[40])
{
    time_t seconds = (time_t)(stamp_ms / 1000);
    struct tm broken;
    if (gmtime_r(&seconds, &broken) == NULL ||
        strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &broken) == 0) {
        (void)snprintf(out, 40, "%" PRIu64, stamp_ms);
    }
}

/* "node1:voter node4:replica" */
static void members_of(struct pc_slice config, struct pc_buf *out)
{
    static const char *const wants[] = {"voter", "replica", "spare"};
    struct pc_cluster_config members;
    if (pc_wire_decode_config(config, &members) != PC_OK) {
        members.members_n = 0; /* an open snapshot has one that decodes */
    }
    for (size_t i = 0; i < members.members_n; i++) {
        const char *parts[] = {
            i > 0 ? " " : "", members.members[i].name, ":", wants[members.members[i].want]};
        for (size_t k = 0; k < 4; k++) {
            pc_buf_append(out, parts[k], strlen(parts[k]));
        }
    }
    pc_buf_append_u8(out, 0);
}

static int report(const struct args *args, const char *path, struct pc_snap_reader *reader,
    const struct pc_snap_content *content)
{
    static const struct column columns[] = {{"", "file", false}, {"", "index", false},
        {"", "term", false}, {"", "time", false}, {"", "items", false}, {"", "data_bytes", false},
        {"", "file_bytes", false}, {"", "chunks", false}, {"", "members", false},
        {"", "history", false}, {"", "digest", false}, {"", "hash", false}};
    const struct pc_snap_info *info = pc_snap_reader_info(reader);
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(reader);
    char history[33], digest[33], hash[33], when[40];
    struct pc_buf members = {0};
    hex_of(meta->history, history);
    hex_of(content->digest.b, digest);
    hex_of(info->hash.b, hash);
    time_of(info->base.stamp_ms, when);
    members_of(meta->config, &members);
    const struct cell cells[] = {cell_text(path), cell_number(info->base.index),
        cell_number(info->base.term), cell_text(when), cell_number(content->items),
        cell_number(content->data_bytes), cell_number(info->file_bytes), cell_number(info->chunks),
        cell_text((const char *)members.data), cell_text(history), cell_text(digest),
        cell_text(hash)};
    struct out out;
    out_open(&out, args->form, stdout);
    out_record(&out, columns, cells, sizeof cells / sizeof cells[0]);
    pc_buf_destroy(&members);
    return out_close(&out);
}

int run_snapshot_inspect(const struct args *args)
{
    int status = EXIT_YES;
    struct pc_snap_content content;
    struct pc_snap_reader *reader = snapshot_open(args->positionals[0], &content, &status);
    if (reader != NULL) {
        status = report(args, args->positionals[0], reader, &content);
        pc_snap_reader_close(reader);
    }
    return status;
}

/* ---- ordering one */

static void pause_ms(unsigned ms)
{
    struct timespec wait = {.tv_nsec = (long)ms * 1000000};
    (void)nanosleep(&wait, NULL);
}

/* After a 202: until that node has it. */
static bool await_snapshot(const struct args *args, size_t which, uint64_t at_least, int *status)
{
    struct args one = *args;
    memcpy(one.endpoints[0], args->endpoints[which], sizeof one.endpoints[0]);
    one.endpoints_n = 1;
    while (true) {
        json_t *doc = ask_json(&one, "/v1/status", status);
        if (doc == NULL) {
            return false;
        }
        const json_t *snapshot = json_object_get(doc, "snapshot");
        uint64_t index = json_number(snapshot, "index", 0);
        bool is_due = json_is_true(json_object_get(snapshot, "due"));
        json_decref(doc);
        if (index >= at_least) {
            return true;
        }
        if (!is_due) {
            fprintf(stderr, "pcadmin: %s: the snapshot could not be made: see its log\n",
                args->endpoints[which]);
            *status = EXIT_NO;
            return false;
        }
        pause_ms(POLL_MS);
    }
}

/* Has a snapshot made. Returns the endpoint that has it, with the least index in *at_least; or -1
 * after saying why. */
static int order(const struct args *args, uint64_t *at_least, int *status)
{
    struct args patient = *args;
    struct request request = {.method = "POST", .target = "/v1/snapshot", .has_body = true};
    struct response response;
    patient.timeout_ms = args->timeout_ms > ORDER_MS_MIN ? args->timeout_ms : ORDER_MS_MIN;
    int which = ask(&patient, &request, &response, status);
    if (which < 0) {
        return -1;
    }
    json_t *doc = response_json(&response);
    bool is_made = response.status == 200;
    *at_least = json_number(doc, is_made ? "index" : "at_least", 0);
    json_decref(doc);
    if (!is_made && response.status != 202) {
        *status = exit_of_status(response.status);
        complain_of_answer(args->endpoints[which], &response);
        which = -1;
    }
    if (response.status == 202 && *at_least == 0) { /* any snapshot would do, be it of last year */
        fprintf(
            stderr, "pcadmin: %s: does not say which snapshot it makes\n", args->endpoints[which]);
        *status = EXIT_VERSION;
        which = -1;
    }
    response_destroy(&response);
    if (which >= 0 && !is_made && !await_snapshot(args, (size_t)which, *at_least, status)) {
        which = -1;
    }
    return which;
}

/* ---- downloading */

struct download {
    const char *path;
    int fd;
    uint64_t got;
    bool shows; /* progress, on a terminal */
    struct timespec shown_at;
};

static void show(struct download *download, uint64_t length, bool is_end)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    long long ms = (long long)(now.tv_sec - download->shown_at.tv_sec) * 1000 +
                   (now.tv_nsec - download->shown_at.tv_nsec) / 1000000;
    if (!download->shows || (!is_end && ms < 100)) {
        return;
    }
    download->shown_at = now;
    fprintf(stderr, "\r%3" PRIu64 "%%  %" PRIu64 " of %" PRIu64 " KiB%s",
        length > 0 ? download->got * 100 / length : 100, download->got / 1024, length / 1024,
        is_end ? "\n" : "");
    (void)fflush(stderr);
}

static bool take(void *arg, struct pc_slice bytes, uint64_t length, struct pc_error *error)
{
    struct download *download = arg;
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t wrote = write(download->fd, bytes.data + done, bytes.len - done);
        if (wrote < 0 && errno != EINTR) {
            (void)pc_error_set(error, errno == ENOSPC ? PC_E_NO_SPACE : PC_E_IO, "write %s: %s",
                download->path, strerror(errno));
            return false;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    download->got += bytes.len;
    show(download, length, download->got == length);
    return true;
}

/* Whether the next endpoint may have what this one has not. */
static bool may_go_on(enum client_result result, const struct response *response)
{
    return result == CLIENT_OK ? response->status == 404 || response->status == 503
                               : result != CLIENT_REFUSED;
}

/* From the endpoints first..last. Returns EXIT_YES with the whole file in download->fd. */
static int fetch(
    const struct args *args, size_t first, size_t last, struct download *download, size_t *from)
{
    int status = EXIT_CONNECT;
    struct client_sink sink = {.arg = download, .take = take};
    for (size_t i = first; i <= last; i++) {
        struct pc_error error;
        struct response response;
        download->got = 0;
        if (lseek(download->fd, 0, SEEK_SET) != 0 || ftruncate(download->fd, 0) != 0) {
            fprintf(stderr, "pcadmin: %s: %s\n", download->path, strerror(errno));
            return EXIT_LOCAL_IO;
        }
        enum client_result result = client_download(
            args->endpoints[i], args->timeout_ms, "/v1/snapshot", &sink, &response, &error);
        bool is_good = result == CLIENT_OK && response.status == 200;
        *from = i;
        if (result == CLIENT_OK && !is_good) {
            status = exit_of_status(response.status);
            complain_of_answer(args->endpoints[i], &response);
        } else if (!is_good) {
            status = exit_of_result(result);
            fprintf(stderr, "pcadmin: %s\n", error.text);
        }
        bool goes_on = !is_good && may_go_on(result, &response);
        response_destroy(&response);
        if (!goes_on) {
            return is_good ? EXIT_YES : status;
        }
    }
    return status;
}

/* ---- keeping */

static int sync_part(int fd, const char *part)
{
    if (fsync(fd) != 0) {
        fprintf(stderr, "pcadmin: sync %s: %s\n", part, strerror(errno));
        return EXIT_LOCAL_IO;
    }
    return EXIT_YES;
}

static int give_name(const char *part, const char *path)
{
    struct pc_error error;
    const struct pc_fs *fs = pc_fs_posix();
    char dir[PATH_BYTES];
    (void)snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        memcpy(dir, ".", 2);
    } else {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    pc_err err = fs->rename(fs->context, part, path, &error);
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, dir, &error);
    }
    return err == PC_OK ? EXIT_YES : fail("", &error);
}

/* Checks what came, and gives it its name. */
static int keep(
    const struct args *args, const struct download *download, uint64_t at_least, size_t from)
{
    const char *path = args->positionals[0];
    struct pc_snap_content content;
    int status = sync_part(download->fd, download->path); /* what is on the disk is checked */
    if (status != EXIT_YES) {
        return status;
    }
    struct pc_snap_reader *reader = snapshot_open(download->path, &content, &status);
    if (reader == NULL) {
        return status;
    }
    if (pc_snap_reader_info(reader)->base.index < at_least) {
        fprintf(stderr,
            "pcadmin: %s: gave an older snapshot than the one that was made: is it a balancer?"
            " Name one node\n",
            args->endpoints[from]);
        status = EXIT_NO;
    }
    if (status == EXIT_YES) {
        status = give_name(download->path, path);
    }
    if (status == EXIT_YES) {
        status = report(args, path, reader, &content);
    }
    pc_snap_reader_close(reader);
    return status;
}

/* Opens the file that the download goes to, for this process alone: two that write to one would
 * make a mixture of it. Returns -1 after saying why. */
static int part_open(const char *part)
{
    struct stat open_one, named;
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "pcadmin: open %s: %s\n", part, strerror(errno));
        return -1;
    }
    /* Whoever had it may have ended in between, and renamed or removed what is open here. */
    bool is_ours = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &open_one) == 0 &&
                   stat(part, &named) == 0 && open_one.st_ino == named.st_ino &&
                   open_one.st_dev == named.st_dev;
    if (!is_ours) {
        fprintf(stderr, "pcadmin: %s: another one saves to this file\n", part);
    } else if (ftruncate(fd, 0) != 0) {
        fprintf(stderr, "pcadmin: truncate %s: %s\n", part, strerror(errno));
        is_ours = false;
    }
    if (!is_ours) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int run_snapshot_save(const struct args *args)
{
    int status = EXIT_YES, which = 0;
    uint64_t at_least = 0;
    char part[PATH_BYTES];
    int used = snprintf(part, sizeof part, "%s.part", args->positionals[0]);
    if (used <= 0 || (size_t)used >= sizeof part) {
        fprintf(stderr, "pcadmin: the name of the file is too long\n");
        return EXIT_USAGE;
    }
    struct download download = {.path = part, .shows = isatty(STDERR_FILENO) == 1};
    download.fd = part_open(part); /* before a node is troubled for nothing */
    if (download.fd < 0) {
        return EXIT_LOCAL_IO;
    }
    size_t last = args->endpoints_n - 1, from = 0;
    if (!args->newest) {
        which = order(args, &at_least, &status);
        last = which >= 0 ? (size_t)which : 0;
    }
    if (which >= 0) {
        status = fetch(args, (size_t)which, last, &download, &from);
        status = status == EXIT_YES ? keep(args, &download, at_least, from) : status;
    }
    if (status != EXIT_YES) {
        (void)unlink(part); /* before the lock is let go: later it may be another one's */
    }
    (void)close(download.fd);
    return status;
}
