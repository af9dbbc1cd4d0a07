/* out.h: what a command says, apart from how it looks. A command writes tables and records; the
 * form (text for people, JSON, name=value lines) is chosen once. */
#ifndef PCADMIN_OUT_H
#define PCADMIN_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "args.h"

enum cell_type { CELL_NONE, CELL_TEXT, CELL_NUMBER, CELL_BOOL };

/* One value. Text is borrowed until the call that takes the cell returns. */
struct cell {
    enum cell_type type;
    const char *text;
    uint64_t number; /* NUMBER; BOOL: 0 or 1 */
};

struct cell cell_none(void);
struct cell cell_text(const char *text); /* NULL: none */
struct cell cell_number(uint64_t number);
struct cell cell_bool(bool value);

struct column {
    const char *title; /* of the table; "" for remarks at the end of a line */
    const char *name;  /* of the field */
    bool right;        /* numbers stand at the right */
};

struct out;
struct out_ops {
    void (*table)(struct out *out); /* all rows are in */
    void (*record)(
        struct out *out, const struct column *columns, const struct cell *cells, size_t n);
};

struct out {
    const struct out_ops *ops;
    FILE *file;
    const struct column *columns;
    size_t columns_n;
    struct cell *cells; /* of all rows, texts owned */
    size_t rows_n;
};

extern const struct out_ops out_text, out_json, out_fields;

void out_open(struct out *out, enum output_form form, FILE *file);
/* A table: begin, rows of columns_n cells, end. */
void out_table_begin(struct out *out, const struct column *columns, size_t columns_n);
void out_table_row(struct out *out, const struct cell *cells);
void out_table_end(struct out *out);
/* One thing with named values. */
void out_record(struct out *out, const struct column *columns, const struct cell *cells, size_t n);
/* Flushes. Returns EXIT_YES or EXIT_LOCAL_IO (said on standard error). */
int out_close(struct out *out);

/* The cell as text; buffer is used for numbers. "-" for none. */
const char *cell_format(const struct cell *cell, char buffer[24]);

#endif
