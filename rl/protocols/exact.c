/* The protocol of recipes that name none: their evaluate.score marks, by default the reward term of this name (rl/rewards/exact.c). */
#include "rl/protocols/reading.h"

const fv_protocol fv_protocol_exact = {.name = "exact",
                                       .doc = "the inside of the last <answer> pair, else the last turn without its thoughts, equals `answer` as text (as numbers, where the row has a "
                                              "`tolerance`)",
                                       .fields = "answer",
                                       .source = "Fovea",
                                       .read = fv_read_answer};
