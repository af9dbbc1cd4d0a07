/* What a start makes of branch.open, and what becomes of a damaged one.
 *
 *   there is none                      nothing to do
 *   whole, or with a torn tail         the branch is open; its torn tail will be written over
 *   with an END                        it was being closed: closed now
 *   damaged                            what can be read goes to a file in rollback/, then the
 *                                      damaged one goes beside it, as .damaged
 *   no header that can be read         goes to rollback/unreadable-<n>.damaged
 *
 * The file is synced before it is believed: the process that wrote it may have died before it
 * could, and what was only in memory then would be lost with the power later on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"

void pc_branch_found_clear(struct pc_branch_found *found)
{
    for (size_t i = 0; i < found->records_n; i++) {
        pc_branch_record_clear(&found->records[i]);
    }
    free(found->records);
    pc_branch_writer_close(found->writer);
    *found = (struct pc_branch_found){0};
}

static void remove_leftover(const struct pc_fs *fs, const char *dir, const char *name)
{
    struct branch_path path;
    struct pc_error ignored;
    if (pc_branch_join(dir, name, &path)) {
        (void)fs->unlink(fs->context, path.text, &ignored);
    }
}

/* ---- damage */

/* Copies the records that can be read, with an END that says how many there were. */
static pc_err copy_records(
    struct pc_branch_reader *reader, struct pc_branch_writer *writer, struct pc_error *error)
{
    while (true) {
        struct pc_branch_record record;
        pc_err err = pc_branch_reader_next(reader, &record, error);
        if (err == PC_E_CORRUPT) {
            pc_branch_reader_skip(reader);
            continue;
        }
        if (err != PC_OK) {
            return err == PC_E_NOT_FOUND ? PC_OK : err;
        }
        writer->out_last = record.number - 1; /* those in between are lost */
        pc_branch_writer_put(writer, &record);
        pc_branch_record_clear(&record);
        if (pc_branch_writer_waiting(writer) >= PC_BRANCH_READ_BYTES) {
            err = pc_branch_writer_sync(writer, error);
            if (err != PC_OK) {
                return err;
            }
        }
    }
}

/* rollback/<name>.kvr with what can be read; none when that is nothing. It is written in rollback/
 * as if that were a data directory of its own, and has its name when it is whole. */
static pc_err salvage(const struct pc_fs *fs, const char *dir, struct pc_branch_reader *reader,
    char *name, struct pc_error *error)
{
    const struct pc_branch_info *info = pc_branch_reader_info(reader);
    struct branch_path folder, from, to;
    struct pc_branch_writer *writer = NULL;
    bool fits = pc_branch_join(dir, PC_BRANCH_DIR_NAME, &folder) &&
                pc_branch_join(folder.text, PC_BRANCH_OPEN_NAME, &from);
    PC_ASSERT(fits);
    remove_leftover(fs, folder.text, PC_BRANCH_OPEN_NAME);
    pc_err err = pc_branch_writer_begin(fs, folder.text, &info->head, &writer, error);
    if (err != PC_OK) {
        return err;
    }
    err = copy_records(reader, writer, error);
    if (err == PC_OK) {
        uint64_t last = writer->out_records < info->last ? info->last : writer->out_records + 1;
        err = pc_branch_writer_finish(writer, last, info->ended_ms, error);
    }
    pc_branch_name(&info->head, writer->records, name);
    bool is_empty = writer->records == 0;
    pc_branch_writer_close(writer);
    if (err == PC_OK && !is_empty) {
        fits = pc_branch_path(dir, name, to.text, sizeof to.text);
        PC_ASSERT(fits);
        err = fs->rename(fs->context, from.text, to.text, error);
    } else {
        remove_leftover(fs, folder.text, PC_BRANCH_OPEN_NAME);
    }
    return err == PC_OK ? fs->sync_dir(fs->context, folder.text, error) : err;
}

