/* Conversations: what is heard, what the tokens are, and that nothing is computed twice. The models are random, so what they write is mostly no UTF-8. */
#include "small.h"

#include "language/unicode.h"
#include "rl/rollout/talk.h"

/* A listener that keeps what it hears. */
typedef struct {
    fv_text text;
    int pieces;
} heard;

static void hear_text(void *context, const char *text, size_t size) {
    heard *h = context;
    assert_true(size > 0 && fv_utf8_valid(text, size) == size); /* no piece ends within a character */
    fv_text_bytes(&h->text, text, size);
    h->pieces++;
}

typedef struct {
    fv_session session;
    fv_talk *talk;
    heard heard;
    volatile int stop;
} party;

static void begin(party *p, int kind, fv_talk_options o) {
    memset(p, 0, sizeof *p);
    char name[32];
    snprintf(name, sizeof name, "model%d", kind);
    fv_session_options how = {.model = small_path(name), .threads = 1};
    o.stop = &p->stop;
    MUST(fv_session_open(&p->session, &how, err));
    MUST(fv_talk_open(&p->talk, &p->session, &o, err));
}

static void end(party *p) {
    fv_talk_close(p->talk);
    fv_session_close(&p->session);
    fv_text_clear(&p->heard.text);
}

static fv_status say(party *p, const json_t *content, const fv_trajectory **answer, fv_error *err) {
    fv_talk_listener listener = {.text = hear_text, .context = &p->heard};
    fv_text_rewind(&p->heard.text);
    p->heard.pieces = 0;
    return fv_talk_say(p->talk, content, &listener, answer, err);
}

static const fv_trajectory *say_text(party *p, const char *text) {
    const fv_trajectory *answer = NULL;
    json_t *content = json_string(text);
    MUST(say(p, content, &answer, err));
    json_decref(content);
    return answer;
}

static const fv_talk_options usual = {.temperature = 1.0f, .top_p = 1, .max_new_tokens = 300, .seed = 4};

/* What was heard in pieces is the answer's text without its special tokens: bytes that are no UTF-8 are replaced as in the whole. */
static void answers_are_heard_as_they_are_written(void **state) {
    (void)state;
    int broken = 0, pieces = 0;
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        party p;
        begin(&p, kind, usual);
        for (int i = 0; i < 3; i++) {
            const fv_trajectory *a = say_text(&p, "Write something.");
            size_t n = strlen(a->text), zero = strlen(p.heard.text.data);
            if (zero < p.heard.text.size) { /* it wrote a byte 0, where a text in C ends */
                assert_true(n == zero);
                p.heard.text.size = zero;
            } else if (!strcmp(a->stop_reason, "end")) { /* an end of turn is not heard */
                while (n > 0 && a->text[n - 1] != '<') n--;
                n--;
            }
            assert_int_equal(p.heard.text.size, n);
            assert_memory_equal(p.heard.text.data, a->text, n);
            assert_true(p.heard.pieces <= a->tokens);
            pieces += p.heard.pieces;
            broken += strstr(a->text, "\xef\xbf\xbd") != NULL;
        }
        end(&p);
    }
    assert_true(broken > 0 && pieces > 50);
}

/* With answers that are stopped before they begin, the tokens are those of the chat format for empty answers, and each was computed once. */
static void tokens_are_those_of_the_format(void **state) {
    (void)state;
    fv_image *noise = small_picture(84, 56, 3);
    MUST(fv_image_save(noise, small_path("p.png"), err));
    fv_image_free(noise);
    for (int kind = 0; kind < SMALL_KINDS; kind++)
        for (int with = 0; with < 2; with++) { /* a system text of one's own */
            party p;
            fv_talk_options o = usual;
            o.system = with ? "Be brief." : NULL;
            begin(&p, kind, o);
            json_t *messages = with ? json_pack("[{s:s, s:s}]", "role", "system", "content", o.system) : json_array();
            json_t *picture = json_pack("[{s:s, s:s}, {s:s, s:s}]", "type", "image", "image", small_path("p.png"), "type", "text", "text", "What is it?");
            json_t *contents[] = {json_string("Hello"), picture, json_string("\n\nAnd now?\n")};
            for (size_t i = 0; i < FV_COUNT(contents); i++) {
                const fv_trajectory *a;
                fv_prompt whole;
                p.stop = 1;
                MUST(say(&p, contents[i], &a, err));
                assert_string_equal(a->stop_reason, "stopped");
                json_array_append_new(messages, json_pack("{s:s, s:o}", "role", "user", "content", contents[i]));
                MUST(fv_prompt_make(p.session.model, messages, &(fv_chat_options){.generation_prompt = true}, NULL, &whole, err));
                assert_int_equal(fv_talk_tokens(p.talk), whole.tokens.count);
                json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "assistant", "content", ""));
                fv_prompt_clear(&whole);
            }
            assert_true(fv_talk_computed(p.talk) == 0);
            p.stop = 0;
            say_text(&p, "Go.");
            assert_true(fv_talk_computed(p.talk) == fv_talk_tokens(p.talk) - 1); /* the last token of all is not needed yet */
            say_text(&p, "On.");
            assert_true(fv_talk_computed(p.talk) == fv_talk_tokens(p.talk) - 1);
            json_decref(messages);
            end(&p);
        }
}

