/* Many HTTP requests at once, over libcurl: each is tried again while it may help, with pauses that double, within a budget of requests. */
#ifndef FV_RL_HTTP_H
#define FV_RL_HTTP_H

#include "core/text.h"

typedef struct {
    const char *url;           /* http or https; redirections are not followed */
    const char *key;           /* sent as "Authorization: Bearer KEY"; NULL: none */
    int parallel;              /* requests under way at once */
    int tries;                 /* of one item */
    double timeout;            /* seconds of one request */
    double pause;              /* seconds before the second try, twice as many before each further one, at most 60; a server's Retry-After may ask for more of these */
    int64_t budget;            /* requests of all items together */
} fv_http_options;

/* What is sent and what comes back. A body is composed for every try (from 0), so that only those under way are in memory. */
typedef struct {
    fv_status (*body)(void *context, int item, int attempt, fv_text *out, fv_error *err); /* JSON; a failure is the item's */
    fv_status (*take)(void *context, int item, const char *reply, size_t size, fv_error *err); /* of an answer with status 2xx; a failure counts as that of a try */
    void *context;
} fv_http_work;

typedef struct {
    fv_error error;            /* FV_OK: taken. Else why the last try failed */
    int requests;              /* that were sent */
} fv_http_result;

/* POSTs items 0 .. count-1, all calls from this thread; results [count]. Network failures, time-outs, refusals by `take` and the statuses 408, 409, 429 and 5xx are
 * tried again, other statuses are not: what the server says of them is the error. Fails only where libcurl itself can't be used. */
fv_status fv_http_post_all(const fv_http_options *options, const fv_http_work *work, int count, fv_http_result *results, fv_error *err);

#endif
