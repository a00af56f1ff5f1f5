/* Eight neighbours, one for each lane. Written so that a CPU driver sees eight scalar loads in a row and makes them one vector load. */
float neighbours(BufF32 q, int i)
{
    float r = q.d[i];
    r = mix(r, q.d[i + 1], lane == 1);
    r = mix(r, q.d[i + 2], lane == 2);
    r = mix(r, q.d[i + 3], lane == 3);
    r = mix(r, q.d[i + 4], lane == 4);
    r = mix(r, q.d[i + 5], lane == 5);
    r = mix(r, q.d[i + 6], lane == 6);
    return mix(r, q.d[i + 7], lane == 7);
}
