#define _POSIX_C_SOURCE 200809L
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "pcadmin/pcadmin_int.h"

#define MEMBERS                                                                                    \
    "\"members\":["                                                                                \
    "{\"name\":\"node1\",\"id\":\"9f3a2c1011223344\",\"address\":\"127.0.0.1:7946\","              \
    "\"state\":\"alive\",\"role\":\"voter\",\"match\":88213,\"silent_ms\":100},"                   \
    "{\"name\":\"node2\",\"id\":\"41be77d211223344\",\"address\":\"127.0.0.1:7947\","              \
    "\"state\":\"alive\",\"role\":\"leader\",\"silent_ms\":0},"                                    \
    "{\"name\":\"node3\",\"id\":\"c0d2e91111223344\",\"address\":\"127.0.0.1:7948\","              \
    "\"state\":\"suspect\",\"role\":\"voter\",\"match\":71005,\"silent_ms\":12400},"               \
    "{\"name\":\"node4\",\"id\":null,\"address\":null,\"state\":\"dead\",\"role\":\"member\","     \
    "\"silent_ms\":0}]"

static const char follower[] =
    "{\"node\":\"node1\",\"id\":\"9f3a2c1011223344\",\"role\":\"voter\",\"leader\":\"node2\","
    "\"term\":7,\"commit\":88200,\"applied\":88200,\"ready\":true,\"version\":\"1.0.0\","
    "\"checks\":[{\"name\":\"log\",\"ok\":true,\"text\":\"\"}]," MEMBERS "}";
static const char leader[] =
    "{\"node\":\"node2\",\"id\":\"41be77d211223344\",\"role\":\"leader\",\"leader\":\"node2\","
    "\"term\":7,\"commit\":88213,\"applied\":88213,\"ready\":true,\"version\":\"1.0.0\"," MEMBERS
    "}";
static const char catching_up[] =
    "{\"node\":\"node3\",\"id\":\"c0d2e91111223344\",\"role\":\"voter\",\"leader\":\"node2\","
    "\"term\":7,\"commit\":80000,\"applied\":71000,\"ready\":false,\"version\":\"1.0.1\","
    "\"checks\":[{\"name\":\"log\",\"ok\":true,\"text\":\"\"},"
    "{\"name\":\"catchup\",\"ok\":false,\"text\":\"81% eta 3s\"}]," MEMBERS "}";

static char *view(const char *const *texts, size_t n, enum output_form form)
{
    json_t *docs[4];
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    for (size_t i = 0; i < n; i++) {
        docs[i] = json_loads(texts[i], 0, NULL);
        assert_non_null(docs[i]);
    }
    struct out out;
    out_open(&out, form, file);
    status_view(docs, n, form, &out);
    assert_int_equal(out_close(&out), EXIT_YES);
    assert_int_equal(fclose(file), 0);
    for (size_t i = 0; i < n; i++) {
        json_decref(docs[i]);
    }
    return text;
}

static void status__all_nodes_asked__is_one_table(void **state)
{
    (void)state;
    const char *const texts[] = {follower, leader, catching_up};
    char *text = view(texts, 3, OUTPUT_TABLE);
    assert_string_equal(text,
        "ST  NAME   ID        ADDRESS         ROLE    TERM  APPLIED    LAG  SEEN  VERSION\n"
        "UV  node1  9f3a2c10  127.0.0.1:7946  voter      7    88200     13  0.1s  1.0.0\n"
        "UL  node2  41be77d2  127.0.0.1:7947  leader     7    88213      0  -     1.0.0\n"
        "UC  node3  c0d2e911  127.0.0.1:7948  voter      7    71000  17213  12s   1.0.1    "
        "catchup 81% eta 3s\n"
        "DN  node4  -         -               member     -        -      -  -     -\n");
    free(text);
}

static void status__one_node_asked__shows_what_it_knows(void **state)
{
    (void)state;
    const char *const texts[] = {leader};
    char *text = view(texts, 1, OUTPUT_TABLE);
    assert_string_equal(text,
        "ST  NAME   ID        ADDRESS         ROLE    TERM  APPLIED    LAG  SEEN  VERSION\n"
        "UV  node1  9f3a2c10  127.0.0.1:7946  voter      -    88213      0  0.1s  -\n"
        "UL  node2  41be77d2  127.0.0.1:7947  leader     7    88213      0  -     1.0.0\n"
        "SV  node3  c0d2e911  127.0.0.1:7948  voter      -    71005  17208  12s   -\n"
        "DN  node4  -         -               member     -        -      -  -     -\n");
    free(text);
}

static void status__as_json__has_whole_ids_and_numbers(void **state)
{
    (void)state;
    const char *const texts[] = {leader};
    char *text = view(texts, 1, OUTPUT_JSON);
    json_t *rows = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(rows), 4);
    const json_t *row = json_array_get(rows, 2);
    assert_string_equal(json_text(row, "id", ""), "c0d2e91111223344");
    assert_int_equal(json_number(row, "lag", 0), 17208);
    assert_int_equal(json_number(row, "seen_ms", 0), 12400);
    assert_true(json_is_null(json_object_get(row, "version")));
    json_decref(rows);
    free(text);
}

static void status__as_fields__has_a_line_for_each_value(void **state)
{
    (void)state;
    const char *const texts[] = {leader};
    char *text = view(texts, 1, OUTPUT_FIELDS);
    assert_memory_equal(text, "st=UV\nname=node1\nid=9f3a2c1011223344\n", 37);
    assert_non_null(strstr(text, "version=\ndetail=\n\nst=UL\n"));
    free(text);
}

/* What a node sends is data: other types than expected must not harm. */
static void status__odd_json__is_shown_as_far_as_it_goes(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "{\"members\":5}", "{\"members\":[]}",
        "{\"node\":1,\"commit\":-1,\"members\":[1,null,{},{\"name\":3,\"match\":-5,\"id\":[]}]}",
        "{\"role\":{},\"members\":[{\"name\":\"x\",\"silent_ms\":\"a\",\"id\":\"1\"}]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *text = view(&texts[i], 1, OUTPUT_TABLE);
        assert_memory_equal(text, "ST  NAME", 8);
        free(text);
    }
}

static void fields__line_breaks_in_a_value__stay_on_the_line(void **state)
{
    (void)state;
    static const struct column columns[] = {{"V", "v", false}, {"N", "n", true}};
    const struct cell cells[] = {cell_text("a\\b\nc\rd=e"), cell_none()};
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    struct out out;
    out_open(&out, OUTPUT_FIELDS, file);
    out_record(&out, columns, cells, 2);
    assert_int_equal(out_close(&out), EXIT_YES);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, "v=a\\\\b\\nc\\rd=e\nn=\n");
    free(text);
}

static void duration__growing__loses_digits(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0.0s"}, {249, "0.2s"}, {9999, "9.9s"}, {10000, "10s"}, {119999, "119s"},
        {120000, "2m"}, {7200000, "2h"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buffer[24];
        assert_string_equal(duration_format(cases[i].ms, buffer), cases[i].text);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(status__all_nodes_asked__is_one_table),
    PC_TEST(status__one_node_asked__shows_what_it_knows),
    PC_TEST(status__as_json__has_whole_ids_and_numbers),
    PC_TEST(status__as_fields__has_a_line_for_each_value),
    PC_TEST(status__odd_json__is_shown_as_far_as_it_goes),
    PC_TEST(fields__line_breaks_in_a_value__stay_on_the_line),
    PC_TEST(duration__growing__loses_digits),
};
PC_TEST_MAIN("status_view", tests)
