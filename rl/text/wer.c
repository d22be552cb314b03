#include "rl/text/wer.h"

#include "core/text.h"
#include "rl/text/python.h"

#include <math.h>
#include <stdlib.h>

long fv_edit_distance(const fv_span *a, size_t n, const fv_span *b, size_t m) {
    long *row = malloc((m + 1) * sizeof *row);
    if (!row) return -1;
    for (size_t j = 0; j <= m; j++) row[j] = (long)j;
    for (size_t i = 1; i <= n; i++) {
        long corner = row[0]; /* distance of the first i-1 words to the first j-1 */
        row[0] = (long)i;
        for (size_t j = 1; j <= m; j++) {
            long best = fv_span_same(a[i - 1], b[j - 1]) ? corner : corner + 1;
            corner = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    long distance = row[m];
    free(row);
    return distance;
}

typedef struct {
    fv_span *words; /* owned */
    size_t count;
    bool failed;
} word_list;

static word_list split(fv_span s, char mark) {
    word_list l = {.words = malloc((s.size + 1) * sizeof *l.words)}; /* no text has more words than bytes */
    fv_span word = {0};
    l.failed = !l.words;
    if (!mark)
        while (!l.failed && fv_py_word(&s, &word)) l.words[l.count++] = word;
    else
        while (!l.failed && fv_py_item(&s, &word, mark))
            if (word.size) l.words[l.count++] = word;
    return l;
}

static double rate(fv_span reference, fv_span hypothesis, char mark, bool insertions) {
    word_list a = split(reference, mark), b = split(hypothesis, mark);
    long distance = a.failed || b.failed ? -1 : fv_edit_distance(a.words, a.count, b.words, b.count);
    double words = a.count || insertions ? (double)a.count : 1;
    free(a.words);
    free(b.words);
    if (distance < 0) return NAN;
    return words > 0 ? (double)distance / words : (double)distance;
}

double fv_wer(fv_span reference, fv_span hypothesis) { return rate(reference, hypothesis, 0, false); }

/* Runs of white space become a blank; one white-space character alone stays what it is. */
static void join_blanks(fv_text *out, fv_span s) {
    s = fv_py_strip(s);
    for (size_t at = 0; at < s.size;) {
        size_t end = at, n, spaces = 0;
        while ((n = fv_py_space(s.text + end, s.size - end)) > 0) end += n, spaces++;
        if (spaces > 1) fv_text_char(out, ' ');
        else if (spaces == 1) fv_text_bytes(out, s.text + at, end - at);
        else fv_text_char(out, s.text[end++]);
        at = end;
    }
}

double fv_wer_jiwer(fv_span reference, fv_span hypothesis) {
    fv_text a = {0}, b = {0};
    join_blanks(&a, reference);
    join_blanks(&b, hypothesis);
    double out = a.failed || b.failed ? NAN : rate(fv_span_of(a.data ? a.data : ""), fv_span_of(b.data ? b.data : ""), ' ', true);
    fv_text_clear(&a);
    fv_text_clear(&b);
    return out;
}
