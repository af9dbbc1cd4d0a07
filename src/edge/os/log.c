/* Log lines: built on the stack, written by one write(2), so lines of several threads never mix
 * (a line is at most PIPE_BUF bytes, which a pipe takes whole).
 *
 * Values may come from a peer or a client. Whatever is not printable, well-formed UTF-8 is escaped:
 * a value can neither forge a second line nor break the JSON nor send escape codes to a terminal.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/os.h"

#define LINE_BYTES_MAX 4096
/* Values stop here; what is left holds the closing quotes, brackets and the end of line. */
#define LINE_VALUE_BYTES_MAX (LINE_BYTES_MAX - 128)

#define LOG_BUCKETS 16
#define LOG_BUCKET_LINES_PER_S 10
#define LOG_LASTING_MS 60000
#define LOG_TEXT_BUFFERS 8

struct line {
    char data[LINE_BYTES_MAX];
    size_t len;
    bool json;
};

struct log_bucket {
    struct pc_instant since;
    uint32_t lines;
    uint64_t left_out;
};

static struct {
    enum pc_log_level level;
    enum pc_log_format format;
    char node_name[PC_NAME_BYTES_MAX + 1];
    pthread_mutex_t mutex; /* of the buckets; the fields above are set before threads start */
    struct log_bucket buckets[LOG_BUCKETS];
} logger = {.level = PC_LOG_INFO, .mutex = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void pc_log_setup(enum pc_log_level level, enum pc_log_format format, const char *node_name)
{
    PC_ASSERT(level <= PC_LOG_ERROR);
    logger.level = level;
    logger.format = format;
    (void)snprintf(logger.node_name, sizeof logger.node_name, "%s", node_name);
}

static void line_put(struct line *line, const char *bytes, size_t len)
{
    PC_ASSERT(line->len + len <= LINE_BYTES_MAX);
    memcpy(line->data + line->len, bytes, len);
    line->len += len;
}

static void line_puts(struct line *line, const char *text)
{
    line_put(line, text, strlen(text));
}

/* Length of the well-formed, printable UTF-8 sequence at `s`, or 0. */
static size_t utf8_len(const unsigned char *s)
{
    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] > 0x9f;
    bool too_high = s[0] == 0xf4 && s[1] > 0x8f;
    bool control = s[0] == 0xc2 && s[1] < 0xa0;
    return overlong || surrogate || too_high || control ? 0 : len;
}

static void line_put_escape(struct line *line, unsigned char c)
{
    char text[8];
    int used;
    if (c == '"' || c == '\\') {
        used = snprintf(text, sizeof text, "\\%c", c);
    } else if (c == '\n' || c == '\t' || c == '\r') {
        used = snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    } else if (line->json) {
        used = snprintf(text, sizeof text, "\\u%04x", c < 0x80 ? c : 0xfffd);
    } else {
        used = snprintf(text, sizeof text, "\\x%02x", c);
    }
    line_put(line, text, (size_t)used);
}

static void line_put_quoted(struct line *line, const char *value)
{
    line_puts(line, "\"");
    const unsigned char *s = (const unsigned char *)value;
    while (*s != '\0') {
        if (line->len > LINE_VALUE_BYTES_MAX) {
            line_puts(line, "...");
            break;
        }
        size_t len = *s == '"' || *s == '\\' ? 0 : utf8_len(s);
        if (len == 0) {
            line_put_escape(line, *s);
            s++;
        } else {
            line_put(line, (const char *)s, len);
            s += len;
        }
    }
    line_puts(line, "\"");
}

static bool value_is_bare(const char *value)
{
    if (value[0] == '\0') {
        return false;
    }
    for (const unsigned char *s = (const unsigned char *)value; *s != '\0'; s++) {
        if (*s <= ' ' || *s >= 0x7f || *s == '"' || *s == '=' || *s == '\\') {
            return false;
        }
    }
    return strlen(value) < 256;
}

static void line_put_field(struct line *line, const char *key, const char *value)
{
    /* Keys are ours and short; a line that is already full drops its further fields. */
    if (line->len + strlen(key) > LINE_VALUE_BYTES_MAX) {
        return;
    }
    if (value == NULL) {
        value = "";
    }
    if (line->json) {
        line_puts(line, line->len > 1 ? ",\"" : "\"");
        line_puts(line, key);
        line_puts(line, "\":");
        line_put_quoted(line, value);
        return;
    }
    line_puts(line, line->len > 0 ? " " : "");
    line_puts(line, key);
    line_puts(line, "=");
    if (value_is_bare(value) && line->len + strlen(value) <= LINE_VALUE_BYTES_MAX) {
        line_puts(line, value);
    } else {
        line_put_quoted(line, value);
    }
}

