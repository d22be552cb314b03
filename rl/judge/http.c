#include "rl/judge/http.h"

#include "core/progress.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_MOST = 16 << 20, QUOTE_MOST = 300 };
static const double pause_most = 60;

/* A request under way. */
typedef struct {
    CURL *easy;
    fv_text body, reply;
    int item; /* -1: idle */
    char why[CURL_ERROR_SIZE];
} transfer;

/* What is known of an item. */
typedef struct {
    double not_before; /* fv_now() of its next try */
    bool done, away;
} progress;

typedef struct {
    const fv_http_options *o;
    const fv_http_work *work;
    fv_http_result *results;
    CURLM *multi;
    struct curl_slist *headers;
    transfer *transfers;
    progress *items;
    int count, done, away;
    int64_t sent;
} poster;

static size_t take_bytes(char *bytes, size_t size, size_t n, void *context) {
    transfer *t = context;
    if (t->reply.size + size * n > REPLY_MOST) return 0; /* ends the transfer with an error */
    fv_text_bytes(&t->reply, bytes, size * n);
    return t->reply.failed ? 0 : size * n;
}

static void finish(poster *p, int item) {
    p->items[item].done = true;
    p->done++;
}

/* The next try of an item, or its end. */
static void failed(poster *p, int item, bool again, double at_least) {
    fv_http_result *r = &p->results[item];
    if (!again || r->requests >= p->o->tries) {
        finish(p, item);
        return;
    }
    double wait = p->o->pause;
    for (int k = 1; k < r->requests && wait < pause_most; k++) wait *= 2;
    if (wait < at_least) wait = at_least;
    p->items[item].not_before = fv_now() + (wait > pause_most ? pause_most : wait);
}

static bool worth_another(long status) { return status == 408 || status == 409 || status == 429 || status >= 500; }

/* What came of a request. */
static void conclude(poster *p, transfer *t, CURLcode code) {
    fv_error *why = &p->results[t->item].error;
    long status = 0;
    curl_off_t later = 0;
    int item = t->item;
    bool again = true;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &later);
    if (code != CURLE_OK) {
        fv_fail(why, FV_IO, "%s: %s", p->o->url, t->why[0] ? t->why : curl_easy_strerror(code));
    } else if (status < 200 || status > 299) {
        again = worth_another(status);
        fv_fail(why, FV_IO, "%s: status %ld: %.*s", p->o->url, status, QUOTE_MOST, t->reply.data ? t->reply.data : "");
    } else if (p->work->take(p->work->context, item, t->reply.data ? t->reply.data : "", t->reply.size, why) == FV_OK) {
        *why = (fv_error){0};
        again = false;
    } else {
        fv_fail_in(why, "%s", p->o->url);
    }
    p->items[item].away = false;
    p->away--;
    t->item = -1;
    failed(p, item, again, (double)later);
}

static fv_status send_item(poster *p, transfer *t, int item, fv_error *err) {
    fv_text_rewind(&t->body);
    fv_text_rewind(&t->reply);
    t->why[0] = '\0';
    if (p->sent >= p->o->budget) {
        fv_fail(&p->results[item].error, FV_LIMIT, "%s: the budget of requests is used up", p->o->url);
        return finish(p, item), FV_OK;
    }
    if (p->work->body(p->work->context, item, p->results[item].requests, &t->body, &p->results[item].error) != FV_OK) return finish(p, item), FV_OK;
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->body.data);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.size);
    CURLMcode code = curl_multi_add_handle(p->multi, t->easy);
    if (code != CURLM_OK) return fv_fail(err, FV_IO, "%s: %s", p->o->url, curl_multi_strerror(code));
    t->item = item;
    p->items[item].away = true;
    p->away++;
    p->results[item].requests++;
    p->sent++;
    return FV_OK;
}

