/* Data directories that a start cannot use: each is left alone, and the node says what is wrong,
 * where, and what to do. The disks are small ones in a mount namespace of this process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define EXIT_DATA 65
#define EXIT_IO 74
#define NOBODY 65534

static bool small_disk(struct it_cluster *c)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/disk", c->dir);
    bool may = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    if (!may || mkdir(path, 0755) != 0 ||
        mount("tmpfs", path, "tmpfs", 0, "size=24m,mode=0755") != 0) {
        return false;
    }
    memcpy(c->mount, path, sizeof c->mount);
    int used = snprintf(
        c->node[0].data_dir, sizeof c->node[0].data_dir, "%s/disk/%s", c->dir, c->node[0].name);
    assert_true(used > 0 && (size_t)used < sizeof c->node[0].data_dir);
    return true;
}

static void fill_disk(const struct it_cluster *c)
{
    static const uint8_t zeros[65536];
    char path[200];
    (void)snprintf(path, sizeof path, "%s/ballast", c->mount);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void assert_refuses(struct it_cluster *c, size_t i, int status, const char *const *says)
{
    it_node_start(c, i);
    assert_int_equal(it_node_wait(c, i, IT_SOON_MS), status);
    const char *log = it_node_log(c, i);
    it_contains(log, "cannot start");
    for (; *says != NULL; says++) {
        it_contains(log, *says);
    }
}

static void full_disk__at_the_first_start__says_where_and_how_much(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    if (!small_disk(c)) {
        it_skip("mounting a tmpfs is not permitted here");
        return;
    }
    fill_disk(c);
    const char *const says[] = {c->node[0].data_dir, "No space left on device",
        "0 of 24576 KiB are free on the disk of", "make room there", NULL};
    assert_refuses(c, 0, EXIT_IO, says);
    char path[200];
    (void)snprintf(path, sizeof path, "%s/ballast", c->mount);
    assert_int_equal(unlink(path), 0);
    it_cluster_start(c); /* what the first try left behind is in nobody's way */
    it_put(c, 0, "a", "1");
}

static void read_only_disk__with_and_without_data__is_named(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    if (!small_disk(c)) {
        it_skip("mounting a tmpfs is not permitted here");
        return;
    }
    const char *const says[] = {c->node[0].data_dir, "Read-only file system",
        "is mounted read-only: mount it for writing", NULL};
    assert_int_equal(mount(NULL, c->mount, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_refuses(c, 0, EXIT_IO, says);
    assert_int_equal(mount(NULL, c->mount, NULL, MS_REMOUNT, NULL), 0);
    it_cluster_start(c);
    it_put(c, 0, "a", "1");
    it_node_kill(c, 0);
    assert_int_equal(mount(NULL, c->mount, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_refuses(c, 0, EXIT_IO, says);
    assert_int_equal(mount(NULL, c->mount, NULL, MS_REMOUNT, NULL), 0);
    it_cluster_start(c);
    assert_string_equal(it_value(c, 0, "a"), "1");
}

/* Nobody's permission bits hinder root: the node runs as somebody else. */
static void directory__that_may_not_be_written__names_owner_and_user(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    bool is_root = geteuid() == 0;
    assert_int_equal(mkdir(c->node[0].data_dir, is_root ? 0700 : 0500), 0);
    if (is_root) {
        static const char *const files[] = {".", "cluster.ini", "cluster.key"};
        for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
            char path[256];
            (void)snprintf(path, sizeof path, "%s/%s", c->dir, files[i]);
            if (chown(path, NOBODY, NOBODY) != 0) {
                it_skip("files cannot be given away here");
                return;
            }
        }
        if (seteuid(NOBODY) != 0) {
            it_skip("nobody else can be taken on here");
            return;
        }
    }
    it_node_start(c, 0);
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    int status = it_node_wait(c, 0, IT_SOON_MS);
    if (status == 126 || status == 127) {
        it_skip("the program cannot be run by others here");
        return;
    }
    assert_int_equal(status, EXIT_IO);
    it_contains(it_node_log(c, 0), "Permission denied");
    it_contains(it_node_log(c, 0), is_root ? "belongs to user 0" : "mode 500");
    it_contains(it_node_log(c, 0), is_root ? "this process is user 65534" : "chown");
}

/* node2 comes up on the directory of node1: both names, the id, and what to do. */
static void directory__of_another_node__is_refused_with_both_names(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(2);
    it_cluster_start(c);
    struct it_status status;
    assert_true(it_status(c, 0, &status));
    it_put(c, 0, "a", "1");
    it_node_kill(c, 0);
    it_node_kill(c, 1);
    char own[160], own_by_mistake[200];
    (void)snprintf(own_by_mistake, sizeof own_by_mistake, "data_dir=%s", c->node[0].data_dir);
    memcpy(own, c->node[1].data_dir, sizeof own);
    memcpy(c->node[1].data_dir, c->node[0].data_dir, sizeof own);
    const char *const says[] = {
        "node1", "node2", status.id, "start it under its own name", own_by_mistake, NULL};
    assert_refuses(c, 1, EXIT_DATA, says);
    memcpy(c->node[1].data_dir, own, sizeof own);
    it_cluster_start(c);
    assert_string_equal(it_value(c, 1, "a"), "1");
}

static const struct it_test tests[] = {
    IT_TEST(full_disk__at_the_first_start__says_where_and_how_much),
    IT_TEST(read_only_disk__with_and_without_data__is_named),
    IT_TEST(directory__that_may_not_be_written__names_owner_and_user),
    IT_TEST(directory__of_another_node__is_refused_with_both_names),
};
IT_MAIN(tests)
