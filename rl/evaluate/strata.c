#include "rl/evaluate/strata.h"

#include <math.h>
#include <string.h>

/* Categories with rows of a task, and of how many the task is; the sum of their means, and their rows. */
typedef struct {
    int all, with_rows;
    double means;
    int64_t n;
} task;

static task task_at(const fv_tally *tallies, const fv_level *levels, const char *name) {
    task t = {0};
    for (int i = 0; levels[i].category; i++) {
        if (strcmp(levels[i].task, name) != 0) continue;
        t.all++;
        if (!tallies[i].n) continue;
        t.with_rows++;
        t.means += fv_tally_mean(&tallies[i]);
        t.n += tallies[i].n;
    }
    return t;
}

/* The first category of its task: where tasks are counted, so that each is once. */
static bool opens_task(const fv_level *levels, int i) {
    for (int k = 0; k < i; k++)
        if (!strcmp(levels[k].task, levels[i].task)) return false;
    return true;
}

/* sum over rows in clusters of (w d)^2; each cluster's sum of w d is added to `sums` by name. */
static double add_clusters(json_t *sums, const fv_tally *t, double w) {
    double mean = fv_tally_mean(t), n = (double)t->n;
    const char *name;
    json_t *number;
    json_object_foreach(t->clusters, name, number) {
        const fv_tally_entry *e = &t->by_cluster[json_integer_value(number)];
        json_object_set_new(sums, name, json_real(json_number_value(json_object_get(sums, name)) + w * (e->sum - e->n * mean)));
    }
    double all = t->square - n * mean * mean, lone = t->lone_square - 2 * mean * t->lone_sum + t->lone_n * mean * mean;
    return w * w * (all - lone);
}

static double sum_of_squares(const json_t *sums) {
    double total = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)sums, name, value) total += json_real_value(value) * json_real_value(value);
    return total;
}

void fv_strata_write(const fv_tally *tallies, const fv_level *levels, json_t *out) {
    fv_estimate e = {0};
    double variance = 0, shared = 0;
    int tasks = 0;
    json_t *by = json_object_get(out, "by"), *sums = json_object();
    for (int i = 0; levels[i].category; i++) tasks += opens_task(levels, i) && task_at(tallies, levels, levels[i].task).with_rows > 0;
    for (int i = 0; levels[i].category; i++) {
        const fv_tally *t = &tallies[i];
        task k = task_at(tallies, levels, levels[i].task);
        if (opens_task(levels, i) && k.all > 1 && k.with_rows) fv_tally_entry_write(levels[i].task, k.means / k.with_rows, k.n, by);
        if (!t->n) continue;
        double weight = 1.0 / tasks / k.with_rows, n = (double)t->n;
        e.n += t->n;
        e.mean += weight * fv_tally_mean(t);
        variance += weight * weight * fv_tally_variance(t) / n;
        shared -= add_clusters(sums, t, weight / n);
    }
    e.se = sqrt(variance);
    e.se_clustered = sqrt(fmax(variance + shared + sum_of_squares(sums), 0));
    e.low = fmax(0, e.mean - 1.959963984540054 * e.se);
    e.high = fmin(1, e.mean + 1.959963984540054 * e.se);
    fv_estimate_write(&e, out);
    json_decref(sums);
}