/* Sends what is due while there are transfers to do it. *wait: milliseconds until something is due again. */
static fv_status send_due(poster *p, int *wait, fv_error *err) {
    double now = fv_now(), next = now + 1;
    int slot = 0;
    for (int i = 0; i < p->count; i++) {
        if (p->items[i].done || p->items[i].away) continue;
        if (p->items[i].not_before > now) {
            if (p->items[i].not_before < next) next = p->items[i].not_before;
            continue;
        }
        while (slot < p->o->parallel && p->transfers[slot].item >= 0) slot++;
        if (slot == p->o->parallel) break;
        FV_TRY(send_item(p, &p->transfers[slot], i, err));
    }
    *wait = (int)((next - now) * 1000) + 1;
    return FV_OK;
}

static fv_status run_all(poster *p, fv_error *err) {
    while (p->done < p->count) {
        int wait, running, left;
        FV_TRY(send_due(p, &wait, err));
        CURLMcode code = curl_multi_perform(p->multi, &running);
        for (CURLMsg *m; code == CURLM_OK && (m = curl_multi_info_read(p->multi, &left));) {
            transfer *t;
            CURLcode result = m->data.result; /* m is gone once its handle is removed */
            CURL *easy = m->easy_handle;
            if (m->msg != CURLMSG_DONE) continue;
            curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
            curl_multi_remove_handle(p->multi, easy);
            conclude(p, t, result);
            wait = 0;
        }
        if (code == CURLM_OK && p->done < p->count && wait) code = curl_multi_poll(p->multi, NULL, 0, wait, NULL);
        if (code != CURLM_OK) return fv_fail(err, FV_IO, "%s: %s", p->o->url, curl_multi_strerror(code));
    }
    return FV_OK;
}

static fv_status open_transfer(poster *p, transfer *t, fv_error *err) {
    t->item = -1;
    if (!(t->easy = curl_easy_init())) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", p->o->url);
    curl_easy_setopt(t->easy, CURLOPT_URL, p->o->url);
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)(p->o->timeout * 1000));
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->why);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    return FV_OK;
}

static bool add_header(poster *p, const char *line) {
    struct curl_slist *more = curl_slist_append(p->headers, line);
    if (more) p->headers = more;
    return more != NULL;
}

static fv_status open_all(poster *p, fv_error *err) {
    fv_text key = {0};
    if (p->o->key) fv_text_printf(&key, "Authorization: Bearer %s", p->o->key);
    bool ok = add_header(p, "Content-Type: application/json") && add_header(p, "Expect:") && !key.failed && (!key.data || add_header(p, key.data));
    fv_text_clear(&key);
    p->multi = curl_multi_init();
    p->transfers = calloc((size_t)p->o->parallel, sizeof *p->transfers);
    p->items = calloc((size_t)p->count, sizeof *p->items);
    if (!ok || !p->multi || !p->transfers || !p->items) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", p->o->url);
    for (int i = 0; i < p->o->parallel; i++) FV_TRY(open_transfer(p, &p->transfers[i], err));
    return FV_OK;
}

static void close_all(poster *p) {
    for (int i = 0; i < p->o->parallel && p->transfers; i++) {
        transfer *t = &p->transfers[i];
        if (t->easy && t->item >= 0) curl_multi_remove_handle(p->multi, t->easy);
        curl_easy_cleanup(t->easy);
        fv_text_clear(&t->body);
        fv_text_clear(&t->reply);
    }
    curl_multi_cleanup(p->multi);
    curl_slist_free_all(p->headers);
    free(p->transfers);
    free(p->items);
}

fv_status fv_http_post_all(const fv_http_options *options, const fv_http_work *work, int count, fv_http_result *results, fv_error *err) {
    fv_http_options o = *options;
    if (o.parallel > count) o.parallel = count;
    memset(results, 0, (size_t)count * sizeof *results);
    if (!count) return FV_OK;
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) return fv_fail(err, FV_UNSUPPORTED, "libcurl can't be used");
    poster p = {.o = &o, .work = work, .results = results, .count = count};
    fv_status s = open_all(&p, err);
    if (s == FV_OK) s = run_all(&p, err);
    close_all(&p);
    curl_global_cleanup();
    return s;
}
