#include "rl/report.h"

#include "core/file.h"
#include "rl/report/html.h"
#include "rl/report/record.h"

#include <stdlib.h>

static void write_recipe(fv_text *out, const fv_record *r) {
    if (!r->recipe[0]) return;
    fv_text_add(out, "<section id=\"recipe\"><h2>Recipe</h2>\n<pre>");
    fv_html_text(out, r->recipe);
    fv_text_add(out, "</pre></section>\n");
}

fv_status fv_report_write(const char *folder, fv_error *err) {
    fv_record r;
    fv_text page = {0};
    fv_status s = fv_record_open(&r, folder, err);
    if (s == FV_OK) {
        fv_html_begin(&page, r.name);
        fv_text_add(&page, "<h1>");
        fv_html_text(&page, r.name);
        fv_text_add(&page, "</h1>\n");
        write_recipe(&page, &r);
        fv_html_end(&page);
        char *path = fv_path_join(folder, "report.html");
        s = page.failed ? fv_fail(err, FV_NO_MEMORY, "%s: no memory for the report", folder) : fv_file_write(path, page.data, page.size, err);
        free(path);
    }
    fv_text_clear(&page);
    fv_record_close(&r);
    return s;
}
