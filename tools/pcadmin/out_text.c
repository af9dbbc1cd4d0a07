/* For people: two spaces between columns, no boxes, nothing behind the last column. */
#include "out.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/bytes.h"

static void widen(size_t *width, const char *text)
{
    size_t len = strlen(text);
    if (len > *width) {
        *width = len;
    }
}

/* Blanks are owed, not written, so that no line ends with them. */
static void print_cell(FILE *file, const char *text, size_t width, bool right, size_t *owed)
{
    size_t len = strlen(text), pad = width > len ? width - len : 0;
    size_t before = *owed + (right ? pad : 0);
    *owed = right ? 0 : pad;
    if (len > 0) {
        fprintf(file, "%*s%s", (int)before, "", text);
    } else {
        *owed += before;
    }
    *owed += 2;
}

static void text_table(struct out *out)
{
    size_t n = out->columns_n;
    size_t *widths = pc_xalloc(n * sizeof *widths);
    char buffer[24];
    for (size_t c = 0; c < n; c++) {
        widen(&widths[c], out->columns[c].title);
        for (size_t r = 0; r < out->rows_n; r++) {
            widen(&widths[c], cell_format(&out->cells[r * n + c], buffer));
        }
    }
    size_t owed = 0;
    for (size_t c = 0; c < n; c++) {
        print_cell(out->file, out->columns[c].title, widths[c], out->columns[c].right, &owed);
    }
    fputc('\n', out->file);
    for (size_t r = 0; r < out->rows_n; r++) {
        owed = 0;
        for (size_t c = 0; c < n; c++) {
            const struct cell *cell = &out->cells[r * n + c];
            bool remark = out->columns[c].title[0] == '\0' && cell->type == CELL_NONE;
            print_cell(out->file, remark ? "" : cell_format(cell, buffer), widths[c],
                out->columns[c].right, &owed);
        }
        fputc('\n', out->file);
    }
    free(widths);
}

static void text_record(
    struct out *out, const struct column *columns, const struct cell *cells, size_t n)
{
    size_t width = 0;
    char buffer[24];
    for (size_t i = 0; i < n; i++) {
        widen(&width, columns[i].name);
    }
    for (size_t i = 0; i < n; i++) {
        fprintf(
            out->file, "%-*s  %s\n", (int)width, columns[i].name, cell_format(&cells[i], buffer));
    }
}

const struct out_ops out_text = {.table = text_table, .record = text_record};
