/* What `fovea train` ends with on the terminal: the tables of the report's head as text, from the run folder's files alone. */
#ifndef FV_RL_SUMMARY_TABLE_H
#define FV_RL_SUMMARY_TABLE_H

#include "core/text.h"

/* Appends lines for a terminal: by evaluation mode accuracy with its 95 % interval before and after reinforcement, tool calls, zooms that hold the target,
 * tokens; by stage steps, time and reward (loss without reinforcement); whether rollout and training agreed; the report's path. Columns are aligned
 * by characters. What the folder does not have is left out. */
fv_status fv_summary_text(fv_text *out, const char *folder, fv_error *err);

/* Cells of text in aligned columns, the first to the left and the others to the right. */
enum { FV_TABLE_ROWS = 128, FV_TABLE_COLUMNS = 8, FV_TABLE_CELL = 96 };
typedef struct {
    int rows, columns; /* rows beyond FV_TABLE_ROWS are dropped */
    char cells[FV_TABLE_ROWS][FV_TABLE_COLUMNS][FV_TABLE_CELL];
    bool left[FV_TABLE_COLUMNS]; /* further columns that go to the left */
} fv_text_table;
/* A new row; its cells are filled in order. NULL when the table is full. */
char (*fv_text_table_row(fv_text_table *t))[FV_TABLE_CELL];
/* Appends it with two blanks before each column but the first; columns without any text are left out. */
void fv_text_table_write(fv_text *out, const fv_text_table *t);

#endif
