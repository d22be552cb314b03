/* Scores added up: mean, standard errors, interval, by category. */
#ifndef FV_RL_TALLY_H
#define FV_RL_TALLY_H

#include "datasets/row.h"

#include <stdbool.h>

typedef struct {
    double sum, n;
} fv_tally_entry;

typedef struct {
    double sum, square;
    int64_t n;
    json_t *categories, *clusters; /* name -> number of its entry */
    fv_tally_entry *by_category, *by_cluster;
    size_t category_room, cluster_room;
    double lone_sum, lone_square, lone_n; /* scores that are clusters of their own */
} fv_tally;

/* Start from {0}. A NULL category is in none; a NULL cluster is one of its own. */
fv_status fv_tally_add(fv_tally *t, double score, const char *category, const char *cluster, fv_error *err);
void fv_tally_clear(fv_tally *t);
double fv_tally_mean(const fv_tally *t); /* NAN where empty */

/* A mean and how sure it is. */
typedef struct {
    int64_t n;
    double mean, se, se_clustered, low, high; /* mean is of no account where n is 0, and the others are 0 */
} fv_estimate;
void fv_estimate_write(const fv_estimate *e, json_t *out); /* all of fv_tally_write's but "by" */
double fv_tally_variance(const fv_tally *t);               /* over n - 1; 0 for fewer than 2 */
void fv_tally_entry_write(const char *name, double mean, int64_t n, json_t *by); /* "name": {"n", "accuracy"} */

/* Counts in a category alone, not in the mean: for rows that are in several. */
fv_status fv_tally_add_category(fv_tally *t, double score, const char *category, fv_error *err);

/* Puts "n", "accuracy" (null where empty), "se", "se_clustered", "ci95": [low, high], "by": {category: {"n", "accuracy"}} into `out`, an object. se is sqrt(var_{n-1} / n);
 * se_clustered adds what scores of a cluster share: SE^2 = var_{n-1} / n + sum over clusters of ((sum d)^2 - sum d^2) / n^2, d = score - mean (Miller 2024, arXiv
 * 2411.00640, eq. 4). ci95 is Wilson's interval where all scores are 0 or 1, else the normal one, cut to 0..1. */
void fv_tally_write(const fv_tally *t, json_t *out);

/* The category that a row is counted in: its field `by` (may be NULL), else its `category`, else its `problem_type`, texts or whole numbers (fv_json_word); NULL: none. */
const char *fv_tally_category(const fv_row *row, const char *by, char *room);

/* What a row shares with others that ask about the same thing: its `group`, `videoID`, `video_id` (texts or whole numbers; room as above), or the first picture or clip that it
 * names; NULL: nothing. */
const char *fv_tally_cluster(const fv_row *row, char *room);

#endif
