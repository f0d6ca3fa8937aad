/*
 * Code-blocks from bits to coefficients: the MQ decoder and the three coding passes of JPEG 2000 (ISO 15444-1, annexes C and D),
 * in place of those of OpenJPEG's t1.c. The layout of flags and the tables of contexts are OpenJPEG's; see t1.h.
 *
 * Copyright (c) 2026, the Consilium contributors
 * Derived from OpenJPEG's t1.c and mqc_inl.h, whose copyright notice and terms (2-clause BSD) are in LICENSE and hold here too.
 *
 * The bits of noise in the low planes of a radiograph cannot be predicted, so a decoder spends its time on mispredicted
 * branches. Here a decision is computed without any: both intervals of 64-bit registers are derived with masks, the
 * probability's next state is selected from two that were loaded before the outcome is known, and renormalisation is one shift
 * by the number of leading zeros. Bytes enter six at a time instead of one by one.
 *
 * The module has one thread and decodes one block at a time, so the decoder's state is static.
 */
#include <stdint.h>

/* ---- MQ decoder (annex C.3) ---- */

/*
 * A state of a context: bits 47 to 62 the probability Qe of the less probable symbol, bits 4 to 10 its place in `mq_next` as an
 * offset in bytes, bit 0 the more probable symbol.
 */
typedef uint64_t mq_state;

#define MQ_STATES 94
#define MQ_QE ((uint64_t)0xffff << 47)
#define MQ_PLACE 0x7f0u

/* Table C.2: Qe, the next state after MPS and after LPS, and whether LPS changes the sense of the MPS. */
static const struct {
  uint16_t qe;
  uint8_t nmps, nlps, sw;
} mq_table[MQ_STATES / 2] = {
    {0x5601, 1, 1, 1},    {0x3401, 2, 6, 0},    {0x1801, 3, 9, 0},    {0x0ac1, 4, 12, 0},   {0x0521, 5, 29, 0},
    {0x0221, 38, 33, 0},  {0x5601, 7, 6, 1},    {0x5401, 8, 14, 0},   {0x4801, 9, 14, 0},   {0x3801, 10, 14, 0},
    {0x3001, 11, 17, 0},  {0x2401, 12, 18, 0},  {0x1c01, 13, 20, 0},  {0x1601, 29, 21, 0},  {0x5601, 15, 14, 1},
    {0x5401, 16, 14, 0},  {0x5101, 17, 15, 0},  {0x4801, 18, 16, 0},  {0x3801, 19, 17, 0},  {0x3401, 20, 18, 0},
    {0x3001, 21, 19, 0},  {0x2801, 22, 19, 0},  {0x2401, 23, 20, 0},  {0x2201, 24, 21, 0},  {0x1c01, 25, 22, 0},
    {0x1801, 26, 23, 0},  {0x1601, 27, 24, 0},  {0x1401, 28, 25, 0},  {0x1201, 29, 26, 0},  {0x1101, 30, 27, 0},
    {0x0ac1, 31, 28, 0},  {0x09c1, 32, 29, 0},  {0x08a1, 33, 30, 0},  {0x0521, 34, 31, 0},  {0x0441, 35, 32, 0},
    {0x02a1, 36, 33, 0},  {0x0221, 37, 34, 0},  {0x0141, 38, 35, 0},  {0x0111, 39, 36, 0},  {0x0085, 40, 37, 0},
    {0x0049, 41, 38, 0},  {0x0025, 42, 39, 0},  {0x0015, 43, 40, 0},  {0x0009, 44, 41, 0},  {0x0005, 45, 42, 0},
    {0x0001, 45, 43, 0},  {0x5601, 46, 46, 0},
};

/* After MPS, and what to xor that with for LPS. */
static struct {
  mq_state nmps, flip;
} mq_next[MQ_STATES];

static struct {
  uint64_t c;        /* the code register, its 16 active bits at 47 to 62, bits not yet reached below */
  uint64_t a;        /* the interval, aligned as c */
  int32_t lowest;    /* the place in c of the last bit that was read */
  const uint8_t *bp; /* the last byte that was read */
  mq_state contexts[T1_NUMCTXS];
} mq;

static mq_state mq_state_of(uint32_t row, uint32_t mps) {
  const uint32_t place = 2 * row + mps;
  return ((uint64_t)mq_table[row].qe << 47) | (place << 4) | mps;
}

