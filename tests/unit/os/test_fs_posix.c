/* The real file system: the contract of fs.h. */
#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "pcache/fs.h"

struct rig {
    char dir[128];
    const struct pc_fs *fs;
    struct pc_error error;
};

static struct rig rig_new(void)
{
    struct rig rig = {.fs = pc_fs_posix()};
    pc_test_dir_make(rig.dir);
    return rig;
}

static void path_in(const struct rig *rig, const char *name, char *out)
{
    (void)snprintf(out, 256, "%s/%s", rig->dir, name);
}

static void file__written__reads_back_and_ends_where_it_ends(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    char path[256];
    path_in(&rig, "file", path);
    pc_fd fd;
    assert_ok(rig.fs->open(NULL, path, true, true, &fd, &rig.error));
    assert_ok(rig.fs->write_at(NULL, fd, 4, pc_slice_str("hello"), &rig.error));
    assert_ok(rig.fs->sync(NULL, fd, &rig.error));
    assert_ok(rig.fs->sync_dir(NULL, rig.dir, &rig.error));
    uint64_t bytes = 0;
    assert_ok(rig.fs->size(NULL, fd, &bytes, &rig.error));
    assert_int_equal(bytes, 9);
    rig.fs->close(NULL, fd);
    assert_ok(rig.fs->open_read(NULL, path, &fd, &rig.error));
    uint8_t out[32];
    size_t got = 0;
    assert_ok(rig.fs->read_at(NULL, fd, 2, out, sizeof out, &got, &rig.error));
    assert_int_equal(got, 7);
    assert_memory_equal(out, "\0\0hello", 7);
    assert_ok(rig.fs->read_at(NULL, fd, 100, out, sizeof out, &got, &rig.error));
    assert_int_equal(got, 0);
    assert_int_equal(
        rig.fs->write_at(NULL, fd, 0, pc_slice_str("x"), &rig.error), PC_E_IO); /* read only */
    rig.fs->close(NULL, fd);
    pc_test_dir_remove(rig.dir);
}

static void open__missing_or_there__says_which(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    char path[256];
    path_in(&rig, "file", path);
    pc_fd fd;
    assert_int_equal(rig.fs->open(NULL, path, false, false, &fd, &rig.error), PC_E_NOT_FOUND);
    assert_non_null(strstr(rig.error.text, path));
    assert_int_equal(rig.fs->open_read(NULL, path, &fd, &rig.error), PC_E_NOT_FOUND);
    assert_ok(rig.fs->open(NULL, path, true, false, &fd, &rig.error));
    rig.fs->close(NULL, fd);
    assert_int_equal(rig.fs->open(NULL, path, true, true, &fd, &rig.error), PC_E_EXISTS);
    assert_ok(rig.fs->open(NULL, path, true, false, &fd, &rig.error));
    rig.fs->close(NULL, fd);
    assert_int_equal(rig.fs->mkdir(NULL, path, &rig.error), PC_E_EXISTS);
    pc_test_dir_remove(rig.dir);
}

static void count_name(void *arg, const char *name)
{
    unsigned *seen = arg;
    *seen += strcmp(name, "b") == 0 ? 1 : strcmp(name, "sub") == 0 ? 10 : 100;
}

static void names__changed__are_listed_as_they_are(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    char a[256];
    char b[256];
    char sub[256];
    path_in(&rig, "a", a);
    path_in(&rig, "b", b);
    path_in(&rig, "sub", sub);
    pc_fd fd;
    assert_ok(rig.fs->mkdir(NULL, sub, &rig.error));
    assert_ok(rig.fs->mkdir(NULL, sub, &rig.error));
    assert_ok(rig.fs->open(NULL, a, true, false, &fd, &rig.error));
    rig.fs->close(NULL, fd);
    assert_ok(rig.fs->rename(NULL, a, b, &rig.error));
    unsigned seen = 0;
    assert_ok(rig.fs->list(NULL, rig.dir, count_name, &seen, &rig.error));
    assert_int_equal(seen, 11);
    assert_ok(rig.fs->unlink(NULL, b, &rig.error));
    assert_int_equal(rig.fs->unlink(NULL, b, &rig.error), PC_E_NOT_FOUND);
    assert_int_equal(rig.fs->rename(NULL, b, a, &rig.error), PC_E_NOT_FOUND);
    assert_int_equal(rig.fs->list(NULL, a, count_name, &seen, &rig.error), PC_E_NOT_FOUND);
    assert_int_equal(rig.fs->sync_dir(NULL, a, &rig.error), PC_E_NOT_FOUND);
    pc_test_dir_remove(rig.dir);
}

static void device__full__is_no_space(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    pc_fd fd;
    assert_ok(rig.fs->open(NULL, "/dev/full", false, false, &fd, &rig.error));
    assert_int_equal(rig.fs->write_at(NULL, fd, 0, pc_slice_str("x"), &rig.error), PC_E_NO_SPACE);
    rig.fs->close(NULL, fd);
    pc_test_dir_remove(rig.dir);
}

/* Every call that needs a descriptor says that it may be tried again, and can be. */
static void descriptors__none_left__is_again(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    char path[256];
    path_in(&rig, "file", path);
    pc_fd fd;
    pc_fd other;
    unsigned seen = 0;
    assert_ok(rig.fs->open(NULL, path, true, true, &fd, &rig.error));
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    pc_err open = rig.fs->open(NULL, path, true, false, &other, &rig.error);
    pc_err open_read = rig.fs->open_read(NULL, path, &other, &rig.error);
    pc_err sync_dir = rig.fs->sync_dir(NULL, rig.dir, &rig.error);
    pc_err list = rig.fs->list(NULL, rig.dir, count_name, &seen, &rig.error);
    pc_err write = rig.fs->write_at(NULL, fd, 0, pc_slice_str("x"), &rig.error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(open, PC_E_AGAIN);
    assert_int_equal(open_read, PC_E_AGAIN);
    assert_int_equal(sync_dir, PC_E_AGAIN);
    assert_int_equal(list, PC_E_AGAIN);
    assert_int_equal(write, PC_OK);
    assert_ok(rig.fs->sync_dir(NULL, rig.dir, &rig.error));
    rig.fs->close(NULL, fd);
    pc_test_dir_remove(rig.dir);
}

/* A pipe and a directory of procfs have nothing to sync, and the kernel says so: whoever does not
 * ask it, or does not listen, would promise what is not on the disk. */
static void sync__refused_by_the_kernel__is_told(void **state)
{
    (void)state;
    struct rig rig = rig_new();
    char path[256];
    path_in(&rig, "pipe", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    pc_fd fd;
    assert_ok(rig.fs->open(NULL, path, false, false, &fd, &rig.error));
    assert_int_equal(rig.fs->sync(NULL, fd, &rig.error), PC_E_IO);
    rig.fs->close(NULL, fd);
    assert_int_equal(rig.fs->sync_dir(NULL, "/proc/self", &rig.error), PC_E_IO);
    pc_test_dir_remove(rig.dir);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(file__written__reads_back_and_ends_where_it_ends),
    PC_TEST(open__missing_or_there__says_which),
    PC_TEST(names__changed__are_listed_as_they_are),
    PC_TEST(device__full__is_no_space),
    PC_TEST(descriptors__none_left__is_again),
    PC_TEST(sync__refused_by_the_kernel__is_told),
};
PC_TEST_MAIN("fs_posix", tests)
