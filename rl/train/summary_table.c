#include "rl/train/summary_table.h"

#include "core/file.h"
#include "core/progress.h"
#include "rl/report/chart.h"
#include "rl/report/curves.h"
#include "rl/report/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODES = 8 };

/* ---- Aligned columns ---- */

char (*fv_text_table_row(fv_text_table *t))[FV_TABLE_CELL] {
    if (t->rows == FV_TABLE_ROWS) return NULL;
    return t->cells[t->rows++];
}

/* Characters, not bytes: bytes that go on a character are 10xxxxxx. */
static int width_of(const char *s) {
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

void fv_text_table_write(fv_text *out, const fv_text_table *t) {
    int width[FV_TABLE_COLUMNS] = {0};
    for (int c = 0; c < t->columns; c++)
        for (int r = 0; r < t->rows; r++)
            if (width_of(t->cells[r][c]) > width[c]) width[c] = width_of(t->cells[r][c]);
    for (int r = 0; r < t->rows; r++) {
        fv_text line = {0};
        for (int c = 0; c < t->columns; c++) {
            if (!width[c]) continue;
            int pad = width[c] - width_of(t->cells[r][c]);
            bool left = c == 0 || t->left[c];
            fv_text_printf(&line, "%s%*s%s%*s", c ? "   " : "", left ? 0 : pad, "", t->cells[r][c], left ? pad : 0, "");
        }
        while (line.size && line.data[line.size - 1] == ' ') line.size--;
        fv_text_bytes(out, line.data, line.size);
        fv_text_char(out, '\n');
        out->failed |= line.failed;
        fv_text_clear(&line);
    }
}

/* ---- Cells ---- */

static void put_accuracy(char cell[FV_TABLE_CELL], const json_t *e) {
    const json_t *ci = json_object_get(e, "ci95");
    double accuracy = fv_record_number(e, "accuracy");
    if (isnan(accuracy)) return;
    int n = snprintf(cell, FV_TABLE_CELL, "%.1f %%", 100 * accuracy);
    if (json_array_size(ci) == 2)
        snprintf(cell + n, FV_TABLE_CELL - (size_t)n, " [%4.1f, %4.1f]", 100 * json_number_value(json_array_get(ci, 0)), 100 * json_number_value(json_array_get(ci, 1)));
}

static void put_change(char cell[FV_TABLE_CELL], double was, double is, bool percent) {
    char first[32], second[32];
    fv_chart_number(first, was, percent);
    fv_chart_number(second, is, percent);
    if (!isnan(was) && !isnan(is)) snprintf(cell, FV_TABLE_CELL, "%s -> %s", first, second);
    else if (!isnan(was) || !isnan(is)) snprintf(cell, FV_TABLE_CELL, "%s", isnan(is) ? first : second);
}

static void put_title(char cell[FV_TABLE_CELL], const char *title, const json_t *evaluation) {
    if (evaluation) snprintf(cell, FV_TABLE_CELL, "%s (%.60s)", title, fv_record_text(evaluation, "after_stage"));
}

/* ---- The tables ---- */

static void write_modes(fv_text *out, const fv_record *r, fv_text_table *t) {
    const char *modes[MODES];
    int n = fv_record_modes(r, modes, MODES);
    bool rl = fv_record_rl(r) != NULL;
    if (!n) return;
    *t = (fv_text_table){.columns = 7};
    char(*head)[FV_TABLE_CELL] = fv_text_table_row(t);
    snprintf(head[0], FV_TABLE_CELL, "accuracy");
    snprintf(head[1], FV_TABLE_CELL, "n");
    for (int i = n; i-- > 0;) {
        put_title(head[2], rl ? "before RL" : "before", fv_record_before(r, modes[i]));
        put_title(head[3], rl ? "after RL" : "after", fv_record_after(r, modes[i]));
    }
    snprintf(head[4], FV_TABLE_CELL, "tool calls");
    snprintf(head[5], FV_TABLE_CELL, "on target");
    snprintf(head[6], FV_TABLE_CELL, "tokens");
    for (int i = 0; i < n; i++) {
        const json_t *b = fv_record_before(r, modes[i]), *a = fv_record_after(r, modes[i]);
        char(*row)[FV_TABLE_CELL] = fv_text_table_row(t);
        snprintf(row[0], FV_TABLE_CELL, "%.60s", modes[i]);
        snprintf(row[1], FV_TABLE_CELL, "%.0f", fv_record_number(a ? a : b, "n"));
        put_accuracy(row[2], b);
        put_accuracy(row[3], a);
        put_change(row[4], fv_record_number(b, "calls_per_answer"), fv_record_number(a, "calls_per_answer"), false);
        put_change(row[5], fv_record_number(b, "target_hits"), fv_record_number(a, "target_hits"), true);
        put_change(row[6], fv_record_number(b, "length"), fv_record_number(a, "length"), false);
    }
    fv_text_table_write(out, t);
    fv_text_char(out, '\n');
}

static void write_stages(fv_text *out, const fv_record *r, fv_text_table *t) {
    if (!r->rows) return;
    const char *what = fv_record_rl(r) ? "reward" : "loss";
    *t = (fv_text_table){.columns = 5};
    char(*head)[FV_TABLE_CELL] = fv_text_table_row(t);
    static const char *const titles[] = {"stage", "steps", "s/step", "time"};
    for (size_t i = 0; i < FV_COUNT(titles); i++) snprintf(head[i], FV_TABLE_CELL, "%s", titles[i]);
    snprintf(head[4], FV_TABLE_CELL, "%s", what);
    for (int i = 0; i < r->stage_count; i++) {
        const fv_record_stage *s = &r->stages[i];
        char(*row)[FV_TABLE_CELL] = s->rows ? fv_text_table_row(t) : NULL;
        if (!row) continue;
        double first, last;
        snprintf(row[0], FV_TABLE_CELL, "%.60s", s->name);
        snprintf(row[1], FV_TABLE_CELL, "%zu", s->rows);
        put_change(row[2], NAN, fv_record_mean(r, "step_time", s->first, s->first + s->rows), false);
        if (!isnan(s->seconds)) fv_duration_text(row[3], s->seconds);
        fv_record_ends(r, s, what, &first, &last);
        put_change(row[4], first, last, false);
    }
    fv_text_table_write(out, t);
    fv_text_char(out, '\n');
}

static void write_agreement(fv_text *out, const fv_record *r) {
    fv_agreement a = fv_record_agreement(r);
    if (!a.steps) return;
    fv_text_printf(out, "rollout against training: the largest difference of log-probs is %.3g, in %zu steps\n", a.largest, a.steps);
}

fv_status fv_summary_text(fv_text *out, const char *folder, fv_error *err) {
    fv_record r;
    fv_text_table *t = malloc(sizeof *t);
    fv_status s = fv_record_open(&r, folder, err);
    if (s == FV_OK && !t) s = fv_fail(err, FV_NO_MEMORY, "%s: no memory for the summary", folder);
    if (s == FV_OK) {
        char time[32];
        fv_text_printf(out, "%s", r.name);
        if (!isnan(r.seconds)) fv_duration_text(time, r.seconds);
        fv_text_printf(out, isnan(r.seconds) ? ": not finished%s\n\n" : ": done in %s\n\n", isnan(r.seconds) ? "" : time);
        write_modes(out, &r, t);
        write_stages(out, &r, t);
        write_agreement(out, &r);
        char *path = fv_path_join(folder, "report.html");
        if (path && fv_file_exists(path)) fv_text_printf(out, "report: %s\n", path);
        free(path);
    }
    fv_record_close(&r);
    free(t);
    return s;
}
