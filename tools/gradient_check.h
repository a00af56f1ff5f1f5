/* Gradients on the device against differences in the interpreter. */
#ifndef DLVK_TOOLS_GRADIENT_CHECK_H
#define DLVK_TOOLS_GRADIENT_CHECK_H

#include "tools/dlvkc.h"

typedef enum GradientOutcome { GRADIENT_PASS, GRADIENT_FAIL, GRADIENT_SKIP } GradientOutcome;
/* The gradients of a random projection of the model's outputs with respect to its float inputs, at these inputs (by position;
 * NULL: made as for light models). At a kink any slope between those of its two sides will do; elements at which the outputs jump
 * are passed over, and models with sequences or optionals among the inputs. *detail is to be freed. */
GradientOutcome gradient_check(dlvk_device *device, const char *path, const dlvk_host_value *inputs, int n_in, int threads,
                               char **detail);

#endif
