#include "cli/cli.h"

#include "core/file.h"
#include "language/unicode.h"
#include "rl/rollout/talk.h"

#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const fv_option options[] = {
    {"--model", FV_OPTION_VALUE, "DIR", "a Hugging Face folder"},
    {"--tools", FV_OPTION_VALUE, "NAMES", "tools that it may call: image_zoom_in_tool,image_rotate_tool"},
    {"--env", FV_OPTION_VALUE, "E", "its environment in full: YAML or JSON, or a file with it"},
    {"--system", FV_OPTION_VALUE, "TEXT", "system text; else the one of the model's chat format"},
    {"--no-thinking", FV_OPTION_FLAG, NULL, "Qwen3: answers without thoughts (enable_thinking=False)"},
    {"--json", FV_OPTION_FLAG, NULL, "a line of JSON for each answer, once it is there"},
    {"min_pixels", FV_OPTION_SETTING, "N", "pictures are enlarged to that; 0: as the model's folder says"},
    {"max_pixels", FV_OPTION_SETTING, "N", "pictures are reduced to that, likewise"},
    FV_SAMPLING_OPTIONS,
    FV_COMMON_OPTIONS,
};

typedef struct {
    fv_session session;
    fv_talk *talk;
    json_t *parts;       /* pictures and clips for what is said next */
    int64_t min_pixels, max_pixels; /* 0: as the model's folder says */
    fv_text line, said;  /* as read; lines that belong together */
    bool json, terminal; /* `terminal`: a person types */
    bool screen;         /* a person sees what is written */
    bool over;           /* no more input, or /quit */
    int answers, failed;
} chat;

/* ---- What the agent does, as it does it ---- */

/* The bytes of a control character at s, 0: it is none. Line breaks and tabs are none. */
static size_t control_at(const char *s, size_t size) {
    unsigned char c = (unsigned char)s[0], next = size > 1 ? (unsigned char)s[1] : 0;
    if (c == 0xc2 && next >= 0x80 && next < 0xa0) return 2; /* U+0080 to U+009F, among them the sequences' introducer */
    return c != '\n' && c != '\t' && iscntrl(c) ? 1 : 0;
}

/* On a screen without control characters: a model's text must not move the cursor, rename the window or worse. */
static void show_text(void *context, const char *text, size_t size) {
    const chat *c = context;
    size_t begin = 0;
    for (size_t i = 0, n; c->screen && i < size; i += n ? n : 1) {
        n = control_at(text + i, size - i);
        if (n == 0) continue;
        fwrite(text + begin, 1, i - begin, stdout);
        fputs("\xef\xbf\xbd", stdout);
        begin = i + n;
    }
    fwrite(text + begin, 1, size - begin, stdout);
    fflush(stdout);
}

static void show_step(void *context, const fv_step *step) {
    const chat *c = context;
    if (!c->json) puts("");
    fflush(stdout);
    fprintf(stderr, "[%s", step->tool[0] ? step->tool : "tool");
    if (step->picture) fprintf(stderr, ", picture %d", step->picture);
    if (step->has_box) fprintf(stderr, ", box %.0f,%.0f,%.0f,%.0f", step->box.x1, step->box.y1, step->box.x2, step->box.y2);
    fprintf(stderr, "%s%s]\n", step->error[0] ? ": " : "", step->error);
}

static void show_json(const chat *c, const fv_trajectory *a, int64_t computed) {
    json_t *line = json_pack("{s:i, s:s, s:s, s:i, s:i, s:I, s:i, s:i, s:i}", "answer", c->answers, "response", a->text ? a->text : "", "stop_reason",
                             a->stop_reason, "tokens", a->tokens, "context", fv_talk_tokens(c->talk), "computed", (json_int_t)computed, "calls", a->calls,
                             "failures", a->failures, "pictures", a->pictures);
    fv_text t = {0};
    fv_json_dump(&t, line, 0);
    fv_text_char(&t, '\n');
    if (t.data) fwrite(t.data, 1, t.size, stdout);
    fflush(stdout);
    fv_text_clear(&t);
    json_decref(line);
}

