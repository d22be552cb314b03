/* The Porter stemmer with nltk's extensions (nltk.stem.porter, NLTK_EXTENSIONS, its default), which rouge_score uses. */
#ifndef FV_RL_TEXT_PORTER_H
#define FV_RL_TEXT_PORTER_H

#include <stddef.h>

/* Stems a lower-case ASCII word in place; the stem is at most one letter longer than the word and never longer than `room` - 1. Returns its length. */
size_t fv_porter_stem(char *word, size_t size, size_t room);

#endif
