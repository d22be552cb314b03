#include "rl/report/report.h"

#include "core/file.h"
#include "rl/report/curves.h"
#include "rl/report/html.h"
#include "rl/report/results.h"
#include "rl/report/samples.h"

#include <stdlib.h>

/* Bytes of pictures in one page: a dozen samples of 640 px and their crops take about 2 MB; what would exceed this is left out. */
enum { PICTURES = 2700000 };

static void compose(fv_text *page, const fv_record *r) {
    fv_gallery gallery = {.budget = PICTURES};
    fv_html_begin(page, r->name);
    fv_results_head(page, r);
    fv_results_tables(page, r);
    fv_curves_write(page, r);
    fv_samples_write(page, r, &gallery);
    fv_samples_training(page, r, &gallery);
    fv_results_recipe(page, r);
    fv_text_add(page, "<footer>Made by Fovea from the files of the run folder alone.</footer>\n");
    fv_html_end(page);
    fv_gallery_clear(&gallery);
}

fv_status fv_report_write(const char *folder, fv_error *err) {
    fv_record r;
    fv_text page = {0};
    fv_status s = fv_record_open(&r, folder, err);
    if (s == FV_OK) {
        compose(&page, &r);
        s = fv_file_save(folder, "report.html", &page, err);
    }
    fv_record_close(&r);
    return s;
}