__attribute__((constructor)) static void mq_prepare(void) {
  for (uint32_t row = 0; row < MQ_STATES / 2; row++)
    for (uint32_t mps = 0; mps < 2; mps++) {
      const mq_state nmps = mq_state_of(mq_table[row].nmps, mps);
      mq_next[2 * row + mps].nmps = nmps;
      mq_next[2 * row + mps].flip = nmps ^ mq_state_of(mq_table[row].nlps, mps ^ mq_table[row].sw);
    }
}

/* Table D.7 */
static void mq_reset_contexts(void) {
  for (uint32_t i = 0; i < T1_NUMCTXS; i++) mq.contexts[i] = mq_state_of(0, 0);
  mq.contexts[T1_CTXNO_ZC] = mq_state_of(4, 0);
  mq.contexts[T1_CTXNO_AGG] = mq_state_of(3, 0);
  mq.contexts[T1_CTXNO_UNI] = mq_state_of(46, 0);
}

/* BYTEIN (C.3.4) until no more bytes fit. Two bytes 0xff stand behind every segment and stop it. */
#define MQ_FILL() \
  do { \
    const uint32_t following = bp[1]; \
    if (*bp != 0xff) { \
      lowest -= 8, bp++; \
      c += (uint64_t)following << lowest; \
    } else if (following <= 0x8f) { \
      lowest -= 7, bp++; \
      c += (uint64_t)following << lowest; \
    } else { \
      lowest -= 8; \
      c += (uint64_t)0xff << lowest; \
    } \
  } while (lowest >= 8)

/* INITDEC (C.3.5) */
static void mq_begin(const uint8_t *bytes, uint32_t length) {
  const uint8_t *bp = bytes;
  int32_t lowest = 54;
  uint64_t c = (uint64_t)(length == 0 ? 0xff : *bp) << lowest;
  MQ_FILL();
  mq.c = c, mq.a = (uint64_t)1 << 62, mq.lowest = lowest, mq.bp = bp;
}

#define MQ_LOAD() \
  uint64_t c = mq.c, a = mq.a; \
  int32_t lowest = mq.lowest; \
  const uint8_t *bp = mq.bp

#define MQ_STORE() (mq.c = c, mq.a = a, mq.lowest = lowest, mq.bp = bp)

/* All bits set if the sign bit is. */
#define SIGN_MASK(x) ((uint64_t)((int64_t)(x) >> 63))

/* DECODE (C.3.2): one decision of a context into `d`. */
#define MQ_DECODE(d, context) \
  do { \
    mq_state *const at = &mq.contexts[context]; \
    const mq_state state = *at; \
    const uint64_t qe = state & MQ_QE; \
    const mq_state *const next = (const mq_state *)((const char *)mq_next + ((uint32_t)state & MQ_PLACE)); \
    a -= qe, c -= qe; \
    const uint64_t isLower = SIGN_MASK(c); \
    /* The smaller subinterval is the LPS's, wherever it lies. */ \
    const uint64_t isLps = isLower ^ SIGN_MASK(a - qe); \
    a ^= (a ^ qe) & isLower; \
    c += qe & isLower; \
    /* The state changes only with renormalisation. */ \
    const uint64_t isKept = SIGN_MASK(a << 1); \
    const mq_state changed = next[0] ^ (next[1] & isLps); \
    *at = changed ^ ((changed ^ state) & isKept); \
    (d) = (uint32_t)(state ^ isLps) & 1; \
    const int32_t shift = __builtin_clzll(a) - 1; \
    a <<= shift, c <<= shift, lowest += shift; \
    if (__builtin_expect(lowest > 47, 0)) MQ_FILL(); \
  } while (0)

/* ---- Coding passes (annex D.3), four rows of a column at a time ---- */

#define ALL_SIGMA (T1_SIGMA_4 | T1_SIGMA_7 | T1_SIGMA_10 | T1_SIGMA_13)
#define ALL_PI (T1_PI_0 | T1_PI_1 | T1_PI_2 | T1_PI_3)
/* A function each: together they would want more registers than there are. */
#define PASS static __attribute__((noinline))
#define INLINE_ALWAYS static inline __attribute__((always_inline))