/* The damaged file goes last: until then a start does all of this again, and comes to the same. */
static pc_err set_damaged_aside(
    const struct pc_fs *fs, const char *dir, const char *path, char *name, struct pc_error *error)
{
    struct pc_branch_reader *reader = NULL;
    char aside[PC_BRANCH_NAME_BYTES + 16];
    pc_err err = pc_branch_make_dir(fs, dir, error);
    if (err == PC_OK) {
        err = pc_branch_reader_open(fs, path, &reader, error);
    }
    if (err == PC_OK) {
        err = salvage(fs, dir, reader, name, error);
    }
    pc_branch_reader_close(reader);
    if (err != PC_OK) {
        return err;
    }
    (void)snprintf(aside, sizeof aside, "%.*s.damaged", (int)(strrchr(name, '.') - name), name);
    return pc_branch_move(fs, dir, PC_BRANCH_OPEN_NAME, aside, error);
}

#define UNREADABLE_MAX 1000

/* Without a header nothing tells what it is of. */
static pc_err set_unreadable_aside(const struct pc_fs *fs, const char *dir, struct pc_error *error)
{
    for (unsigned i = 1; i <= UNREADABLE_MAX; i++) {
        char name[PC_BRANCH_NAME_BYTES];
        struct branch_path path;
        pc_fd fd;
        (void)snprintf(name, sizeof name, "unreadable-%u.damaged", i);
        bool fits = pc_branch_path(dir, name, path.text, sizeof path.text);
        PC_ASSERT(fits);
        pc_err err = fs->open_read(fs->context, path.text, &fd, error);
        if (err == PC_OK) {
            fs->close(fs->context, fd);
            continue;
        }
        return err == PC_E_NOT_FOUND ? pc_branch_move(fs, dir, PC_BRANCH_OPEN_NAME, name, error)
                                     : err;
    }
    return pc_error_set(error, PC_E_EXISTS, "too many damaged files in " PC_BRANCH_DIR_NAME);
}

/* ---- looking */

struct search {
    const struct pc_fs *fs;
    const char *dir;
    struct branch_path path; /* of branch.open */
    bool keeps;              /* records are wanted */
    size_t records_cap;
    struct pc_branch_found found;
};

static void say(struct search *search, const char *what, const char *how, const char *text)
{
    (void)snprintf(
        search->found.where, sizeof search->found.where, "%.120s; %s%.100s", what, how, text);
}

static void aside(struct search *search, const char *what, pc_err err, const struct pc_error *why)
{
    if (err == PC_OK) {
        say(search, what, "set aside in " PC_BRANCH_DIR_NAME, "");
    } else {
        say(search, what, "cannot be set aside: ", why->text);
    }
}

static pc_err keep_record(
    struct search *search, struct pc_branch_record *record, struct pc_error *error)
{
    struct pc_branch_found *found = &search->found;
    if (!search->keeps) {
        pc_branch_record_clear(record);
        return PC_OK;
    }
    if (found->records_n == search->records_cap) {
        size_t cap = search->records_cap == 0 ? 64 : search->records_cap * 2;
        struct pc_branch_record *more = realloc(found->records, cap * sizeof *more);
        if (more == NULL) {
            pc_branch_record_clear(record);
            return pc_error_set(error, PC_E_NOMEM, "no memory for the records of a branch");
        }
        found->records = more;
        search->records_cap = cap;
    }
    found->records[found->records_n++] = *record;
    return PC_OK;
}

/* All records. PC_OK at the end of the file. Numbers that are not 1, 2, ... are damage, too. */
static pc_err walk(struct search *search, struct pc_branch_reader *reader, struct pc_error *error)
{
    const struct pc_branch_info *info = pc_branch_reader_info(reader);
    pc_err err = PC_OK;
    while (err == PC_OK) {
        struct pc_branch_record record;
        err = pc_branch_reader_next(reader, &record, error);
        if (err == PC_OK) {
            err = keep_record(search, &record, error);
        }
        if (err == PC_OK && info->last != info->records) {
            err = pc_error_set(error, PC_E_CORRUPT, PC_BRANCH_OPEN_NAME ": a record is missing");
        }
    }
    return err == PC_E_NOT_FOUND ? PC_OK : err;
}