static void complaints_leave_the_conversation_as_it_was(void **state) {
    (void)state;
    party p;
    const fv_trajectory *a;
    fv_error err = {0};
    begin(&p, 0, usual);
    say_text(&p, "Hello");
    int tokens = fv_talk_tokens(p.talk);
    json_t *gone = json_pack("[{s:s, s:s}]", "type", "image", "image", "/nowhere.png");
    assert_int_equal(say(&p, gone, &a, &err), FV_IO);
    assert_non_null(strstr(err.text, "/nowhere.png"));
    char *much = malloc(8001);
    memset(much, '1', 8000);
    much[8000] = '\0';
    json_t *long_text = json_string(much);
    assert_int_equal(say(&p, long_text, &a, &err), FV_LIMIT);
    assert_non_null(strstr(err.text, "no room left"));
    assert_true(a == NULL && fv_talk_tokens(p.talk) == tokens);
    assert_true(say_text(&p, "Still there?")->tokens > 0);
    free(much);
    json_decref(long_text);
    json_decref(gone);
    end(&p);
}

static void forgetting_begins_anew(void **state) {
    (void)state;
    party p;
    begin(&p, 1, usual);
    char *first = strdup(say_text(&p, "Hello")->text);
    assert_string_not_equal(say_text(&p, "Hello")->text, first);
    fv_talk_reset(p.talk);
    assert_int_equal(fv_talk_tokens(p.talk), 0);
    assert_string_equal(say_text(&p, "Hello")->text, first);
    free(first);
    end(&p);
}

enum { QWEN3_THINKER = SMALL_FAMILIES, QWEN3_VL_THINKER };

/* Models that write by formats with thoughts: Qwen3's and Qwen3-VL-Thinking's. */
static void make_thinkers(void) {
    static const char *const templates[] = {"qwen3", "qwen3_vl_thinking"};
    for (int k = 0; k < 2; k++) {
        char from[200], name[64], to[128];
        snprintf(from, sizeof from, FOVEA_SOURCE "/tests/language/data/chat/%s/chat_template.jinja", templates[k]);
        snprintf(name, sizeof name, "model%d", QWEN3_THINKER + k);
        snprintf(to, sizeof to, "%s/chat_template.jinja", name);
        MUST(fv_model_init(small_path(k ? "config1.json" : "config0.json"), 5, small_path(name), FV_F32, err));
        MUST(fv_file_copy(from, small_path(to), err));
    }
}

/* How many tokens the format makes of the conversation. */
static int tokens_of(const party *p, const json_t *messages) {
    fv_prompt whole;
    MUST(fv_prompt_make(p->session.model, messages, &(fv_chat_options){.generation_prompt = true}, NULL, &whole, err));
    int n = whole.tokens.count;
    fv_prompt_clear(&whole);
    return n;
}

static void add_message(json_t *messages, const char *role, const char *content) {
    json_array_append_new(messages, json_pack("{s:s, s:s}", "role", role, "content", content));
}

/* One conversation of three questions, the second without an answer. Returns whether the first answer had thoughts. */
static bool forget(int kind, uint64_t seed, int thinking) {
    party p;
    fv_ids begun = {0};
    fv_talk_options o = usual;
    o.seed = seed;
    o.thinking = thinking;
    begin(&p, kind, o);
    assert_string_equal(fv_chat_note(p.session.model->chat), "");
    const char *opening = fv_chat_opening(p.session.model->chat, thinking);
    MUST(fv_tokenizer_encode(p.session.model->tokenizer, opening, strlen(opening), &begun, NULL, err));
    json_t *messages = json_array();
    add_message(messages, "user", "Hello");
    say_text(&p, "Hello");
    int first = tokens_of(&p, messages) - (kind == QWEN3_VL_THINKER ? begun.count : 0), written = fv_talk_tokens(p.talk) - first; /* thoughts are on by default */
    const char *wrote = p.heard.text.data ? p.heard.text.data : "";
    bool plain = strlen(wrote) == p.heard.text.size && wrote[0] != '\n', thinks = strstr(wrote, "</think>") != NULL; /* a text can't hold a byte 0 */
    fv_text answer = {0};
    fv_text_printf(&answer, "%s%s", opening, wrote);
    add_message(messages, "assistant", answer.data);
    fv_text_clear(&answer);
    add_message(messages, "user", "And?");
    p.stop = 1;
    say_text(&p, "And?");
    if (plain) assert_int_equal(fv_talk_tokens(p.talk), tokens_of(&p, messages) + (kind == QWEN3_VL_THINKER ? 0 : begun.count));
    p.stop = 0;
    int64_t before = fv_talk_computed(p.talk);
    assert_true(before == first + written - 1); /* nothing was computed for the second question yet */
    say_text(&p, "Well?");
    assert_true(fv_talk_computed(p.talk) - before == fv_talk_tokens(p.talk) - 1 - first);
    fv_ids_clear(&begun);
    json_decref(messages);
    end(&p);
    return plain && thinks;
}

/* Qwen3's format leaves thoughts out once a new question is asked: the next prompt has what is left of the answer; what came before it is not computed again. */
static void thoughts_are_forgotten(void **state) {
    (void)state;
    make_thinkers();
    for (int kind = QWEN3_THINKER; kind <= QWEN3_VL_THINKER; kind++) {
        int thoughts = 0;
        for (uint64_t seed = 1; seed <= 80 && thoughts < 2; seed++) thoughts += forget(kind, seed, seed % 2 ? 0 : -1);
        assert_int_equal(thoughts, 2); /* a random model closes its thoughts now and then */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_heard_as_they_are_written),
        cmocka_unit_test(tokens_are_those_of_the_format),
        cmocka_unit_test(complaints_leave_the_conversation_as_it_was),
        cmocka_unit_test(forgetting_begins_anew),
        cmocka_unit_test(thoughts_are_forgotten),
    };
    return cmocka_run_group_tests(tests, small_begin, small_end);
}
