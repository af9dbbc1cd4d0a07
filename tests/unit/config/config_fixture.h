/* config_fixture.h: settings from texts, without files where none are needed. */
#ifndef CONFIG_FIXTURE_H
#define CONFIG_FIXTURE_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pcached/config/config_int.h"

#define KEY_HEX "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

struct fixture {
    char dir[128];
    char file[160];
    struct pc_config_opts opts;
    struct pc_config config;
    struct pc_error error;
};

static inline void fixture_write(const char *path, const void *bytes, size_t len, unsigned mode)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* A fixture whose file holds `text`; named so that messages are "<dir>/c.ini:<line>: ...". */
static inline void fixture_create(struct fixture *f, const char *text)
{
    memset(f, 0, sizeof *f);
    pc_test_dir_make(f->dir);
    assert_true(snprintf(f->file, sizeof f->file, "%s/c.ini", f->dir) > 0);
    fixture_write(f->file, text, strlen(text), 0600);
    f->opts.file = f->file;
}

static inline void fixture_destroy(struct fixture *f)
{
    pc_test_dir_remove(f->dir);
}

/* The file alone is wrong, and the message ends with `expected` (behind the directory's name). */
static inline void assert_file_error(const char *text, const char *expected)
{
    struct fixture f;
    fixture_create(&f, text);
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_memory_equal(f.error.text, f.dir, strlen(f.dir));
    assert_string_equal(f.error.text + strlen(f.dir) + 1, expected);
    fixture_destroy(&f);
}

#endif
