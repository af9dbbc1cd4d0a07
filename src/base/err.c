#include "pcache/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *pc_err_text(pc_err err)
{
    switch (err) {
#define PC_ERR_CASE(name, text)                                                                    \
    case PC_##name:                                                                                \
        return text;
        PC_ERR_LIST(PC_ERR_CASE)
#undef PC_ERR_CASE
    }
    return "unknown error";
}

pc_err pc_error_set(struct pc_error *error, pc_err code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->code = code;
    /* A text over the buffer is cut on purpose: it is for people. */
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return code;
}

pc_err pc_error_wrap(struct pc_error *error, const char *format, ...)
{
    char inner[sizeof error->text];
    memcpy(inner, error->text, sizeof inner);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof error->text) {
        size_t room = sizeof error->text - (size_t)used;
        (void)snprintf(error->text + used, room, ": %.*s", (int)(room > 3 ? room - 3 : 0), inner);
    }
    return error->code;
}