/* The rows that a stripe has, as sigma bits. */
INLINE_ALWAYS uint32_t rows_of_stripe(uint32_t left) {
  return left >= 4 ? ALL_SIGMA : ALL_SIGMA & ((1u << (4 + 3 * left)) - 1);
}

/* The rows with a significant neighbour, as sigma bits. */
INLINE_ALWAYS uint32_t rows_with_neighbours(uint32_t flags) {
  /* bit 3r: in any of the three columns of row r, from the row above on */
  const uint32_t across = flags | (flags >> 1) | (flags >> 2);
  const uint32_t sides = flags | (flags >> 2);
  return ((across << 4) | (sides << 1) | (across >> 2)) & ALL_SIGMA;
}

/* Index into the tables of sign contexts and sign predictions (D.3.2); `shift` is 3 times the row. */
INLINE_ALWAYS uint32_t sign_index(uint32_t flags, uint32_t west, uint32_t east, uint32_t shift) {
  uint32_t index = (flags >> shift) & (T1_SIGMA_1 | T1_SIGMA_3 | T1_SIGMA_5 | T1_SIGMA_7);
  index |= (west >> (T1_CHI_THIS_I + shift)) & T1_LUT_SGN_W;
  index |= (east >> (T1_CHI_THIS_I - 2 + shift)) & T1_LUT_SGN_E;
  index |= (shift == 0 ? flags >> (T1_CHI_0_I - 4) : flags >> (T1_CHI_1_I - 7 + shift)) & T1_LUT_SGN_N;
  index |= (flags >> (T1_CHI_2_I - 6 + shift)) & T1_LUT_SGN_S;
  return index;
}

/* Tells all neighbours of a coefficient that it is significant, and those above and below its sign. */
INLINE_ALWAYS void mark_significant(opj_flag_t *at, uint32_t *flags, uint32_t shift, uint32_t sign, uint32_t stride,
                                    int is_causal) {
  at[-1] |= T1_SIGMA_5 << shift;
  *flags |= ((sign << T1_CHI_1_I) | T1_SIGMA_4) << shift;
  at[1] |= T1_SIGMA_3 << shift;
  if (shift == 0 && !is_causal) {
    opj_flag_t *const north = at - stride;
    north[-1] |= T1_SIGMA_17;
    north[0] |= (sign << T1_CHI_5_I) | T1_SIGMA_16;
    north[1] |= T1_SIGMA_15;
  }
  if (shift == 9) {
    opj_flag_t *const south = at + stride;
    south[-1] |= T1_SIGMA_2;
    south[0] |= (sign << T1_CHI_0_I) | T1_SIGMA_1;
    south[1] |= T1_SIGMA_0;
  }
}

/* Walks over columns of stripes: `at` its flags, `data` its first coefficient, `rows` what it has. */
#define PASS_BEGIN(t1) \
  const uint32_t width = (t1)->w, height = (t1)->h, stride = width + 2; \
  opj_flag_t *at = (t1)->flags + stride + 1; \
  int32_t *data = (t1)->data; \
  MQ_LOAD(); \
  for (uint32_t y = 0; y < height; y += 4, at += 2, data += 3 * width) { \
    const uint32_t rows = rows_of_stripe(height - y); \
    for (uint32_t x = 0; x < width; x++, at++, data++) {

#define PASS_END() \
    } \
  } \
  MQ_STORE()

#define ZERO_CONTEXT(row) zero_contexts[(flags >> (3 * (row))) & T1_SIGMA_NEIGHBOURS]

/* The sign of a coefficient that has become significant (D.3.2). */
#define DECODE_SIGN(row) \
  do { \
    const uint32_t index = sign_index(flags, at[-1], at[1], 3 * (row)); \
    const uint32_t context = lut_ctxno_sc[index]; \
    uint32_t sign; \
    MQ_DECODE(sign, context); \
    sign ^= lut_spb[index]; \
    data[(row) * width] = (one_and_half ^ -(int32_t)sign) + (int32_t)sign; \
    mark_significant(at, &flags, 3 * (row), sign, stride, is_causal); \
  } while (0)

#define SIGNIFICANCE_STEP(row) \
  if (open & (T1_SIGMA_THIS << (3 * (row)))) { \
    uint32_t is_significant; \
    MQ_DECODE(is_significant, ZERO_CONTEXT(row)); \
    flags |= T1_PI_THIS << (3 * (row)); \
    if (is_significant) { \
      DECODE_SIGN(row); \
      /* The row below has a neighbour now. */ \
      if ((row) < 3) open |= (T1_SIGMA_7 << (3 * (row))) & ~flags & rows; \
    } \
  }