/* Why an answer is not at its end. */
static const char *cut_short(const fv_trajectory *a) {
    static const struct {
        const char *reason, *means;
    } list[] = {{"stopped", "stopped"}, {"length", "max_new_tokens is reached"}, {"context", "the conversation has no room left; /reset begins anew"},
                {"turns", "no turns left (env max_turns)"}};
    for (size_t i = 0; i < FV_COUNT(list); i++)
        if (!strcmp(a->stop_reason, list[i].reason)) return list[i].means;
    return a->error.text[0] ? a->error.text : NULL;
}

/* ---- What is said ---- */

static json_t *content_of(chat *c) {
    fv_text text = {0}; /* JSON and tokens are UTF-8; a terminal may not be */
    int broken = fv_utf8_repair(&text, c->said.data, c->said.size);
    if (broken) fprintf(stderr, "fovea: %d characters of that are no UTF-8\n", broken);
    json_t *said = json_string(text.data ? text.data : "");
    fv_text_clear(&text);
    if (!json_array_size(c->parts)) return said;
    if (c->said.size) json_array_append_new(c->parts, json_pack("{s:s, s:o}", "type", "text", "text", said));
    else json_decref(said);
    json_t *parts = c->parts;
    c->parts = json_array();
    return parts;
}

/* Errors that leave the conversation as it was are told; others end the program. */
static fv_status say(chat *c, fv_error *err) {
    fv_talk_listener listener = {.text = c->json ? NULL : show_text, .step = show_step, .context = c};
    const fv_trajectory *answer;
    json_t *content = content_of(c);
    int64_t before = fv_talk_computed(c->talk);
    fv_status s = content ? fv_talk_say(c->talk, content, &listener, &answer, err) : fv_fail(err, FV_NO_MEMORY, "chat: out of memory");
    json_decref(content);
    if (s == FV_BAD_DATA || s == FV_LIMIT || s == FV_UNSUPPORTED || s == FV_IO) {
        fprintf(stderr, "fovea: %s\n", err->text);
        c->failed++;
        return FV_OK;
    }
    FV_TRY(s);
    c->answers++;
    if (c->json) {
        show_json(c, answer, fv_talk_computed(c->talk) - before);
        return FV_OK;
    }
    puts("");
    fflush(stdout);
    const char *why = cut_short(answer);
    if (why) fprintf(stderr, "[%s]\n", why);
    return FV_OK;
}

/* ---- Commands ---- */

static void add_part(chat *c, const char *type, const char *path) {
    json_t *part = *path ? json_pack("{s:s, s:s}", "type", type, type, path) : NULL;
    if (part && c->min_pixels) json_object_set_new(part, "min_pixels", json_integer(c->min_pixels));
    if (part && c->max_pixels) json_object_set_new(part, "max_pixels", json_integer(c->max_pixels));
    bool added = part && (fv_file_exists(path) || fv_folder_exists(path) || !strncmp(path, "data:", 5)) && json_array_append(c->parts, part) == 0;
    if (!part) fprintf(stderr, "fovea: /%s needs a path in UTF-8\n", type);
    else if (!added) fprintf(stderr, "fovea: %s: there is no such file\n", path);
    c->failed += !added;
    json_decref(part);
}

static void do_image(chat *c, const char *rest) { add_part(c, "image", rest); }
static void do_video(chat *c, const char *rest) { add_part(c, "video", rest); }

static void do_reset(chat *c, const char *rest) {
    (void)rest;
    fv_talk_reset(c->talk);
    json_array_clear(c->parts);
}

static void do_quit(chat *c, const char *rest) {
    (void)rest;
    c->over = true;
}

static void do_help(chat *c, const char *rest);

static const struct {
    const char *name, *meta, *help;
    void (*run)(chat *c, const char *rest);
} commands[] = {
    {"/image", "PATH", "a picture for what you say next; may be given several times", do_image},
    {"/video", "PATH", "a video, likewise", do_video},
    {"/reset", "", "forgets the conversation", do_reset},
    {"/help", "", "shows this", do_help},
    {"/quit", "", "ends the program, as Ctrl-D does", do_quit},
};

static void do_help(chat *c, const char *rest) {
    (void)c, (void)rest;
    for (size_t i = 0; i < FV_COUNT(commands); i++) fprintf(stderr, "  %-6s %-5s %s\n", commands[i].name, commands[i].meta, commands[i].help);
    fprintf(stderr, "A line that ends in \\ goes on in the next; //text says /text; Ctrl-C stops an answer.\n");
}

