/* A server that speaks enough of OpenAI's protocol to judge, on a thread of the test; how it behaves can be changed while it runs. What it says depends on the request's seed
 * without its last ten bits, which count tries: so a run's questions have the same answers in whatever order they come. */
#ifndef FV_TESTS_RL_JUDGE_FAKE_H
#define FV_TESTS_RL_JUDGE_FAKE_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef enum {
    FAKE_GOOD,
    FAKE_LEARNS,   /* a question's first request gets status 503, the second half an answer, the third no score */
    FAKE_SPLIT,    /* status 500 to every third seed, whenever it comes */
    FAKE_SLOW,     /* answers after a fifth of a second */
    FAKE_REFUSES,  /* status 401 */
    FAKE_LEVEL,    /* says the same to the first `last` requests */
    FAKE_DIES,     /* hangs up without an answer, after `last` good ones */
    FAKE_NONSENSE, /* says nothing that is an answer, after `last` good ones */
    FAKE_GATHERS   /* answers once `gather` requests are there together */
} fake_mood;

enum { FAKE_SEEDS = 256 };

static struct {
    int listener, port;
    pthread_t thread;
    atomic_int mood, requests, here, gather, last, keyed, busy, strays; /* strays: seeds that are not their try's */
    pthread_mutex_t lock;
    long seeds[FAKE_SEEDS];
    int asked[FAKE_SEEDS], seed_count;
    char *body;    /* of the last request */
} fake;

static inline void fake_sleep(double seconds) { nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL); }

/* How often this seed has asked before. */
static inline int fake_before(long seed) {
    int i = 0;
    while (i < fake.seed_count && fake.seeds[i] != seed) i++;
    if (i == fake.seed_count && fake.seed_count < FAKE_SEEDS) fake.seeds[fake.seed_count++] = seed;
    return fake.asked[i]++;
}

/* To the `number`th request. */
static inline void fake_answer(char *out, size_t room, int *status, const char *body, int number) {
    const char *at = strstr(body, "\"seed\": ");
    long seed = at ? strtol(at + 8, NULL, 10) >> 10 : 0, attempt = at ? strtol(at + 8, NULL, 10) & 1023 : 0;
    const char *form = strstr(body, "Judgement:") ? "Judgement: %ld" : "<answer>0.%ld</answer>";
    char text[64];
    int before = fake_before(seed), mood = fake.mood;
    if (attempt != before) fake.strays++;
    if (mood == FAKE_LEVEL && number <= fake.last) seed = 5;
    snprintf(text, sizeof text, form, strstr(body, "Judgement:") ? seed & 1 : seed % 10);
    *status = mood == FAKE_LEARNS && before == 0 ? 503 : mood == FAKE_SPLIT && seed % 3 == 0 ? 500 : mood == FAKE_REFUSES ? 401 : 200;
    snprintf(out, room, *status != 200 ? "{\"error\": \"no\"}" : "{\"choices\": [{\"message\": {\"role\": \"assistant\", \"content\": \"%s\"}}]}",
             (mood == FAKE_LEARNS && before == 2) || (mood == FAKE_NONSENSE && number > fake.last) ? "It is hard to say." : text);
    for (int k = 0; k < 150 && *status == 500; k++) strcat(out, "\xE2\x82\xAC"); /* who quotes it cuts within a character */
    if (mood == FAKE_LEARNS && before == 1) out[strlen(out) / 2] = '\0';
}

static inline void *fake_serve(void *context) {
    int fd = (int)(long)context, status;
    size_t size = 0, room = 1 << 16, want = 0;
    char *text = malloc(room), answer[1024], head[256];
    for (ssize_t n; !want || size < want; size += (size_t)n) {
        if (size + 1 == room) text = realloc(text, room *= 2);
        if ((n = read(fd, text + size, room - size - 1)) <= 0) break;
        text[size + (size_t)n] = '\0';
        const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
        if (end && length) want = (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10);
    }
    const char *body = want ? strstr(text, "\r\n\r\n") + 4 : "";
    int number = ++fake.requests;
    fake.here++;
    fake.keyed += strstr(text, "Authorization: Bearer secret\r\n") != NULL;
    if (fake.mood == FAKE_SLOW) fake_sleep(0.2);
    for (int k = 0; k < 2000 && fake.mood == FAKE_GATHERS && fake.here < fake.gather; k++) fake_sleep(0.005);
    pthread_mutex_lock(&fake.lock);
    fake_answer(answer, sizeof answer, &status, body, number);
    free(fake.body);
    fake.body = strdup(body);
    pthread_mutex_unlock(&fake.lock);
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, strlen(answer));
    bool dead = fake.mood == FAKE_DIES && number > fake.last;
    if (!dead && send(fd, head, (size_t)n, MSG_NOSIGNAL) == n) n = (int)send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    close(fd);
    free(text);
    fake.busy--;
    return NULL;
}

static inline void *fake_run(void *context) {
    (void)context;
    for (int fd; (fd = accept(fake.listener, NULL, NULL)) >= 0;) {
        pthread_t one;
        fake.busy++;
        if (!pthread_create(&one, NULL, fake_serve, (void *)(long)fd)) pthread_detach(one);
        else fake.busy--;
    }
    return NULL;
}

static inline int fake_begin(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    setenv("no_proxy", "127.0.0.1", 1);
    pthread_mutex_init(&fake.lock, NULL);
    fake.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fake.listener, (struct sockaddr *)&at, sizeof at) || listen(fake.listener, 64) || getsockname(fake.listener, (struct sockaddr *)&at, &size)) return -1;
    fake.port = ntohs(at.sin_port);
    return pthread_create(&fake.thread, NULL, fake_run, NULL);
}

/* Until nobody is being answered any more, whether or not they still wait for it. */
static inline void fake_quiet(void) {
    while (fake.busy) fake_sleep(0.002);
}

/* Forgets what was asked. */
static inline void fake_set(fake_mood mood) {
    fake_quiet();
    pthread_mutex_lock(&fake.lock);
    fake.mood = mood;
    fake.requests = fake.here = fake.keyed = fake.strays = 0;
    fake.seed_count = 0;
    memset(fake.asked, 0, sizeof fake.asked);
    pthread_mutex_unlock(&fake.lock);
}

static inline void fake_end(void) {
    shutdown(fake.listener, SHUT_RDWR);
    pthread_join(fake.thread, NULL);
    fake_quiet();
    close(fake.listener);
    free(fake.body);
}

#endif