/* Significance propagation (D.3.1) */
PASS void decode_significance(opj_t1_t *t1, int32_t plane, int is_causal) {
  const int32_t one_and_half = (1 << plane) | ((1 << plane) >> 1);
  const uint8_t *const zero_contexts = t1->mqc.lut_ctxno_zc_orient;
  PASS_BEGIN(t1)
    uint32_t flags = *at;
    uint32_t open = rows_with_neighbours(flags) & ~flags & rows;
    if (open == 0) continue;
    SIGNIFICANCE_STEP(0)
    SIGNIFICANCE_STEP(1)
    SIGNIFICANCE_STEP(2)
    SIGNIFICANCE_STEP(3)
    *at = flags;
  PASS_END();
}

#define REFINEMENT_STEP(row) \
  if (open & (T1_SIGMA_THIS << (3 * (row)))) { \
    const uint32_t seen = flags >> (3 * (row)); \
    const uint32_t first = (seen & T1_SIGMA_NEIGHBOURS) != 0 ? T1_CTXNO_MAG + 1 : T1_CTXNO_MAG; \
    const uint32_t context = (seen & T1_MU_0) != 0 ? T1_CTXNO_MAG + 2 : first; \
    uint32_t bit; \
    MQ_DECODE(bit, context); \
    const int32_t value = data[(row) * width]; \
    const int32_t is_less = (value >> 31) ^ ((int32_t)bit - 1); \
    data[(row) * width] = value + ((half ^ is_less) - is_less); \
  }

/* Magnitude refinement (D.3.3) */
PASS void decode_refinement(opj_t1_t *t1, int32_t plane) {
  const int32_t half = (1 << plane) >> 1;
  PASS_BEGIN(t1)
    const uint32_t flags = *at;
    const uint32_t open = flags & ~(flags >> (T1_CHI_1_I + 2 - 4)) & ALL_SIGMA & rows;
    if (open == 0) continue;
    *at = flags | (open << (T1_CHI_1_I + 1 - 4));
    REFINEMENT_STEP(0)
    REFINEMENT_STEP(1)
    REFINEMENT_STEP(2)
    REFINEMENT_STEP(3)
  PASS_END();
}

#define CLEANUP_STEP(row) \
  if (open & (T1_SIGMA_THIS << (3 * (row)))) { \
    uint32_t is_significant; \
    MQ_DECODE(is_significant, ZERO_CONTEXT(row)); \
    if (is_significant) { \
      /* fall through */ \
      case 4 + (row): \
        DECODE_SIGN(row); \
    } \
  }

/* Cleanup with its run-lengths and segmentation symbols (D.3.4, D.3.5, D.5) */
PASS void decode_cleanup(opj_t1_t *t1, int32_t plane, int is_causal, int has_symbols) {
  const int32_t one_and_half = (1 << plane) | ((1 << plane) >> 1);
  const uint8_t *const zero_contexts = t1->mqc.lut_ctxno_zc_orient;
  PASS_BEGIN(t1)
    uint32_t flags = *at;
    uint32_t open = ~flags & ~(flags >> (T1_CHI_1_I + 2 - 4)) & rows;
    uint32_t enter = 0;
    if (flags == 0 && rows == ALL_SIGMA) {
      uint32_t is_any, high, low;
      MQ_DECODE(is_any, T1_CTXNO_AGG);
      if (!is_any) continue;
      MQ_DECODE(high, T1_CTXNO_UNI);
      MQ_DECODE(low, T1_CTXNO_UNI);
      enter = 4 + (high << 1 | low);
    }
    switch (enter) {
      case 0:
        CLEANUP_STEP(0)
        CLEANUP_STEP(1)
        CLEANUP_STEP(2)
        CLEANUP_STEP(3)
    }
    *at = flags & ~ALL_PI;
  PASS_END();
  if (has_symbols) {
    MQ_LOAD();
    for (uint32_t i = 0, symbol; i < 4; i++) MQ_DECODE(symbol, T1_CTXNO_UNI);
    MQ_STORE();
  }
}