static void run_command(chat *c, const char *line) {
    const char *names[FV_COUNT(commands)];
    size_t n = strcspn(line, " \t");
    char word[64];
    for (size_t i = 0; i < FV_COUNT(commands); i++) {
        names[i] = commands[i].name;
        if (strlen(names[i]) != n || strncmp(line, names[i], n)) continue;
        commands[i].run(c, line + n + strspn(line + n, " \t"));
        return;
    }
    snprintf(word, sizeof word, "%.*s", (int)n, line);
    const char *near = fv_suggest(word, names, FV_COUNT(names));
    if (near) fprintf(stderr, "fovea: there is no %s; did you mean %s?\n", word, near);
    else fprintf(stderr, "fovea: there is no %s; /help lists the commands\n", word);
    c->failed++;
}

/* ---- Reading ---- */

/* Waits until a byte can be read. False: a signal came. One that comes just before a read would be slept over, so the wait ends now and then to look. */
static bool wait_for_input(void) {
    enum { LOOK = 100 }; /* milliseconds */
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!fv_stop_requested)
        if (poll(&in, 1, LOOK) > 0) return true;
    return false;
}

/* One line without its end. False: there is none, or a signal came. */
static bool read_line(chat *c, const char *prompt) {
    if (c->terminal) fputs(prompt, stderr);
    fv_text_rewind(&c->line);
    for (;;) {
        bool ready = wait_for_input();
        int byte = ready ? getchar() : EOF;
        if (byte == '\n') break;
        if (byte == EOF) {
            clearerr(stdin);
            if (!ready) c->over = !c->terminal;
            else if (!c->line.size) c->over = true;
            return ready && c->line.size > 0;
        }
        if (byte) fv_text_char(&c->line, (char)byte);
    }
    if (c->line.size && c->line.data[c->line.size - 1] == '\r') c->line.data[--c->line.size] = '\0';
    return true;
}

/* What is said next, several lines where they end in a backslash. False: nothing, or a command was read. */
static bool read_message(chat *c) {
    fv_text_rewind(&c->said);
    for (bool more = true, first = true; more; first = false) {
        if (!read_line(c, first ? "> " : "  ")) {
            if (fv_stop_requested) return false; /* what was begun is dropped */
            break;
        }
        const char *line = c->line.data ? c->line.data : "";
        size_t n = c->line.size;
        if (first && line[0] == '/' && line[1] != '/') {
            while (strchr(" \t", c->line.data[c->line.size - 1])) c->line.data[--c->line.size] = '\0';
            run_command(c, line);
            return false;
        }
        if (first && line[0] == '/') line++, n--;
        more = n > 0 && line[n - 1] == '\\';
        fv_text_bytes(&c->said, line, more ? n - 1 : n);
        if (more) fv_text_char(&c->said, '\n');
    }
    return c->said.size > 0 && strspn(c->said.data, " \t\n") < c->said.size;
}

static fv_status converse(chat *c, fv_error *err) {
    fv_status s = FV_OK;
    while (s == FV_OK && !c->over) {
        if (read_message(c)) s = say(c, err);
        if (fv_stop_requested == SIGTERM || (fv_stop_requested && c->over)) return fv_fail(err, FV_CANCELLED, "chat: stopped");
        if (fv_stop_requested && c->terminal) fputc('\n', stderr);
        fv_stop_requested = 0; /* Ctrl-C ended an answer, or the line that a person had begun */
    }
    if (s == FV_OK && c->failed && !c->terminal) s = fv_fail(err, FV_BAD_DATA, "%d lines could not be understood or answered (see above)", c->failed);
    return s;
}

/* ---- Opening ---- */

/* --tools as an environment. */
static fv_status tools_env(json_t **out, const char *names, fv_error *err) {
    json_t *list = json_array();
    for (const char *at = names; *at;) {
        size_t n = strcspn(at, ",");
        if (n) json_array_append_new(list, json_stringn(at, n));
        at += n + (at[n] == ',');
    }
    *out = json_pack("{s:o}", "tools", list);
    return *out ? FV_OK : fv_fail(err, FV_BAD_USAGE, "--tools must be names with commas between them");
}

