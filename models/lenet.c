/* LeNet-5 (LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998), in the usual later form with max
 * pooling and relu, and with 8 and 32 channels where the original has 6 and 16: they fill vectors, and learn faster. Input: x,
 * f32[batch,1,28,28]; output: the ten classes' scores (logits). */
#include "zoo.h"

void zoo_lenet(dlvk_graph *g)
{
    dlvk_window wide = dlvk_window_2d(5, 1, 2), narrow = dlvk_window_2d(5, 1, 0), pool = dlvk_window_2d(2, 2, 0);
    dlvk_value x = dlvk_input(g, "x", DLVK_F32, "batch,1,28,28");
    x = dlvk_max_pool(g, dlvk_relu(g, dlvk_conv(g, x, "conv1", 8, &wide)), &pool);
    x = dlvk_max_pool(g, dlvk_relu(g, dlvk_conv(g, x, "conv2", 32, &narrow)), &pool);
    x = dlvk_flatten(g, x, 1);
    x = dlvk_relu(g, dlvk_dense(g, x, "fc1", 120));
    x = dlvk_relu(g, dlvk_dense(g, x, "fc2", 84));
    dlvk_output(g, "scores", dlvk_dense(g, x, "fc3", 10));
}
