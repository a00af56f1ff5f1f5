/* Eight neighbours of 16 bits, one for each lane, as neighbours() does: chosen before they are widened, so that the loads stay one. */
uint neighbours16(Words16 q, int i)
{
    uint r = uint(q.d[i]);
    r = mix(r, uint(q.d[i + 1]), lane == 1);
    r = mix(r, uint(q.d[i + 2]), lane == 2);
    r = mix(r, uint(q.d[i + 3]), lane == 3);
    r = mix(r, uint(q.d[i + 4]), lane == 4);
    r = mix(r, uint(q.d[i + 5]), lane == 5);
    r = mix(r, uint(q.d[i + 6]), lane == 6);
    return mix(r, uint(q.d[i + 7]), lane == 7);
}