static fv_status read_env(json_t **out, const fv_args *a, fv_error *err) {
    const char *tools = fv_args_value(a, &fv_verb_chat, "--tools"), *env = fv_args_value(a, &fv_verb_chat, "--env");
    if (tools && env) return fv_fail(err, FV_BAD_USAGE, "fovea chat: --tools is short for --env '{tools: [...]}': give one of them");
    return tools ? tools_env(out, tools, err) : fv_env_read(out, env, err);
}

static fv_status open_and_converse(chat *c, const fv_session_options *how, const fv_talk_options *o, fv_error *err) {
    c->parts = json_array();
    if (!c->parts) return fv_fail(err, FV_NO_MEMORY, "chat: out of memory");
    FV_TRY(fv_session_open(&c->session, how, err));
    FV_TRY(fv_talk_open(&c->talk, &c->session, o, err));
    if (c->terminal) fprintf(stderr, "%s (%s); /help lists what you can do, Ctrl-D ends\n", how->model, c->session.model->config.model_type);
    return converse(c, err);
}

static fv_status run(const fv_args *a, fv_error *err) {
    const fv_verb *v = &fv_verb_chat;
    const char *model;
    fv_common common;
    fv_sampling_args sampling;
    json_t *env;
    FV_TRY(fv_args_need(a, v, "--model", &model, err));
    FV_TRY(fv_common_read(&common, a, err));
    FV_TRY(fv_sampling_read(&sampling, a, 0.7, err));
    setvbuf(stdin, NULL, _IONBF, 0); /* what stdio had read already could not be waited for */
    chat c = {.json = fv_args_flag(a, v, "--json"), .terminal = isatty(STDIN_FILENO), .screen = isatty(STDOUT_FILENO)};
    FV_TRY(fv_args_int(a, "min_pixels", 0, 1 << 30, 0, &c.min_pixels, err));
    FV_TRY(fv_args_int(a, "max_pixels", 0, 1 << 30, 0, &c.max_pixels, err));
    FV_TRY(read_env(&env, a, err));
    fv_session_options how = {.model = model, .device = common.device, .precision = common.precision, .threads = common.threads, .note = fv_say_note};
    fv_talk_options o = {.system = fv_args_value(a, v, "--system"), .env = env, .thinking = fv_args_flag(a, v, "--no-thinking") ? -1 : 0,
                         .temperature = sampling.temperature, .top_p = sampling.top_p, .max_new_tokens = sampling.max_new_tokens, .seed = common.seed,
                         .stop = &fv_stop_requested};
    fv_status s = open_and_converse(&c, &how, &o, err);
    fv_talk_close(c.talk);
    fv_session_close(&c.session);
    fv_text_clear(&c.line);
    fv_text_clear(&c.said);
    json_decref(c.parts);
    json_decref(env);
    return s;
}

const fv_verb fv_verb_chat = {
    .name = "chat",
    .synopsis = "chat --model DIR [--tools NAMES | --env E] [--system TEXT] [--no-thinking] [--json] [temperature=T] [top_p=P] [max_new_tokens=N]",
    .summary = "talk to a model, with pictures, videos and tools",
    .help = "Type, and the answer comes as it is written. /image a.png adds a picture to what you say next, /video a.mp4 a video, /reset begins anew, /help lists the\n"
            "rest. Ctrl-C stops an answer, not the program; what was written up to there is part of the conversation. Earlier turns are kept as they were computed: only\n"
            "what is new is run.\n\n"
            "  fovea chat --model models/tiny-vl\n"
            "  fovea chat --model DIR --tools image_zoom_in_tool max_pixels=1000000 max_new_tokens=512 temperature=0\n"
            "  printf '/image a.png\\nWhat digit is on the green plate?\\nAre you sure?\\n' | fovea chat --model models/tiny-vl --json\n\n"
            "From a pipe, each line is said in turn, and --json answers with one line each: response (special tokens kept), stop_reason, tokens (written by the\n"
            "model), context (tokens of the whole conversation), computed (tokens that were run for this answer), calls, failures and pictures of its tools.\n"
            "temperature is 0.7 by default, 0 is greedy. The same seed and lines give the same answers.",
    .options = options,
    .option_count = FV_COUNT(options),
    .stops = true,
    .run = run};
