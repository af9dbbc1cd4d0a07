/* powercut DIR...: the power of these ext4 file systems fails, as far as their disks can tell.
 *
 * Nothing more reaches the disk: neither data that was written and not synced nor the journal's
 * unfinished transaction (EXT4_IOC_SHUTDOWN, NOLOGFLUSH). Every later call on the file system
 * fails; unmount it and mount it again. Only file systems on a loop device are taken: this is for
 * images that a test has made. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define EXT4_MAGIC 0xEF53
#define LOOP_MAJOR 7
#define SHUTDOWN _IOR('X', 125, uint32_t)
#define NOLOGFLUSH 2u

static int cut(const char *dir)
{
    struct stat status;
    struct statfs system;
    uint32_t how = NOLOGFLUSH;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || fstatfs(fd, &system) != 0) {
        perror(dir);
        return 1;
    }
    if (system.f_type != EXT4_MAGIC || major(status.st_dev) != LOOP_MAJOR) {
        fprintf(stderr, "powercut: %s is not ext4 on a loop device\n", dir);
        close(fd);
        return 1;
    }
    int rc = ioctl(fd, SHUTDOWN, &how);
    if (rc != 0) {
        perror(dir);
    }
    close(fd);
    return rc != 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) {
        failed |= cut(argv[i]);
    }
    return failed;
}
