/* Operations with their strings taken out: a string is kept once and named by its offset, so that
 * keys and values are compared as numbers, and a hundred thousand operations are some megabytes. */
#define _GNU_SOURCE
#include "lincheck/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define FILES_MAX 1000

void lin_history_create(struct lin_history *h)
{
    *h = (struct lin_history){.text_len = 1}; /* offset 0 is no string */
}

void lin_history_destroy(struct lin_history *h)
{
    for (uint16_t i = 0; i < h->files_n; i++) {
        free(h->file[i]);
    }
    free(h->file);
    free(h->op);
    free(h->text);
    free(h->slot);
    lin_history_create(h);
}

const char *lin_history_text(const struct lin_history *h, lin_text text)
{
    return text == 0 ? "" : h->text + text;
}

/* FNV-1a: the file comes from our own client, nobody chooses strings that collide. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    }
    return hash ^ hash >> 29;
}

/* The slot that has the string, or the free one where it belongs. */
static lin_text *slot_find(const struct lin_history *h, const char *text)
{
    size_t at = hash_of(text) & (h->slots_n - 1);
    while (h->slot[at] != 0 && strcmp(h->text + h->slot[at], text) != 0) {
        at = (at + 1) & (h->slots_n - 1);
    }
    return &h->slot[at];
}

static void slots_grow(struct lin_history *h)
{
    lin_text *old = h->slot;
    size_t old_n = h->slots_n;
    h->slots_n = old_n == 0 ? 1024 : old_n * 2;
    h->slot = calloc(h->slots_n, sizeof *h->slot);
    PC_ASSERT(h->slot != NULL);
    for (size_t i = 0; i < old_n; i++) {
        if (old[i] != 0) {
            *slot_find(h, h->text + old[i]) = old[i];
        }
    }
    free(old);
}

/* 0 when all strings together pass 4 GiB. */
static lin_text intern(struct lin_history *h, const char *text)
{
    if (h->strings_n * 2 >= h->slots_n) {
        slots_grow(h);
    }
    lin_text *slot = slot_find(h, text);
    if (*slot != 0) {
        return *slot;
    }
    size_t len = strlen(text) + 1;
    if (h->text_len + len > UINT32_MAX) {
        return 0;
    }
    if (h->text_len + len > h->text_cap) {
        h->text_cap = (h->text_len + len) * 2 + 65536;
        h->text = realloc(h->text, h->text_cap);
        PC_ASSERT(h->text != NULL);
    }
    memcpy(h->text + h->text_len, text, len);
    *slot = (lin_text)h->text_len;
    h->text_len += len;
    h->strings_n++;
    return *slot;
}

/* False when there is no room. */
static bool intern_into(struct lin_history *h, const char *text, lin_text *out)
{
    *out = intern(h, text);
    return *out != 0;
}

bool lin_history_add(struct lin_history *h, const struct lin_record *r, uint32_t line)
{
    if (h->n == LIN_OPS_MAX) {
        return false;
    }
    if (h->n == h->cap) {
        h->cap = h->cap * 2 + 1024;
        h->op = realloc(h->op, h->cap * sizeof *h->op);
        PC_ASSERT(h->op != NULL);
    }
    struct lin_op *op = &h->op[h->n];
    *op = (struct lin_op){.t0_us = r->t0_us,
        .t1_us = r->t1_us,
        .version = r->version,
        .index = r->index,
        .expect = r->expect,
        .ttl_ms = r->ttl_ms,
        .delta = r->delta,
        .client = r->client,
        .session = r->session,
        .line = line,
        .file = h->files_n,
        .kind = (uint8_t)r->kind,
        .status = (uint8_t)r->status,
        .is_local = r->is_local,
        .is_final = r->is_final,
        .is_refused = r->is_refused};
    if (!intern_into(h, r->key, &op->key) ||
        (r->node[0] != '\0' && !intern_into(h, r->node, &op->node)) ||
        (r->has_value && !intern_into(h, r->value, &op->value)) ||
        (r->id[0] != '\0' && !intern_into(h, r->id, &op->id))) {
        return false;
    }
    h->n++;
    return true;
}

/* ---- files */
/* A line of a file, or what is wrong with it. */
struct reader {
    FILE *file;
    char *line;
    uint32_t number;
};

enum line_result { LINE_OPERATION, LINE_END, LINE_BAD };

static enum line_result line_read(
    struct reader *r, struct lin_record *record, char *why, size_t why_max)
{
    size_t len = 0;
    int c;
    r->number++;
    while ((c = getc_unlocked(r->file)) != EOF && c != '\n') {
        if (len == LIN_LINE_BYTES_MAX) {
            (void)snprintf(why, why_max, "longer than %d bytes", LIN_LINE_BYTES_MAX);
            return LINE_BAD;
        }
        r->line[len++] = (char)c;
    }
    if (c == EOF) {
        if (ferror(r->file) != 0) {
            (void)snprintf(why, why_max, "%s", strerror(errno));
            return LINE_BAD;
        }
        if (len > 0) {
            (void)snprintf(why, why_max, "the file ends within a line");
            return LINE_BAD;
        }
        return LINE_END;
    }
    return lin_record_parse(r->line, len, record, why, why_max) ? LINE_OPERATION : LINE_BAD;
}

static bool lines_read(struct lin_history *h, struct reader *r, char *why, size_t why_max)
{
    struct lin_record *record = calloc(1, sizeof *record);
    PC_ASSERT(record != NULL);
    enum line_result result;
    while ((result = line_read(r, record, why, why_max)) == LINE_OPERATION) {
        if (!lin_history_add(h, record, r->number)) {
            (void)snprintf(why, why_max, "more than %d operations, or 4 GiB of text", LIN_OPS_MAX);
            result = LINE_BAD;
            break;
        }
    }
    free(record);
    return result == LINE_END;
}

bool lin_history_read(struct lin_history *h, const char *path, char *why, size_t why_max)
{
    struct reader r = {.file = fopen(path, "re")};
    if (r.file == NULL || h->files_n == FILES_MAX) {
        (void)snprintf(
            why, why_max, "%s: %s", path, r.file == NULL ? strerror(errno) : "too many files");
        if (r.file != NULL) {
            (void)fclose(r.file);
        }
        return false;
    }
    char what[256];
    h->file = realloc(h->file, (h->files_n + 1u) * sizeof *h->file);
    r.line = malloc(LIN_LINE_BYTES_MAX);
    PC_ASSERT(h->file != NULL && r.line != NULL);
    h->file[h->files_n] = strdup(path);
    PC_ASSERT(h->file[h->files_n] != NULL);
    bool is_ok = lines_read(h, &r, what, sizeof what);
    if (!is_ok) {
        (void)snprintf(why, why_max, "%s:%u: %s", path, r.number, what);
    }
    h->files_n++;
    free(r.line);
    (void)fclose(r.file);
    return is_ok;
}
