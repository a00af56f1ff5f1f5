#define FOLDED @{folded} /* scores are a multiple of the product, which SCALE has taken in */
/* Scores are exponents of 2 when multiplied by this. */
const float SCALE = @{scale}, SLACK = 8.0 / SCALE;
float weight(float x, float relative_to)
{
#if FOLDED
    return exp2(fma(x, SCALE, -relative_to * SCALE));
#else
    return exp2((x - relative_to) * SCALE); /* masks of -3.4e38, times SCALE, are infinite */
#endif
}
/* What weights are relative to where `highest` is the largest score: where nothing is attended to yet there is nothing to scale. */
float reference(float highest)
{
    return highest == NONE ? 0.0 : highest;
}
