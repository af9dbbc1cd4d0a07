#define _GNU_SOURCE
#include "disk_advice.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "pcache/os.h"

#define PATH_BYTES 4096

/* The directory itself, or the nearest above it that exists: that decides whether it can be made.
 */
static void nearest_existing(const char *dir, char out[PATH_BYTES])
{
    (void)snprintf(out, PATH_BYTES, "%s", dir);
    while (access(out, F_OK) != 0) {
        char *slash = strrchr(out, '/');
        if (slash == NULL) {
            (void)snprintf(out, PATH_BYTES, ".");
            return;
        }
        slash[slash == out ? 1 : 0] = '\0';
        if (slash == out) {
            return;
        }
    }
}

static void advise_space(const char *dir, const struct statvfs *disk, char *out, size_t max)
{
    unsigned long long free_kib = (unsigned long long)disk->f_bavail * disk->f_frsize / 1024;
    unsigned long long total_kib = (unsigned long long)disk->f_blocks * disk->f_frsize / 1024;
    (void)snprintf(out, max,
        "%llu of %llu KiB are free on the disk of %s%s: make room there, or give [node] data_dir a"
        " larger disk",
        free_kib, total_kib, dir, disk->f_files > 0 && disk->f_favail == 0 ? ", and no inode" : "");
}

void disk_advice(const char *dir, pc_err err, char *out, size_t max)
{
    char path[PATH_BYTES];
    struct statvfs disk;
    struct stat status;
    nearest_existing(dir, path);
    out[0] = '\0';
    if (statvfs(path, &disk) != 0 || stat(path, &status) != 0) {
        return;
    }
    if (err == PC_E_NO_SPACE) {
        advise_space(path, &disk, out, max);
    } else if (err == PC_E_IO && (disk.f_flag & ST_RDONLY) != 0) {
        (void)snprintf(out, max,
            "the file system of %s is mounted read-only: mount it for writing (the kernel makes it"
            " read-only after an error of the disk; its log tells)",
            path);
    } else if (err == PC_E_IO && faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
        (void)snprintf(out, max,
            "%s belongs to user %lu, group %lu, mode %03o, and this process is user %lu, group"
            " %lu: let it write there (chown), or run it as that user",
            path, (unsigned long)status.st_uid, (unsigned long)status.st_gid,
            (unsigned)(status.st_mode & 07777), (unsigned long)geteuid(), (unsigned long)getegid());
    }
}

void disk_advice_log(const char *dir, pc_err err)
{
    char text[512];
    disk_advice(dir, err, text, sizeof text);
    if (text[0] != '\0') {
        pc_log(PC_LOG_ERROR, "the data directory cannot be used", "advice", text, NULL);
    }
}