static void line_put_time(struct line *line)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char day[32];
    char text[48];
    (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text, sizeof text, "%s.%03ldZ", day, now.tv_nsec / 1000000);
    line_put_field(line, "ts", text);
}

static void line_begin(struct line *line, enum pc_log_level level, const char *text)
{
    line->len = 0;
    line->json = logger.format == PC_LOG_JSON;
    if (line->json) {
        line_puts(line, "{");
    }
    line_put_time(line);
    line_put_field(line, "level", level_names[level]);
    if (logger.node_name[0] != '\0') {
        line_put_field(line, "node", logger.node_name);
    }
    /* The text is always quoted, so that it is found by eye. */
    line_puts(line, line->json ? ",\"msg\":" : " msg=");
    line_put_quoted(line, text);
}

static void line_end(struct line *line)
{
    line_puts(line, line->json ? "}\n" : "\n");
    size_t done = 0;
    while (done < line->len) {
        ssize_t wrote = write(STDERR_FILENO, line->data + done, line->len - done);
        if (wrote <= 0) {
            return; /* nobody is left to tell */
        }
        done += (size_t)wrote;
    }
}

static void log_line(enum pc_log_level level, const char *text, va_list fields)
{
    PC_ASSERT(level <= PC_LOG_ERROR);
    if (level < logger.level) {
        return;
    }
    struct line line;
    line_begin(&line, level, text);
    for (;;) {
        const char *key = va_arg(fields, const char *);
        if (key == NULL) {
            break;
        }
        line_put_field(&line, key, va_arg(fields, const char *));
    }
    line_end(&line);
}

void pc_log(enum pc_log_level level, const char *text, ...)
{
    va_list fields;
    va_start(fields, text);
    log_line(level, text, fields);
    va_end(fields);
}

/* Counts one line of the bucket. True when it may be written; *left_out is how many earlier ones
 * were not, when this is the moment to say so. */
static bool bucket_admit(struct log_bucket *bucket, struct pc_instant now, uint64_t *left_out)
{
    *left_out = 0;
    if (bucket->lines == 0 || pc_instant_ms_between(bucket->since, now) >= 1000) {
        *left_out = bucket->left_out;
        *bucket = (struct log_bucket){.since = now};
    }
    if (bucket->lines < LOG_BUCKET_LINES_PER_S) {
        bucket->lines++;
        return true;
    }
    bucket->left_out++;
    return false;
}

void pc_log_limited(unsigned bucket, enum pc_log_level level, const char *text, ...)
{
    PC_ASSERT(bucket < LOG_BUCKETS);
    if (level < logger.level) {
        return;
    }
    uint64_t left_out;
    pthread_mutex_lock(&logger.mutex);
    bool admitted = bucket_admit(&logger.buckets[bucket], pc_clock_now(), &left_out);
    pthread_mutex_unlock(&logger.mutex);
    if (left_out > 0) {
        pc_log(
            level, "similar lines left out", "count", pc_log_u64(left_out), "before", text, NULL);
    }
    if (admitted) {
        va_list fields;
        va_start(fields, text);
        log_line(level, text, fields);
        va_end(fields);
    }
}

bool pc_log_lasting_found(struct pc_log_lasting *lasting, const char *what, struct pc_instant now)
{
    bool is_same = lasting->is_on && strncmp(lasting->what, what, sizeof lasting->what - 1) == 0;
    if (is_same && pc_instant_ms_between(lasting->told_at, now) < LOG_LASTING_MS) {
        return false;
    }
    *lasting = (struct pc_log_lasting){.is_on = true, .told_at = now};
    (void)snprintf(lasting->what, sizeof lasting->what, "%s", what);
    return true;
}

void pc_log_lasting_over(struct pc_log_lasting *lasting)
{
    *lasting = (struct pc_log_lasting){0};
}

static char *text_buffer(void)
{
    static _Thread_local char buffers[LOG_TEXT_BUFFERS][24];
    static _Thread_local unsigned next;
    return buffers[next++ % LOG_TEXT_BUFFERS];
}

const char *pc_log_u64(uint64_t v)
{
    char *out = text_buffer();
    (void)snprintf(out, 24, "%" PRIu64, v);
    return out;
}

const char *pc_log_id(uint64_t id)
{
    char *out = text_buffer();
    (void)snprintf(out, 24, "%016" PRIx64, id);
    return out;
}
