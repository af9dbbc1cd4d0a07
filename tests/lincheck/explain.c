#include "lincheck/check_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"

#define VALUE_SHOWN_MAX 48

const char *lin_rule_word(enum lin_rule rule)
{
    static const char *const words[] = {
#define LIN_RULE_WORD(name, word, text) word,
        LIN_RULE_LIST(LIN_RULE_WORD)
#undef LIN_RULE_WORD
    };
    PC_ASSERT(rule < LIN_RULES_N);
    return words[rule];
}

const char *lin_rule_text(enum lin_rule rule)
{
    static const char *const texts[] = {
#define LIN_RULE_TEXT(name, word, text) text,
        LIN_RULE_LIST(LIN_RULE_TEXT)
#undef LIN_RULE_TEXT
    };
    PC_ASSERT(rule < LIN_RULES_N);
    return texts[rule];
}

void lin_violation_add(struct lin_report *report, enum lin_rule rule, const struct lin_op *a,
    const struct lin_op *b, const struct lin_op *c, const char *format, ...)
{
    const struct lin_op *ops[3] = {a, b, c};
    report->violations++;
    report->count[rule]++;
    if (report->violations_n == LIN_VIOLATIONS_KEPT) {
        return;
    }
    struct lin_violation *v = &report->violation[report->violations_n++];
    *v = (struct lin_violation){.rule = rule};
    for (size_t i = 0; i < 3; i++) {
        if (ops[i] != NULL) {
            v->key = ops[i]->key;
            v->op[v->ops_n++] = *ops[i];
        }
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(v->text, sizeof v->text, format, args);
    va_end(args);
}

/* ---- as text */
struct text {
    char *out;
    size_t len, max;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int used = vsnprintf(t->out + t->len, t->max - t->len, format, args);
    va_end(args);
    PC_ASSERT(used >= 0);
    t->len = (size_t)used < t->max - t->len ? t->len + (size_t)used : t->max - 1;
}

static void say_request(struct text *t, const struct lin_history *h, const struct lin_op *op)
{
    say(t, "%s", lin_kind_text((enum lin_kind)op->kind));
    if (op->kind == LIN_PUT || op->kind == LIN_CAS) {
        say(t, " \"%.*s\"", VALUE_SHOWN_MAX, lin_history_text(h, op->value));
    }
    if (op->kind == LIN_CAS) {
        say(t, " if %" PRIu64, op->expect);
    }
    if (op->kind == LIN_INCR) {
        say(t, " %+" PRId64, op->delta);
    }
    if (op->ttl_ms != 0) {
        say(t, " ttl %" PRIu64 " ms", op->ttl_ms);
    }
    if (op->kind == LIN_GET && (op->is_local || op->is_final)) {
        say(t, " (%s%s%s)", op->is_final ? "final" : "", op->is_final && op->is_local ? ", " : "",
            op->is_local ? "local" : "");
    }
}

static void say_answer(struct text *t, const struct lin_history *h, const struct lin_op *op)
{
    say(t, " -> ");
    if (op->status != LIN_OK) {
        say(t, "%s", op->status == LIN_INFO ? "unknown" : op->is_refused ? "refused" : "failed");
    } else if (op->kind == LIN_GET && op->value == 0) {
        say(t, "nothing");
    } else if (op->kind == LIN_GET || (op->kind == LIN_INCR && op->value != 0)) {
        say(t, "\"%.*s\"", VALUE_SHOWN_MAX, lin_history_text(h, op->value));
    } else {
        say(t, "done");
    }
    if (op->version != 0) {
        say(t, ", version %" PRIu64, op->version);
    }
    if (op->index != 0) {
        say(t, ", at index %" PRIu64, op->index);
    }
}

static void say_op(struct text *t, const struct lin_history *h, const struct lin_op *op)
{
    say(t, "\n  [%" PRIu64 "..%" PRIu64 " us] client %" PRIu32 " at %s: ", op->t0_us, op->t1_us,
        op->client, op->node != 0 ? lin_history_text(h, op->node) : "-");
    say_request(t, h, op);
    say_answer(t, h, op);
    if (op->file < h->files_n) {
        say(t, "   (%s:%" PRIu32 ")", h->file[op->file], op->line);
    }
}

void lin_violation_format(
    const struct lin_history *h, const struct lin_violation *v, char *out, size_t max)
{
    struct text t = {.out = out, .max = max};
    PC_ASSERT(max > 0);
    out[0] = '\0';
    say(&t, "%s: key \"%.*s\": %s", lin_rule_word(v->rule), VALUE_SHOWN_MAX * 2,
        lin_history_text(h, v->key), lin_rule_text(v->rule));
    for (size_t i = 0; i < v->ops_n; i++) {
        say_op(&t, h, &v->op[i]);
    }
    if (v->text[0] != '\0') {
        say(&t, "\n  %s", v->text);
    }
}
