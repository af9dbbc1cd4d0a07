/* chaos-client: drives the nodes of a cluster while somebody else hurts it, and keeps the record by
 * which lincheck judges them. The command line is described in options.h. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "chaosclient/chaos_int.h"

static struct chaos_sink sink;

static void stop(int number)
{
    (void)number;
    atomic_store(&chaos_stopped, true);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = stop};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

static int fail(const char *why)
{
    fprintf(stderr, "chaos-client: %s\n", why);
    return 1;
}

static void say_started(const struct chaos_features *f)
{
    const char *names[] = {
        f->cas ? "cas" : NULL, f->incr ? "incr" : NULL, f->ids ? "ids" : NULL, "put"};
    printf("started features=");
    for (size_t i = 0, n = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i] != NULL) {
            printf("%s%s", n++ > 0 ? "," : "", names[i]);
        }
    }
    printf("\n");
    (void)fflush(stdout);
}

static bool probe(const struct chaos_options *options, struct chaos_features *out)
{
    struct chaos_links links;
    char why[128] = "no node takes a write";
    bool is_found =
        chaos_links_open(&links, options, (uint32_t)options->client_base, why, sizeof why) &&
        chaos_probe(&links, options->prefix, out);
    chaos_links_close(&links);
    if (!is_found) {
        (void)fail(why);
    }
    return is_found;
}

static int load(const struct chaos_options *options)
{
    struct chaos_features features = {.cas = false};
    char why[512];
    if (!chaos_sink_open(&sink, options->out, why, sizeof why)) {
        return fail(why);
    }
    if (!probe(options, &features)) {
        (void)chaos_sink_close(&sink);
        return 1;
    }
    say_started(&features);
    bool is_run = chaos_load(options, &features, &sink);
    bool is_kept = chaos_sink_close(&sink);
    printf("operations=%" PRIu64 " ok=%" PRIu64 " failed=%" PRIu64 " unknown=%" PRIu64 "\n",
        sink.operations, sink.ok, sink.failed, sink.unknown);
    return is_run && is_kept ? 0 : is_run ? fail("the history could not be written") : 1;
}

static int final(const struct chaos_options *options)
{
    struct lin_history h;
    char why[512];
    lin_history_create(&h);
    if (!lin_history_read(&h, options->out, why, sizeof why) ||
        !chaos_sink_open(&sink, options->out, why, sizeof why)) {
        lin_history_destroy(&h);
        return fail(why);
    }
    size_t unread = chaos_final(options, &h, &sink);
    bool is_kept = chaos_sink_close(&sink);
    printf("operations=%" PRIu64 " ok=%" PRIu64 " failed=%" PRIu64 " unread=%zu\n", sink.operations,
        sink.ok, sink.failed, unread);
    lin_history_destroy(&h);
    return !is_kept ? fail("the history could not be written") : unread > 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct chaos_options options;
    char why[256];
    if (!chaos_options_parse(argc, argv, &options, why, sizeof why)) {
        fprintf(stderr,
            "chaos-client: %s\nusage: chaos-client [--final] --nodes "
            "NAME=HOST:PORT,... --out FILE [OPTION...] (tests/chaosclient/options.h)\n",
            why);
        return 2;
    }
    catch_signals();
    return options.is_final ? final(&options) : load(&options);
}
