#define _POSIX_C_SOURCE 200809L
#include "config_fixture.h"

/* What `print` writes, as an owned text. */
static char *text_of(void (*print)(FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *printed(const struct pc_config *config)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pc_config_print(config, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void printed_config__loaded_again__prints_the_same(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, "[limits]\nidle = 7s\n[node]\ndata_dir = a  b;c\n");
    f.opts.sets[f.opts.sets_n++] = "http.listen=[::1]:0";
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    char *first = printed(&f.config);
    pc_config_destroy(&f.config);
    assert_non_null(strstr(first, "c.ini:2\nidle = 7s\n"));
    assert_non_null(strstr(first, "# from --set\nlisten = [::1]:0\n"));
    fixture_write(f.file, first, strlen(first), 0600);
    f.opts.sets_n = 0;
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_string_equal(f.config.node.data_dir, "a  b;c");
    assert_string_equal(f.config.http.listen, "[::1]:0");
    assert_int_equal(f.config.limits.idle_ms, 7000);
    assert_string_equal(f.config.node.name, "node1");
    pc_config_destroy(&f.config);
    free(first);
    fixture_destroy(&f);
}

static void printed_config__with_a_secret__hides_it(void **state)
{
    (void)state;
    struct pc_config_opts opts = {0};
    struct pc_config config;
    struct pc_error error;
    char secret[] = "PCACHED_CLUSTER_KEY=" KEY_HEX;
    char *environment[] = {secret, NULL};
    opts.environment = environment;
    assert_ok(pc_config_load(&opts, &config, &error));
    char *text = printed(&config);
    assert_null(strstr(text, "0011"));
    assert_non_null(strstr(text, "# key is given"));
    free(text);
    pc_config_destroy(&config);
}

static void help__every_key__has_its_default_and_variable(void **state)
{
    (void)state;
    char *help = text_of(pc_config_print_keys), *man = text_of(pc_config_print_man);
    for (size_t k = 0; k < config_keys_n; k++) {
        char variable[CONFIG_KEY_TEXT_MAX], row[100];
        config_key_variable(&config_keys[k], variable);
        assert_non_null(strstr(man, variable));
        (void)snprintf(row, sizeof row, "\n  %s = ", config_keys[k].name);
        assert_non_null(strstr(help, row));
    }
    free(help);
    free(man);
}

/* The KEYS section of the man page is generated; PCACHE_REWRITE=1 rewrites it. */
static void man_page__keys_section__is_what_the_table_says(void **state)
{
    (void)state;
    static const char path[] = "docs/man/pcached.ini.5";
    static const char begin[] = ".\\\" begin keys\n", end[] = ".\\\" end keys\n";
    char page[32768];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(page, 1, sizeof page - 1, file);
    assert_int_equal(fclose(file), 0);
    page[len] = '\0';
    char *from = strstr(page, begin), *to = strstr(page, end);
    assert_true(from != NULL && to != NULL && from < to);
    from += strlen(begin);
    char *expected = text_of(pc_config_print_man);
    if (getenv("PCACHE_REWRITE") != NULL) {
        file = fopen(path, "wb");
        assert_non_null(file);
        fprintf(file, "%.*s%s%s", (int)(from - page), page, expected, to);
        assert_int_equal(fclose(file), 0);
    } else {
        assert_int_equal(to - from, strlen(expected));
        assert_memory_equal(from, expected, strlen(expected));
    }
    free(expected);
}

/* The sample names every key that may stand in a file. */
static void sample__every_key__is_named(void **state)
{
    (void)state;
    char text[8192];
    FILE *file = fopen("cluster.ini.sample", "rb");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    assert_int_equal(fclose(file), 0);
    text[len] = '\0';
    for (size_t k = 0; k < config_keys_n; k++) {
        char plain[100], commented[160];
        (void)snprintf(plain, sizeof plain, "\n%s =", config_keys[k].name);
        bool has_default = config_keys[k].initial[0] != '\0'; /* else an example stands there */
        (void)snprintf(commented, sizeof commented, has_default ? "\n#%s = %s\n" : "\n#%s =%s",
            config_keys[k].name, config_keys[k].initial);
        bool is_there = strstr(text, plain) != NULL || strstr(text, commented) != NULL ||
                        config_keys[k].type == CONFIG_SECRET ||
                        strcmp(config_keys[k].name, "insecure") == 0 ||
                        strcmp(config_keys[k].name, "name") == 0 ||
                        strcmp(config_keys[k].name, "advertise") == 0;
        if (!is_there) {
            fail_msg(
                "%s.%s = %s", config_keys[k].section, config_keys[k].name, config_keys[k].initial);
        }
    }
}

static void distance__typing_slips__cost_one_each(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {{"", "", 0}, {"listen", "listen", 0}, {"listen", "", 6}, {"lsiten", "listen", 1},
        {"liste", "listen", 1}, {"listenn", "listen", 1}, {"lasten", "listen", 1},
        {"abcdef", "badcfe", 3}, {"kitten", "sitting", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_slice a = pc_slice_str(cases[i].a), b = pc_slice_str(cases[i].b);
        assert_int_equal(config_distance(a, b), cases[i].distance);
        assert_int_equal(config_distance(b, a), cases[i].distance);
    }
    char longer[65];
    memset(longer, 'a', 64);
    longer[64] = '\0';
    assert_true(config_distance(pc_slice_str(longer), pc_slice_str("a")) == SIZE_MAX);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(printed_config__loaded_again__prints_the_same),
    PC_TEST(printed_config__with_a_secret__hides_it),
    PC_TEST(help__every_key__has_its_default_and_variable),
    PC_TEST(man_page__keys_section__is_what_the_table_says),
    PC_TEST(sample__every_key__is_named),
    PC_TEST(distance__typing_slips__cost_one_each),
};
PC_TEST_MAIN("config_print", tests)
