#include "out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/bytes.h"

struct cell cell_none(void)
{
    return (struct cell){.type = CELL_NONE};
}

struct cell cell_text(const char *text)
{
    return (struct cell){.type = text != NULL ? CELL_TEXT : CELL_NONE, .text = text};
}

struct cell cell_number(uint64_t number)
{
    return (struct cell){.type = CELL_NUMBER, .number = number};
}

struct cell cell_bool(bool value)
{
    return (struct cell){.type = CELL_BOOL, .number = value ? 1 : 0};
}

const char *cell_format(const struct cell *cell, char buffer[24])
{
    switch (cell->type) {
    case CELL_TEXT:
        return cell->text;
    case CELL_NUMBER:
        (void)snprintf(buffer, 24, "%" PRIu64, cell->number);
        return buffer;
    case CELL_BOOL:
        return cell->number != 0 ? "true" : "false";
    case CELL_NONE:
        break;
    }
    return "-";
}

void out_open(struct out *out, enum output_form form, FILE *file)
{
    const struct out_ops *const ops[] = {&out_text, &out_json, &out_fields};
    *out = (struct out){.ops = ops[form], .file = file};
}

void out_table_begin(struct out *out, const struct column *columns, size_t columns_n)
{
    out->columns = columns;
    out->columns_n = columns_n;
    out->rows_n = 0;
}

void out_table_row(struct out *out, const struct cell *cells)
{
    size_t n = out->columns_n;
    out->cells = pc_xrealloc(out->cells, (out->rows_n + 1) * n * sizeof *cells);
    struct cell *row = out->cells + out->rows_n++ * n;
    memcpy(row, cells, n * sizeof *cells);
    for (size_t i = 0; i < n; i++) {
        if (row[i].type == CELL_TEXT) {
            size_t bytes = strlen(row[i].text) + 1;
            row[i].text = memcpy(pc_xalloc(bytes), row[i].text, bytes);
        }
    }
}

void out_table_end(struct out *out)
{
    out->ops->table(out);
    for (size_t i = 0; i < out->rows_n * out->columns_n; i++) {
        if (out->cells[i].type == CELL_TEXT) {
            free((char *)(uintptr_t)out->cells[i].text);
        }
    }
    free(out->cells);
    out->cells = NULL;
    out->rows_n = 0;
}

void out_record(struct out *out, const struct column *columns, const struct cell *cells, size_t n)
{
    out->ops->record(out, columns, cells, n);
}

int out_close(struct out *out)
{
    if (fflush(out->file) != 0 || ferror(out->file)) {
        fprintf(stderr, "pcadmin: the output cannot be written\n");
        return EXIT_LOCAL_IO;
    }
    return EXIT_YES;
}
