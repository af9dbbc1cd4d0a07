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

/* ---- members that come, and what may fail */
static const char growing[] =
    "{\"node\":\"node1\",\"role\":\"leader\",\"leader\":\"node1\",\"term\":7,\"commit\":1000,"
    "\"applied\":1000,\"ready\":true,\"version\":\"1.0.0\",\"voters\":3,\"voters_up\":3,"
    "\"quorum\":2,\"redundancy\":1,\"must_survive\":[],\"members\":["
    "{\"name\":\"node1\",\"id\":\"a1\",\"address\":null,\"state\":\"alive\",\"role\":\"leader\"},"
    "{\"name\":\"node4\",\"id\":\"a4\",\"address\":null,\"state\":\"alive\",\"role\":\"learner\","
    "\"match\":810,\"percent\":81,\"eta_ms\":2100,\"silent_ms\":400},"
    "{\"name\":\"node5\",\"id\":null,\"address\":null,\"state\":\"dead\",\"role\":\"invited\","
    "\"silent_ms\":0},"
    "{\"name\":\"node6\",\"id\":\"a6\",\"address\":null,\"state\":\"alive\",\"role\":\"replica\","
    "\"match\":1000,\"percent\":100,\"silent_ms\":400}]}";

static void status__members_that_come__show_how_far_they_are(void **state)
{
    (void)state;
    const char *const texts[] = {growing};
    char *text = view(texts, 1, OUTPUT_TABLE);
    assert_string_equal(text,
        "ST  NAME   ID  ADDRESS  ROLE     TERM  APPLIED  LAG  SEEN  VERSION\n"
        "UL  node1  a1  -        leader      7     1000    0  -     1.0.0\n"
        "UC  node4  a4  -        learner     -      810  190  0.4s  -        81% eta 3s\n"
        "-N  node5  -   -        invited     -        -    -  -     -\n"
        "UN  node6  a6  -        replica     -     1000    0  0.4s  -\n"
        "1 more node may fail\n");
    free(text);
    text = view(texts, 1, OUTPUT_JSON); /* is an array, whatever may fail */
    json_t *rows = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(rows), 4);
    json_decref(rows);
    free(text);
}

static void redundancy__any_number_of_voters__is_said_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *status, *words;
    } cases[] = {
        {"{}", ""},
        {"{\"voters\":0,\"redundancy\":null}", ""},
        {"{\"voters\":5,\"voters_up\":5,\"quorum\":3,\"redundancy\":2,\"must_survive\":[]}",
            "2 more nodes may fail"},
        {"{\"voters\":3,\"voters_up\":2,\"quorum\":2,\"redundancy\":0,"
         "\"must_survive\":[\"node2\",\"node3\"]}",
            "none may fail: node2 and node3 must survive"},
        {"{\"voters\":1,\"voters_up\":1,\"quorum\":1,\"redundancy\":0,"
         "\"must_survive\":[\"node1\"]}",
            "none may fail: node1 must survive"},
        {"{\"voters\":2,\"voters_up\":2,\"quorum\":2,\"redundancy\":0,"
         "\"must_survive\":[\"node2\"]}",
            "1 more node may fail, but not node2"},
        {"{\"voters\":3,\"voters_up\":3,\"quorum\":2,\"redundancy\":1,\"must_survive\":[],"
         "\"members\":[{\"name\":\"s\",\"role\":\"spare\",\"state\":\"alive\"}]}",
            "1 more node may fail, then s takes its place"},
        {"{\"voters\":3,\"voters_up\":3,\"quorum\":2,\"redundancy\":1,\"must_survive\":[],"
         "\"members\":[{\"name\":\"s\",\"role\":\"spare\",\"state\":\"alive\","
         "\"percent\":40},{\"name\":\"t\",\"role\":\"spare\",\"state\":\"dead\"}]}",
            "1 more node may fail"},
        {"{\"voters\":5,\"voters_up\":3,\"quorum\":3,\"redundancy\":0,"
         "\"must_survive\":[\"a\",\"b\",3]}",
            "none may fail: a, b and ? must survive"},
        {"{\"voters\":3,\"voters_up\":1,\"quorum\":2,\"redundancy\":null,\"must_survive\":[]}",
            "no quorum: 1 of 3 voters answers"},
        {"{\"voters\":5,\"voters_up\":2,\"quorum\":3,\"redundancy\":null,\"must_survive\":[],"
         "\"missing\":[\"a\",\"b\",\"c\"]}",
            "no quorum: 2 of 5 voters answer; missing: a, b, c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char words[512];
        json_t *status = json_loads(cases[i].status, 0, NULL);
        assert_non_null(status);
        redundancy_words(status, words, sizeof words);
        assert_string_equal(words, cases[i].words);
        /* However little room there is. */
        redundancy_words(status, words, 8);
        assert_memory_equal(words, cases[i].words, strlen(words));
        json_decref(status);
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

static void solo__open_or_closed_before__is_said(void **state)
{
    (void)state;
    static const struct {
        const char *status, *words;
    } rows[] = {
        {"{\"solo\":{\"state\":\"open\",\"branch\":\"1f2e3d4c55\",\"records\":17},"
         "\"rollbacks_pending\":1}",
            "alone, in branch 1f2e3d4c: 17 records"},
        {"{\"solo\":{\"state\":\"off\",\"branch\":null},\"rollbacks_pending\":2}",
            "2 closed branches: pcadmin rollback list"},
        {"{\"solo\":{\"state\":\"waiting\"},\"rollbacks_pending\":0}", ""},
        {"{\"solo\":7,\"rollbacks_pending\":\"x\"}", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char words[128];
        json_t *status = json_loads(rows[i].status, 0, NULL);
        assert_non_null(status);
        solo_words(status, words, sizeof words);
        assert_string_equal(words, rows[i].words);
        json_decref(status);
    }
    char words[128];
    solo_words(NULL, words, sizeof words);
    assert_string_equal(words, "");
}

static const struct CMUnitTest tests[] = {
    PC_TEST(status__all_nodes_asked__is_one_table),
    PC_TEST(status__one_node_asked__shows_what_it_knows),
    PC_TEST(status__as_json__has_whole_ids_and_numbers),
    PC_TEST(status__as_fields__has_a_line_for_each_value),
    PC_TEST(status__odd_json__is_shown_as_far_as_it_goes),
    PC_TEST(status__members_that_come__show_how_far_they_are),
    PC_TEST(redundancy__any_number_of_voters__is_said_in_words),
    PC_TEST(fields__line_breaks_in_a_value__stay_on_the_line),
    PC_TEST(duration__growing__loses_digits),
    PC_TEST(solo__open_or_closed_before__is_said),
};
PC_TEST_MAIN("status_view", tests)
