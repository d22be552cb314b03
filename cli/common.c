#include "cli/cli.h"

#include <stdio.h>

fv_status fv_common_read(fv_common *out, const fv_args *a, fv_error *err) {
    int64_t n;
    FV_TRY(fv_args_int(a, "seed", 0, INT64_MAX, 1, &n, err));
    out->seed = (uint64_t)n;
    FV_TRY(fv_args_int(a, "threads", 0, 1024, 0, &n, err));
    out->threads = (int)n;
    out->device = fv_args_setting(a, "device") ? fv_args_setting(a, "device") : "cpu";
    out->precision = fv_args_setting(a, "precision"); /* NULL: f32 */
    return FV_OK;
}

fv_status fv_sampling_read(fv_sampling_args *out, const fv_args *a, double temperature, fv_error *err) {
    double t, p;
    int64_t n;
    FV_TRY(fv_args_num(a, "temperature", 0, 1000, temperature, &t, err));
    FV_TRY(fv_args_num(a, "top_p", 1e-6, 1, 1, &p, err));
    FV_TRY(fv_args_int(a, "max_new_tokens", 1, 1000000, 256, &n, err));
    *out = (fv_sampling_args){(float)t, (float)p, (int)n};
    return FV_OK;
}

void fv_say_bad_row(void *context, const fv_error *why) {
    enum { MOST = 50 }; /* a file of which nothing can be used should not hide what else is said */
    static int said;
    (void)context;
    if (said++ < MOST) fprintf(stderr, "fovea: %s\n", why->text);
    if (said == MOST + 1) fprintf(stderr, "fovea: further rows that can't be used are counted, not listed\n");
}

void fv_say_note(const char *model, const char *note) {
    fprintf(stderr, "fovea: %s: %s\n", model, note);
}

fv_status fv_args_need(const fv_args *a, const fv_verb *v, const char *option, const char **out, fv_error *err) {
    *out = fv_args_value(a, v, option);
    if (*out && **out) return FV_OK;
    return fv_fail(err, FV_BAD_USAGE, "fovea %s: %s is missing\nusage: fovea %s", v->name, option, v->synopsis);
}

void fv_print_json(const json_t *value) {
    fv_text t = {0};
    fv_json_dump(&t, value, 2);
    fv_text_char(&t, '\n');
    if (t.data) fwrite(t.data, 1, t.size, stdout);
    fv_text_clear(&t);
}

fv_status fv_open_rows(fv_dataset **out, const char *path, uint64_t seed, fv_error *err) {
    json_t *spec = json_string(path);
    if (!spec) return fv_fail(err, FV_BAD_USAGE, "--data must be a path in UTF-8");
    fv_status s = fv_dataset_open(out, spec, seed, err);
    json_decref(spec);
    return s;
}
