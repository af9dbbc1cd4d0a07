/* One JSON document: an array of objects for a table, an object for a record. */
#include "out.h"

#include <stdlib.h>

#include <jansson.h>

static json_t *json_cell(const struct cell *cell)
{
    switch (cell->type) {
    case CELL_TEXT:
        return json_string(cell->text);
    case CELL_NUMBER:
        return json_integer((json_int_t)cell->number);
    case CELL_BOOL:
        return json_boolean(cell->number != 0);
    case CELL_NONE:
        break;
    }
    return json_null();
}

static json_t *json_row(const struct column *columns, const struct cell *cells, size_t n)
{
    json_t *object = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *value = json_cell(&cells[i]);
        /* Text that is not UTF-8 cannot be said in JSON. */
        (void)json_object_set_new(object, columns[i].name, value != NULL ? value : json_null());
    }
    return object;
}

static void print(struct out *out, json_t *document)
{
    (void)json_dumpf(document, out->file, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', out->file);
    json_decref(document);
}

static void json_table(struct out *out)
{
    json_t *array = json_array();
    for (size_t r = 0; r < out->rows_n; r++) {
        (void)json_array_append_new(
            array, json_row(out->columns, out->cells + r * out->columns_n, out->columns_n));
    }
    print(out, array);
}

static void json_record(
    struct out *out, const struct column *columns, const struct cell *cells, size_t n)
{
    print(out, json_row(columns, cells, n));
}

const struct out_ops out_json = {.table = json_table, .record = json_record};
