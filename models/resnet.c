/* ResNet (He et al., "Deep Residual Learning for Image Recognition", 2015), written with dlvk/graph.h alone.
 *
 *     resnet 18|34|50|101|152 OUT.dlvk
 *
 * Weights are random, from a fixed seed; parameter names are those of torchvision ("layer1.0.conv1.weight", ...), so that a
 * program with trained weights at hand supplies them through dlvk_graph_weights(). Input: x, f32[batch,3,224,224]. */
#include "program.h"
#include <stdlib.h>
#include <string.h>

/* A convolution without bias, batch norm after it, and (or not) a relu. */
static dlvk_value conv_norm(dlvk_graph *g, dlvk_value x, const char *conv, const char *norm, int64_t channels, int64_t kernel,
                            int64_t stride, bool relu)
{
    dlvk_window w = dlvk_window_2d(kernel, stride, kernel / 2);
    w.no_bias = true;
    x = dlvk_batch_norm(g, dlvk_conv(g, x, conv, channels, &w), norm, 1e-5);
    return relu ? dlvk_relu(g, x) : x;
}

/* Two 3x3 convolutions (basic), or 1x1, 3x3, 1x1 (bottleneck), and the way past them. */
static dlvk_value block(dlvk_graph *g, dlvk_value x, int64_t width, int64_t stride, bool bottleneck)
{
    int64_t channels = bottleneck ? 4 * width : width;
    dlvk_value y = x;
    if (bottleneck) {
        y = conv_norm(g, y, "conv1", "bn1", width, 1, 1, true);
        y = conv_norm(g, y, "conv2", "bn2", width, 3, stride, true);
        y = conv_norm(g, y, "conv3", "bn3", channels, 1, 1, false);
    } else {
        y = conv_norm(g, y, "conv1", "bn1", width, 3, stride, true);
        y = conv_norm(g, y, "conv2", "bn2", width, 3, 1, false);
    }
    if (stride != 1 || dlvk_dim(x, 1) != channels)
        x = conv_norm(g, x, "downsample.0", "downsample.1", channels, 1, stride, false);
    return dlvk_relu(g, dlvk_add(g, x, y));
}

static dlvk_value resnet(dlvk_graph *g, dlvk_value x, const int blocks[4], bool bottleneck, int64_t classes)
{
    dlvk_window pool = dlvk_window_2d(3, 2, 1);
    x = dlvk_max_pool(g, conv_norm(g, x, "conv1", "bn1", 64, 7, 2, true), &pool);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < blocks[stage]; i++) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            dlvk_scope_push(g, name);
            x = block(g, x, (int64_t)64 << stage, stage > 0 && i == 0 ? 2 : 1, bottleneck);
            dlvk_scope_pop(g);
        }
    return dlvk_dense(g, dlvk_global_average_pool(g, x), "fc", classes);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *depth;
        int blocks[4];
        bool bottleneck;
    } table[] = {{"18", {2, 2, 2, 2}, false},
                 {"34", {3, 4, 6, 3}, false},
                 {"50", {3, 4, 6, 3}, true},
                 {"101", {3, 4, 23, 3}, true},
                 {"152", {3, 8, 36, 3}, true}};
    for (size_t i = 0; argc == 3 && i < sizeof table / sizeof *table; i++) {
        if (strcmp(argv[1], table[i].depth) != 0) continue;
        dlvk_graph *g = dlvk_graph_new("resnet");
        dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,3,224,224");
        dlvk_output(g, "scores", resnet(g, x, table[i].blocks, table[i].bottleneck, 1000));
        return write_bundle(g, argv[2]);
    }
    fprintf(stderr, "usage: %s 18|34|50|101|152 OUT.dlvk\n", argv[0]);
    return 2;
}
