/* ResNet (He et al., "Deep Residual Learning for Image Recognition", 2015). Parameter names are those of torchvision
 * ("layer1.0.conv1.weight", ...), so that a program with trained weights at hand supplies them through dlvk_graph_weights().
 * Input: x, f32[batch,3,224,224]; output: the scores (logits) of 1000 classes. */
#include "zoo.h"
#include <stdio.h>

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

static void resnet(dlvk_graph *g, const int blocks[4], bool bottleneck)
{
    dlvk_window pool = dlvk_window_2d(3, 2, 1);
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,3,224,224");
    x = dlvk_max_pool(g, conv_norm(g, x, "conv1", "bn1", 64, 7, 2, true), &pool);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < blocks[stage]; i++) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            dlvk_scope_push(g, name);
            x = block(g, x, (int64_t)64 << stage, stage > 0 && i == 0 ? 2 : 1, bottleneck);
            dlvk_scope_pop(g);
        }
    dlvk_output(g, "scores", dlvk_dense(g, dlvk_global_average_pool(g, x), "fc", 1000));
}

void zoo_resnet18(dlvk_graph *g)
{
    resnet(g, (const int[]){2, 2, 2, 2}, false);
}
void zoo_resnet34(dlvk_graph *g)
{
    resnet(g, (const int[]){3, 4, 6, 3}, false);
}
void zoo_resnet50(dlvk_graph *g)
{
    resnet(g, (const int[]){3, 4, 6, 3}, true);
}
void zoo_resnet101(dlvk_graph *g)
{
    resnet(g, (const int[]){3, 4, 23, 3}, true);
}
void zoo_resnet152(dlvk_graph *g)
{
    resnet(g, (const int[]){3, 8, 36, 3}, true);
}