static void finish_closing(struct search *search, const struct pc_branch_info *info)
{
    struct pc_error error;
    char name[PC_BRANCH_NAME_BYTES];
    pc_branch_name(&info->head, info->records, name);
    pc_err err = pc_branch_move(search->fs, search->dir, PC_BRANCH_OPEN_NAME, name, &error);
    if (err != PC_OK) {
        say(search, PC_BRANCH_OPEN_NAME, "cannot be closed: ", error.text);
    }
}

static void drop_records(struct pc_branch_found *found)
{
    struct pc_branch_found none = {.writer = found->writer};
    memcpy(none.where, found->where, sizeof none.where);
    found->writer = NULL;
    pc_branch_found_clear(found);
    *found = none;
}

static pc_err judge(struct search *search, struct pc_branch_reader *reader, struct pc_error *error)
{
    pc_err err = walk(search, reader, error);
    bool is_ended = pc_branch_reader_info(reader)->is_ended;
    if (err == PC_OK && !is_ended) {
        search->found.writer = pc_branch_writer_of(search->fs, search->dir, reader);
        return PC_OK;
    }
    if (err == PC_OK) {
        finish_closing(search, pc_branch_reader_info(reader));
    }
    pc_branch_reader_close(reader);
    drop_records(&search->found);
    if (err == PC_E_CORRUPT) {
        char name[PC_BRANCH_NAME_BYTES];
        struct pc_error why;
        err = set_damaged_aside(search->fs, search->dir, search->path.text, name, &why);
        aside(search, error->text, err, &why);
        err = PC_OK;
    }
    return err;
}

static pc_err look(struct search *search, pc_fd fd, struct pc_error *error)
{
    const struct pc_fs *fs = search->fs;
    struct pc_branch_reader *reader = NULL;
    struct pc_error why;
    pc_err err = fs->sync(fs->context, fd, error);
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, search->dir, error);
    }
    if (err == PC_OK) {
        err = pc_branch_reader_of(fs, fd, search->path.text, &reader, error);
    }
    if (err == PC_OK) {
        return judge(search, reader, error);
    }
    fs->close(fs->context, fd);
    if (err == PC_E_CORRUPT) {
        err = pc_branch_make_dir(fs, search->dir, &why);
        err = err == PC_OK ? set_unreadable_aside(fs, search->dir, &why) : err;
        aside(search, error->text, err, &why);
        err = PC_OK;
    }
    return err;
}

static pc_err find_open(struct search *search, struct pc_error *error)
{
    struct branch_path folder;
    pc_fd fd;
    if (!pc_branch_join(search->dir, PC_BRANCH_OPEN_NAME, &search->path) ||
        !pc_branch_join(search->dir, PC_BRANCH_DIR_NAME, &folder)) {
        return pc_error_set(error, PC_E_INVALID, "data directory: the path is too long");
    }
    remove_leftover(search->fs, search->dir, BRANCH_NEW_NAME);
    remove_leftover(search->fs, folder.text, BRANCH_NEW_NAME);
    remove_leftover(search->fs, folder.text, PC_BRANCH_OPEN_NAME);
    pc_err err = search->fs->open(search->fs->context, search->path.text, false, false, &fd, error);
    if (err == PC_E_NOT_FOUND) {
        return PC_OK;
    }
    err = err == PC_OK ? look(search, fd, error) : err;
    if (err != PC_OK) {
        pc_branch_found_clear(&search->found);
    }
    return err;
}

pc_err pc_branch_find(
    const struct pc_fs *fs, const char *dir, struct pc_branch_found *out, struct pc_error *error)
{
    struct search search = {.fs = fs, .dir = dir, .keeps = true};
    pc_err err = find_open(&search, error);
    if (err == PC_OK) {
        *out = search.found;
    }
    return err;
}

pc_err pc_branch_settle(
    const struct pc_fs *fs, const char *dir, pc_ms wall_ms, struct pc_error *error)
{
    struct search search = {.fs = fs, .dir = dir};
    struct pc_branch_info info;
    pc_err err = find_open(&search, error);
    if (err != PC_OK || search.found.writer == NULL) {
        return err;
    }
    err = pc_branch_writer_end(search.found.writer, wall_ms, &info, error);
    pc_branch_found_clear(&search.found);
    return err;
}
