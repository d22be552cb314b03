#include "rl/evaluate/tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The number of `name` in a table of entries, added if new; -1: out of memory. */
static int64_t entry_of(json_t **names, fv_tally_entry **entries, size_t *room, const char *name) {
    if (!*names) *names = json_object();
    const json_t *known = json_object_get(*names, name);
    if (known) return json_integer_value(known);
    size_t n = json_object_size(*names);
    if (n == *room) {
        size_t more = *room ? 2 * *room : 64;
        fv_tally_entry *p = realloc(*entries, more * sizeof *p);
        if (!p) return -1;
        *entries = p;
        *room = more;
    }
    (*entries)[n] = (fv_tally_entry){0, 0};
    return json_object_set_new(*names, name, json_integer((json_int_t)n)) ? -1 : (int64_t)n;
}

static bool add_to(json_t **names, fv_tally_entry **entries, size_t *room, const char *name, double score) {
    int64_t i = entry_of(names, entries, room, name);
    if (i < 0) return false;
    (*entries)[i].sum += score;
    (*entries)[i].n += 1;
    return true;
}

fv_status fv_tally_add(fv_tally *t, double score, const char *category, const char *cluster, fv_error *err) {
    t->sum += score;
    t->square += score * score;
    t->n++;
    bool good = !category || add_to(&t->categories, &t->by_category, &t->category_room, category, score);
    if (cluster) good &= add_to(&t->clusters, &t->by_cluster, &t->cluster_room, cluster, score);
    else t->lone_sum += score, t->lone_square += score * score, t->lone_n += 1;
    return good ? FV_OK : fv_fail(err, FV_NO_MEMORY, "evaluation: out of memory");
}

fv_status fv_tally_add_category(fv_tally *t, double score, const char *category, fv_error *err) {
    bool good = add_to(&t->categories, &t->by_category, &t->category_room, category, score);
    return good ? FV_OK : fv_fail(err, FV_NO_MEMORY, "evaluation: out of memory");
}

void fv_tally_clear(fv_tally *t) {
    json_decref(t->categories);
    json_decref(t->clusters);
    free(t->by_category);
    free(t->by_cluster);
    memset(t, 0, sizeof *t);
}

double fv_tally_mean(const fv_tally *t) { return t->n ? t->sum / (double)t->n : NAN; }

double fv_tally_variance(const fv_tally *t) {
    double n = (double)t->n, mean = fv_tally_mean(t);
    return t->n > 1 ? fmax((t->square - n * mean * mean) / (n - 1), 0) : 0;
}

/* SE^2 of the formula in the header: sum over clusters of (sum d)^2, minus sum over all of d^2. */
static double clustered(const fv_tally *t) {
    double n = (double)t->n, mean = fv_tally_mean(t), all = t->square - n * mean * mean;
    double shared = t->lone_square - 2 * mean * t->lone_sum + t->lone_n * mean * mean;
    for (size_t i = 0; i < json_object_size(t->clusters); i++) {
        double d = t->by_cluster[i].sum - t->by_cluster[i].n * mean;
        shared += d * d;
    }
    return sqrt(fmax(fv_tally_variance(t) / n + (shared - all) / (n * n), 0));
}

/* Wilson's 95 % interval for a share p of n; the normal one for other scores. */
static void interval(const fv_tally *t, double se, double *low, double *high) {
    double n = (double)t->n, p = fv_tally_mean(t), z = 1.959963984540054;
    bool binary = fabs(t->square - t->sum) < 1e-9;
    double centre = binary ? (p + z * z / (2 * n)) / (1 + z * z / n) : p;
    double half = binary ? z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) : z * se;
    *low = t->sum > 0 ? fmax(0, centre - half) : 0; /* exactly, where rounding would leave a trace */
    *high = t->sum < n ? fmin(1, centre + half) : 1;
}

void fv_estimate_write(const fv_estimate *e, json_t *out) {
    json_object_set_new(out, "n", json_integer((json_int_t)e->n));
    json_object_set_new(out, "accuracy", e->n ? json_real(e->mean) : json_null());
    json_object_set_new(out, "se", json_real(e->se));
    json_object_set_new(out, "se_clustered", json_real(e->se_clustered));
    json_object_set_new(out, "ci95", json_pack("[f, f]", e->low, e->high));
}

void fv_tally_entry_write(const char *name, double mean, int64_t n, json_t *by) {
    json_object_set_new(by, name, json_pack("{s: I, s: f}", "n", (json_int_t)n, "accuracy", mean));
}

void fv_tally_write(const fv_tally *t, json_t *out) {
    fv_estimate e = {.n = t->n};
    if (t->n) {
        e.mean = fv_tally_mean(t);
        e.se = sqrt(fv_tally_variance(t) / (double)t->n);
        e.se_clustered = clustered(t);
        interval(t, e.se, &e.low, &e.high);
    }
    fv_estimate_write(&e, out);
    json_t *by = json_object();
    const char *name;
    json_t *number;
    json_object_foreach(t->categories, name, number) {
        const fv_tally_entry *entry = &t->by_category[json_integer_value(number)];
        fv_tally_entry_write(name, entry->sum / entry->n, (int64_t)entry->n, by);
    }
    json_object_set_new(out, "by", by);
}

const char *fv_tally_category(const fv_row *row, const char *by, char *room) {
    const char *const fields[] = {by ? by : "category", "category", "problem_type"};
    const char *category = NULL;
    for (size_t i = 0; i < FV_COUNT(fields) && !category; i++) category = fv_json_word(json_object_get(row->json, fields[i]), room);
    return category;
}

/* The name of the first picture or clip: of a text itself, in a list (of content parts, pictures, or a clip's frames), in an object. Pictures in memory ("#0") are of this row alone. */
static const char *first_picture(const json_t *v) {
    static const char *const keys[] = {"image", "video", "image_url.url", "image_url", "path", "url"};
    const char *name = json_string_value(v);
    if (name) return name[0] && name[0] != '#' ? name : NULL;
    for (size_t i = 0; i < json_array_size(v) && !name; i++) name = first_picture(json_array_get(v, i));
    for (size_t k = 0; json_is_object(v) && k < FV_COUNT(keys) && !name; k++) name = first_picture(fv_json_find(v, keys[k]));
    return name;
}

const char *fv_tally_cluster(const fv_row *row, char *room) {
    static const char *const keys[] = {"group", "videoID", "video_id"}, *const media[] = {"images", "video", "videos", "path", "image", "image_path"};
    for (size_t i = 0; i < FV_COUNT(keys); i++) {
        const char *word = fv_json_word(json_object_get(row->json, keys[i]), room);
        if (word) return word;
    }
    const json_t *messages = json_object_get(row->json, "messages");
    const char *name = NULL;
    for (size_t i = 0; i < json_array_size(messages) && !name; i++) {
        const json_t *content = json_object_get(json_array_get(messages, i), "content");
        if (json_is_array(content)) name = first_picture(content);
    }
    for (size_t i = 0; i < FV_COUNT(media) && !name; i++) name = first_picture(json_object_get(row->json, media[i])); /* responses are read without their conversation */
    return name;
}
