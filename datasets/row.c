#include "datasets/row.h"

#include "datasets/options.h"
#include "tools/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fv_row_free(fv_row *r) {
    if (r == NULL) return;
    for (int i = 0; i < r->image_count; i++) fv_image_free(r->images[i]);
    free(r->images);
    json_decref(r->json);
    free(r->id);
    free(r->folder);
    free(r->place);
    free(r->answer);
    free(r);
}

const char *fv_row_text(const fv_row *r, const char *field) {
    return json_string_value(json_object_get(r->json, field));
}

const char *fv_row_answer(const fv_row *r) {
    return r->answer != NULL ? r->answer : fv_row_text(r, "answer");
}

/* The value that says what is right, and whether it is a solution whose tags are still on. */
static const json_t *fv_right_value(const fv_row *r, fv_span *inside) {
    const json_t *answer = fv_json_find(r->json, "answer"), *solution = fv_json_find(r->json, "solution");
    if (answer != NULL) return answer;
    const char *cursor = json_string_value(solution);
    if (cursor != NULL && fv_pair_next(inside, &cursor, "<answer>", "</answer>")) return solution;
    const json_t *truth = fv_json_find(r->json, "reward_model.ground_truth");
    return truth != NULL ? truth : solution;
}

fv_status fv_row_settle(fv_row *r, fv_error *err) {
    fv_span inside = {NULL, 0};
    fv_options_unquote(r->json);
    const json_t *value = fv_right_value(r, &inside);
    fv_text text = {0};
    if (inside.text != NULL) fv_text_bytes(&text, inside.text, inside.size);
    else if (json_is_string(value)) fv_text_add(&text, json_string_value(value));
    else if (value != NULL) fv_json_dump(&text, value, 0);
    free(r->answer);
    r->answer = NULL;
    if (value != NULL) FV_TRY(fv_text_take(&text, &r->answer, NULL, err));
    const json_t *given = json_object_get(r->json, "id");
    char number[24] = "";
    if (json_is_integer(given)) snprintf(number, sizeof number, "%lld", (long long)json_integer_value(given));
    if (r->id != NULL && number[0] != '\0' && strcmp(number, r->id) == 0) return FV_OK; /* stays a number, as it was given */
    if (r->id == NULL || json_object_set_new(r->json, "id", json_string(r->id)) != 0)
        return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", r->place != NULL ? r->place : "row");
    return FV_OK;
}
