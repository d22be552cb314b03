#include "cli/cli.h"

#include "core/arena.h"
#include "core/file.h"
#include "core/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile int fv_stop_requested;

static const fv_verb *const verbs[] = {&fv_verb_train, &fv_verb_eval, &fv_verb_rollout, &fv_verb_score, &fv_verb_reward, &fv_verb_chat, &fv_verb_data,
                                      &fv_verb_model, &fv_verb_bench, &fv_verb_help};

const fv_verb *const *fv_verbs(int *count) {
    *count = (int)FV_COUNT(verbs);
    return verbs;
}

/* The first signal asks; the second one gets its way. */
static void on_signal(int number) {
    if (fv_stop_requested) {
        signal(number, SIG_DFL);
        raise(number);
    }
    fv_stop_requested = number;
}

/* In the middle of a pass, on any thread: there is no way back, and nothing that has a name is left half written. */
static void on_exhaustion(size_t bytes, const char *why) {
    fprintf(stderr, "fovea: %s (%.2f GiB more were asked for). A run's last checkpoint is whole: --resume goes on from it, with smaller optim.micro_tokens, rollout.prompts, max_new_tokens or "
                    "pictures (max_pixels) if need be.\n", why, (double)bytes / (1 << 30));
    _exit(1);
}

static const fv_verb *find_verb(const char *name) {
    for (size_t i = 0; i < FV_COUNT(verbs); i++)
        if (!strcmp(verbs[i]->name, name)) return verbs[i];
    return NULL;
}

static int unknown_verb(const char *name) {
    const char *names[FV_COUNT(verbs)];
    for (size_t i = 0; i < FV_COUNT(verbs); i++) names[i] = verbs[i]->name;
    const char *near = fv_suggest(name, names, FV_COUNT(verbs));
    if (near) fprintf(stderr, "fovea: there is no verb %s; did you mean %s?\n", name, near);
    else fprintf(stderr, "fovea: there is no verb %s; `fovea help` lists them\n", name);
    return 2;
}

/* What was printed may have gone nowhere: a full disk is a failure as any other. Where nobody reads any more (| head) there is nothing to tell. */
static int finish(int code) {
    errno = 0;
    if (!fflush(stdout) && !ferror(stdout)) return code;
    struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (poll(&reader, 1, 0) < 1 || !(reader.revents & POLLERR)) fprintf(stderr, "fovea: stdout: write: %s\n", errno ? strerror(errno) : "not all could be written");
    return code ? code : 1;
}

static int run_verb(const fv_verb *verb, int argc, char **argv) {
    struct sigaction action = {.sa_handler = on_signal};
    if (verb->stops) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    fv_arena_on_exhaustion(on_exhaustion);
    fv_args args;
    fv_error err = {0};
    fv_status s = fv_args_read(&args, verb, argc, argv, &err);
    if (s == FV_OK) s = verb->run(&args, &err);
    if (s == FV_OK) return 0;
    fflush(stdout); /* results stand before what is said about them */
    fprintf(stderr, "%s%s\n", strncmp(err.text, "fovea ", 6) ? "fovea: " : "", err.text);
    return s == FV_BAD_USAGE ? 2 : 1;
}

static int run(int argc, char **argv) {
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        fv_help(argc < 2 ? stderr : stdout, NULL);
        return argc < 2 ? 2 : 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("fovea %s\n", FOVEA_VERSION);
        return 0;
    }
    const fv_verb *verb = find_verb(argv[1]);
    if (!verb) return unknown_verb(argv[1]);
    for (int i = 2; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fv_help(stdout, verb);
            return 0;
        }
    return run_verb(verb, argc - 2, argv + 2);
}

int main(int argc, char **argv) {
    const char *fail_at = getenv("FOVEA_TEST_FAIL_WRITE"); /* tests: the n-th write fails as on a full disk */
    if (fail_at) fv_file_inject(strtoll(fail_at, NULL, 10), FV_INJECT_FULL);
    return finish(run(argc, argv));
}
