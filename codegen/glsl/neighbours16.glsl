/* Eight neighbours of 16 bits, one for each lane, as neighbours() does: chosen before they are widened, so that the loads stay one. */
uint neighbours16(Words16 q, int i)
{
    uint16_t r = q.d[i];
    r = lane == 1 ? q.d[i + 1] : r;
    r = lane == 2 ? q.d[i + 2] : r;
    r = lane == 3 ? q.d[i + 3] : r;
    r = lane == 4 ? q.d[i + 4] : r;
    r = lane == 5 ? q.d[i + 5] : r;
    r = lane == 6 ? q.d[i + 6] : r;
    return uint(lane == 7 ? q.d[i + 7] : r);
}
