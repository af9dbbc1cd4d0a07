/* For scripts: name=value, a line each, an empty line between the rows of a table. A value ends
 * with its line: backslash and line breaks in it are written \\ \n \r. */
#include "out.h"

static void print_value(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\') {
            fputs("\\\\", file);
        } else if (*text == '\n') {
            fputs("\\n", file);
        } else if (*text == '\r') {
            fputs("\\r", file);
        } else {
            fputc(*text, file);
        }
    }
}

static void fields_record(
    struct out *out, const struct column *columns, const struct cell *cells, size_t n)
{
    char buffer[24];
    for (size_t i = 0; i < n; i++) {
        fprintf(out->file, "%s=", columns[i].name);
        if (cells[i].type != CELL_NONE) {
            print_value(out->file, cell_format(&cells[i], buffer));
        }
        fputc('\n', out->file);
    }
}

static void fields_table(struct out *out)
{
    for (size_t r = 0; r < out->rows_n; r++) {
        if (r > 0) {
            fputc('\n', out->file);
        }
        fields_record(out, out->columns, out->cells + r * out->columns_n, out->columns_n);
    }
}

const struct out_ops out_fields = {.table = fields_table, .record = fields_record};
