/* Rows of a generator as files: JSON lines, pictures beside them, and a sheet of the first ones to look at. */
#ifndef FV_DATASETS_EXPORT_H
#define FV_DATASETS_EXPORT_H

#include "core/progress.h"
#include "core/threads.h"
#include "datasets/dataset.h"

/* Writes folder/NAME.jsonl, its pictures to folder/pictures/ID-k.png, and folder/NAME.png: the first rows with question and answer. Rows are made and
 * written in pieces, over the pool; the files depend on the data set alone. */
fv_status fv_export_rows(const fv_dataset *data, const char *folder, const char *name, fv_pool *pool, fv_progress *progress, fv_error *err);

/* A sheet of rows (at most 12, in memory): pictures with what is asked and what is right below. *out is the caller's. */
fv_status fv_contact_sheet(fv_image **out, const fv_row *const *rows, int count, fv_error *err);

#endif
