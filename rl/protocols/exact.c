/* The protocol that every recipe evaluates by where nothing else is asked for: its evaluate.score, by default the reward term of this name (rl/rewards/exact.c). */
#include "rl/protocols/reading.h"

const fv_protocol fv_protocol_exact = {.name = "exact",
                                       .doc = "the inside of the last <answer> pair, else the last turn without its thoughts, equals `answer` as text (as numbers, where the row has a "
                                              "`tolerance`)",
                                       .fields = "answer",
                                       .source = "Fovea",
                                       .read = fv_read_answer};
