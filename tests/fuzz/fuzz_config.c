/* Settings: the input is a file, behind lines that stand for the environment and --set:
 *
 *     n (a byte)    n times: 'e' or 's', a line         the file
 *
 * What loads is printed, loads again, and prints the same. */
#define _GNU_SOURCE
#include "fuzz/kit/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcached/config/config.h"

#define LINES_MAX 8

struct settings {
    struct pc_config_opts opts;
    char *texts[LINES_MAX];
    size_t texts_n;
    char *environment[LINES_MAX + 1];
    size_t environment_n;
    int fd;
    char path[64];
};

/* The settings file, in memory. */
static int make_file(struct pc_slice bytes, char path[64])
{
    int fd = memfd_create("settings", MFD_CLOEXEC);
    PC_ASSERT(fd >= 0);
    PC_ASSERT(bytes.len == 0 || write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len);
    (void)snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static char *take_line(struct fuzz_in *in)
{
    size_t left = fuzz_left(in);
    const uint8_t *end = left > 0 ? memchr(in->at, '\n', left) : NULL;
    struct pc_slice line = fuzz_bytes(in, end != NULL ? (size_t)(end - in->at) : left);
    (void)fuzz_u8(in);
    return fuzz_text(line);
}

static void settings_read(struct settings *settings, struct fuzz_in *in)
{
    *settings = (struct settings){0};
    unsigned n = fuzz_u8(in) % (LINES_MAX + 1);
    for (unsigned i = 0; i < n; i++) {
        bool is_variable = fuzz_u8(in) == 'e';
        char *text = take_line(in);
        settings->texts[settings->texts_n++] = text;
        if (is_variable) {
            settings->environment[settings->environment_n++] = text;
        } else {
            settings->opts.sets[settings->opts.sets_n++] = text;
        }
    }
    settings->opts.environment = settings->environment;
    settings->fd = make_file(pc_slice_of(in->at, fuzz_left(in)), settings->path);
    settings->opts.file = settings->path;
}

static void settings_clear(struct settings *settings)
{
    for (size_t i = 0; i < settings->texts_n; i++) {
        free(settings->texts[i]);
    }
    (void)close(settings->fd);
}

/* The lines that say something. */
static char *print(const struct pc_config *config)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    PC_ASSERT(out != NULL);
    pc_config_print(config, out);
    PC_ASSERT(fclose(out) == 0);
    return text;
}

static void strip_comments(char *text)
{
    char *to = text;
    for (char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        len += line[len] == '\n' ? 1 : 0;
        if (*line != '#') {
            memmove(to, line, len);
            to += len;
        }
        line += len;
    }
    *to = '\0';
}

/* A cluster key does not stand in a file. */
static bool prints_whole(const struct pc_config *config)
{
    return !config->cluster.has_key || config->cluster.key_file[0] != '\0';
}

static void check_printed(const struct pc_config *config)
{
    char *once = print(config);
    char path[64];
    int fd = make_file(pc_slice_str(once), path);
    struct pc_config_opts opts = {.file = path};
    struct pc_config again;
    struct pc_error error = {0};
    pc_err err = pc_config_load(&opts, &again, &error);
    if (err != PC_OK) {
        (void)fprintf(stderr, "%s\n%s\n", once, error.text);
    }
    FUZZ_CHECK("what is printed loads", err == PC_OK);
    char *twice = print(&again);
    strip_comments(once);
    strip_comments(twice);
    FUZZ_CHECK("to the same settings", strcmp(once, twice) == 0);
    free(once);
    free(twice);
    pc_config_destroy(&again);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct settings settings;
    settings_read(&settings, &in);
    struct pc_config config;
    struct pc_error error = {0};
    pc_err err = pc_config_load(&settings.opts, &config, &error);
    if (err == PC_OK) {
        FUZZ_CHECK(
            "config.h", config.cluster.members_n >= 1 && config.cluster.members_n <= PC_VOTERS_MAX);
        FUZZ_CHECK("config.h", config.cluster.members_n == 1 || config.cluster.has_key);
        FUZZ_CHECK("config.h", config.raft.election_min_ms >= 2 * config.raft.heartbeat_ms);
        FUZZ_CHECK("config.h", config.raft.election_max_ms > config.raft.election_min_ms);
        if (prints_whole(&config)) {
            check_printed(&config);
        }
        pc_config_destroy(&config);
    } else {
        FUZZ_CHECK("an error says what", err == PC_E_INVALID && error.text[0] != '\0');
    }
    settings_clear(&settings);
    return 0;
}
