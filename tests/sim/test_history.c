/* The note on whose history a log belongs to: of this version, of another one, damaged. */
#include "pcached/history.h"

#include <stdio.h>
#include <string.h>

#include "pcache/bytes.h"
#include "support/sim_fs.h"
#include "support/test.h"

#define PATH "/data/history"

static const uint8_t HISTORY[16] = {0x2a, [15] = 0xf0};
static struct pc_error error;

static struct pc_sim_fs *fs_new(void)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_ok(port->mkdir(port->context, "/data", &error));
    assert_ok(port->sync_dir(port->context, "/", &error));
    return fs;
}

static void put(struct pc_sim_fs *fs, const char *text)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    pc_fd fd;
    assert_ok(port->open(port->context, PATH, true, false, &fd, &error));
    assert_ok(port->write_at(port->context, fd, 0, pc_slice_str(text), &error));
    port->close(port->context, fd);
}

static pc_err read_of(struct pc_sim_fs *fs)
{
    uint8_t history[16];
    pc_err err = history_read(pc_sim_fs_port(fs), "/data", history, &error);
    if (err == PC_OK) {
        assert_memory_equal(history, HISTORY, sizeof history);
    }
    return err;
}

static pc_err read_text(const char *text)
{
    struct pc_sim_fs *fs = fs_new();
    put(fs, text);
    pc_err err = read_of(fs);
    pc_sim_fs_delete(fs);
    return err;
}

static void note__written__is_read_after_a_power_cut(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = fs_new();
    assert_int_equal(read_of(fs), PC_E_NOT_FOUND);
    assert_ok(history_write(pc_sim_fs_port(fs), "/data", HISTORY, &error));
    pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
    assert_ok(read_of(fs));
    pc_sim_fs_delete(fs);
}

static void note__of_a_newer_program__is_refused_by_its_number(void **state)
{
    (void)state;
    static const char *const notes[] = {"pcache-history 2 whatever it is then\n",
        "pcache-history 17 ", "pcache-history 2 2a0000000000000000000000000000f0 00000000 more\n"};
    static const unsigned versions[] = {2, 17, 2};
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        char wanted[64];
        (void)snprintf(wanted, sizeof wanted, PATH ": format version %u is not", versions[i]);
        assert_int_equal(read_text(notes[i]), PC_E_VERSION);
        assert_non_null(strstr(error.text, wanted));
    }
}

/* Where the log is whole it says the same; a bit that has flipped is no newer program. */
static void note__damaged_anywhere__counts_for_nothing(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = fs_new();
    assert_ok(history_write(pc_sim_fs_port(fs), "/data", HISTORY, &error));
    uint8_t text[80];
    size_t len = 0;
    pc_fd fd;
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_ok(port->open_read(port->context, PATH, &fd, &error));
    assert_ok(port->read_at(port->context, fd, 0, text, sizeof text, &len, &error));
    port->close(port->context, fd);
    for (size_t bit = 0; bit < len * 8; bit++) {
        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(pc_sim_fs_overwrite(fs, PATH, 0, pc_slice_of(text, len)));
        assert_int_equal(read_of(fs), PC_E_NOT_FOUND);
        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    pc_sim_fs_delete(fs);
    assert_int_equal(read_text(""), PC_E_NOT_FOUND);
    assert_int_equal(read_text("pcache-history "), PC_E_NOT_FOUND);
    assert_int_equal(read_text("pcache-history 1 2a\n"), PC_E_NOT_FOUND);
    assert_int_equal(read_text("pcache-history 02 2a\n"), PC_E_NOT_FOUND);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(note__written__is_read_after_a_power_cut),
    PC_TEST(note__of_a_newer_program__is_refused_by_its_number),
    PC_TEST(note__damaged_anywhere__counts_for_nothing),
};

PC_TEST_MAIN("history", tests)
