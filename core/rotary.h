/* The frequencies of rotary positions, for the text model and the tower alike. */
#ifndef FV_CORE_ROTARY_H
#define FV_CORE_ROTARY_H

/* inv_freq[i] = theta^(-2i / width) for i < count (Su et al. 2021, RoFormer, eq. 15), rounded to f32 where transformers rounds: the exponent, the
 * power, its inverse. Plain arithmetic in double, no libm, so that every machine has the same bits. theta > 0. */
void fv_rotary_frequencies(float *inv_freq, int count, int width, double theta);

#endif
