/* A file is a table of 4 KiB pages; a page that was never written is not there and reads as zeros.
 * A page keeps the durable bytes beside the visible ones only while it has something in flight, so
 * a write costs its own pages and a sync the pages written since the last one. */
#include "support/sim_file.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR_BYTES 512u
#define SECTORS (PC_SIM_PAGE_BYTES / SECTOR_BYTES)

static struct pc_sim_page *page_at(struct pc_sim_file *file, size_t number)
{
    if (number >= file->pages_n) {
        size_t n = file->pages_n * 2 > number + 1 ? file->pages_n * 2 : number + 1;
        file->pages = pc_xrealloc(file->pages, n * sizeof *file->pages);
        memset(file->pages + file->pages_n, 0, (n - file->pages_n) * sizeof *file->pages);
        file->pages_n = n;
    }
    return &file->pages[number];
}

static uint8_t *copy_page(const uint8_t *page)
{
    if (page == NULL) {
        return NULL;
    }
    uint8_t *copy = pc_xalloc(PC_SIM_PAGE_BYTES);
    memcpy(copy, page, PC_SIM_PAGE_BYTES);
    return copy;
}

static void take_flight(struct pc_sim_file *file, uint32_t number)
{
    struct pc_sim_page *page = &file->pages[number];
    if (page->in_flight) {
        return;
    }
    if (!page->stale) {
        page->durable = copy_page(page->visible);
    }
    page->in_flight = true;
    page->touched = 0;
    if (file->flying_n == file->flying_cap) {
        file->flying_cap = file->flying_cap == 0 ? 16 : file->flying_cap * 2;
        file->flying = pc_xrealloc(file->flying, file->flying_cap * sizeof *file->flying);
    }
    file->flying[file->flying_n++] = number;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static void write_page(
    struct pc_sim_file *file, uint32_t number, size_t from, const uint8_t *bytes, size_t len)
{
    struct pc_sim_page *page = page_at(file, number);
    take_flight(file, number);
    for (size_t s = from / SECTOR_BYTES; s <= (from + len - 1) / SECTOR_BYTES; s++) {
        page->touched |= (uint8_t)(1u << s);
    }
    if (page->visible == NULL) {
        if (is_zero(bytes, len)) {
            return;
        }
        page->visible = pc_xalloc(PC_SIM_PAGE_BYTES);
    }
    memcpy(page->visible + from, bytes, len);
}

/* What was in flight is on the disk. */
void pc_sim_file_land(struct pc_sim_file *file)
{
    for (size_t i = 0; i < file->flying_n; i++) {
        struct pc_sim_page *page = &file->pages[file->flying[i]];
        free(page->durable);
        page->durable = NULL;
        page->in_flight = false;
        page->stale = false;
    }
    file->flying_n = 0;
    file->durable_bytes = file->bytes;
}

/* What was in flight never reaches the disk, though the cache has it. */
void pc_sim_file_lose_in_cache(struct pc_sim_file *file)
{
    for (size_t i = 0; i < file->flying_n; i++) {
        struct pc_sim_page *page = &file->pages[file->flying[i]];
        page->in_flight = false;
        page->stale = true;
    }
    file->has_stale = file->has_stale || file->flying_n > 0;
    file->flying_n = 0;
    file->durable_bytes = file->bytes;
}

static void to_durable(struct pc_sim_page *page)
{
    free(page->visible);
    page->visible = page->durable;
    page->durable = NULL;
    page->in_flight = false;
    page->stale = false;
}

void pc_sim_file_drop_stale(struct pc_sim_file *file)
{
    for (size_t i = 0; file->has_stale && i < file->pages_n; i++) {
        if (file->pages[i].stale && !file->pages[i].in_flight) {
            to_durable(&file->pages[i]);
        }
    }
    file->has_stale = false;
}

void pc_sim_file_clear(struct pc_sim_file *file)
{
    for (size_t i = 0; i < file->pages_n; i++) {
        free(file->pages[i].visible);
        free(file->pages[i].durable);
    }
    free(file->pages);
    free(file->flying);
    *file = (struct pc_sim_file){0};
}

void pc_sim_file_read(const struct pc_sim_file *file, uint64_t offset, uint8_t *out, size_t len)
{
    while (len > 0) {
        size_t number = (size_t)(offset / PC_SIM_PAGE_BYTES);
        size_t from = (size_t)(offset % PC_SIM_PAGE_BYTES);
        size_t take = PC_SIM_PAGE_BYTES - from < len ? PC_SIM_PAGE_BYTES - from : len;
        const uint8_t *page = number < file->pages_n ? file->pages[number].visible : NULL;
        if (page == NULL) {
            memset(out, 0, take);
        } else {
            memcpy(out, page + from, take);
        }
        out += take;
        offset += take;
        len -= take;
    }
}

static void noise(struct pc_prng *dice, uint8_t *bytes)
{
    for (size_t i = 0; i < SECTOR_BYTES; i += 8) {
        pc_put_u64(bytes + i, pc_prng_next(dice));
    }
}

/* Sector by sector: new (stays), old, zeros, noise. */
static void tear_page(struct pc_prng *dice, struct pc_sim_page *page)
{
    if (page->visible == NULL) {
        page->visible = pc_xalloc(PC_SIM_PAGE_BYTES);
    }
    for (size_t s = 0; s < SECTORS; s++) {
        uint8_t *sector = page->visible + s * SECTOR_BYTES;
        if ((page->touched & 1u << s) == 0) {
            continue;
        }
        switch (pc_prng_below(dice, 4)) {
        case 0:
            break;
        case 1:
            if (page->durable != NULL) {
                memcpy(sector, page->durable + s * SECTOR_BYTES, SECTOR_BYTES);
            } else {
                memset(sector, 0, SECTOR_BYTES);
            }
            break;
        case 2:
            memset(sector, 0, SECTOR_BYTES);
            break;
        default:
            noise(dice, sector);
            break;
        }
    }
    free(page->durable);
    page->durable = NULL;
    page->in_flight = false;
    page->stale = false;
}

void pc_sim_file_shorten(struct pc_sim_file *file, uint64_t bytes)
{
    file->bytes = bytes;
    file->durable_bytes = bytes;
    for (size_t p = (size_t)(bytes / PC_SIM_PAGE_BYTES); p < file->pages_n; p++) {
        struct pc_sim_page *page = &file->pages[p];
        size_t keep = p == bytes / PC_SIM_PAGE_BYTES ? (size_t)(bytes % PC_SIM_PAGE_BYTES) : 0;
        if (page->visible != NULL) {
            memset(page->visible + keep, 0, PC_SIM_PAGE_BYTES - keep);
        }
    }
}

void pc_sim_file_crash(struct pc_sim_file *file, struct pc_prng *dice, bool lose_all)
{
    pc_sim_file_drop_stale(file);
    for (size_t i = 0; i < file->flying_n; i++) {
        struct pc_sim_page *page = &file->pages[file->flying[i]];
        uint64_t die = lose_all ? 0 : pc_prng_below(dice, 3);
        if (die == 0) {
            to_durable(page);
        } else if (die == 2) {
            tear_page(dice, page);
        }
    }
    uint64_t durable_bytes = file->durable_bytes;
    bool keeps_size = !lose_all && pc_prng_chance(dice, 500000);
    pc_sim_file_land(file);
    if (!keeps_size && durable_bytes < file->bytes) {
        pc_sim_file_shorten(file, durable_bytes);
    }
}

void pc_sim_file_write(struct pc_sim_file *file, uint64_t offset, struct pc_slice bytes)
{
    uint64_t end = offset + bytes.len;
    file->bytes = end > file->bytes ? end : file->bytes;
    while (bytes.len > 0) {
        size_t from = (size_t)(offset % PC_SIM_PAGE_BYTES);
        size_t take = PC_SIM_PAGE_BYTES - from < bytes.len ? PC_SIM_PAGE_BYTES - from : bytes.len;
        write_page(file, (uint32_t)(offset / PC_SIM_PAGE_BYTES), from, bytes.data, take);
        offset += take;
        bytes.data += take;
        bytes.len -= take;
    }
}

void pc_sim_file_damage(struct pc_sim_file *file, uint64_t offset, struct pc_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        struct pc_sim_page *page = page_at(file, (size_t)((offset + i) / PC_SIM_PAGE_BYTES));
        size_t at = (size_t)((offset + i) % PC_SIM_PAGE_BYTES);
        if (page->visible == NULL) {
            page->visible = pc_xalloc(PC_SIM_PAGE_BYTES);
        }
        page->visible[at] = bytes.data[i];
        if (page->durable != NULL) {
            page->durable[at] = bytes.data[i];
        }
    }
}

static void *copy_array(const void *from, size_t n, size_t size)
{
    if (n == 0) {
        return NULL;
    }
    void *copy = pc_xalloc(n * size);
    memcpy(copy, from, n * size);
    return copy;
}

void pc_sim_file_own(struct pc_sim_file *file)
{
    file->pages = copy_array(file->pages, file->pages_n, sizeof *file->pages);
    file->flying = copy_array(file->flying, file->flying_n, sizeof *file->flying);
    file->flying_cap = file->flying_n;
    for (size_t p = 0; p < file->pages_n; p++) {
        file->pages[p].visible = copy_page(file->pages[p].visible);
        file->pages[p].durable = copy_page(file->pages[p].durable);
    }
}
