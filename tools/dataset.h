/* Labelled images from IDX files (the format of MNIST: yann.lecun.com/exdb/mnist), and how they get into a model. */
#ifndef DLVK_TOOLS_DATASET_H
#define DLVK_TOOLS_DATASET_H

#include "tools/dlvkc.h"

typedef struct Dataset {
    int64_t count, size; /* images; pixels in one */
    int64_t height, width;
    int classes;           /* the largest label and 1 */
    unsigned char *pixels; /* count * size */
    unsigned char *labels; /* count */
} Dataset;

/* Reads DIR/PART-images-idx3-ubyte and DIR/PART-labels-idx1-ubyte, each also with .gz (or with a dot before idx, as some sets
 * have them). Files that are short, long, of another type, or whose counts differ are refused. */
bool dataset_read(const char *dir, const char *part, Dataset *d);
bool dataset_exists(const char *dir, const char *part); /* there is an images file */
void dataset_free(Dataset *d);

/* A model's input for images: dimension 0 counts them, the others hold size elements together. Pixels become
 * (pixel / 255 - mean) / deviation, or stay as they are where the input is of integers. */
typedef struct ImageInput {
    const char *name; /* the model's */
    dlvk_dtype dtype;
    int rank;
    int64_t dim[DLVK_MAX_RANK];
    int64_t batch; /* what the model fixes it to; -1: any */
    size_t element;
    unsigned char table[256 * 8]; /* what a pixel becomes */
} ImageInput;
/* The one input that images of `d` fit into; skip: names of inputs that are something else, ended by NULL. */
bool image_input_find(ImageInput *in, const dlvk_model *m, const Dataset *d, const char *const *skip, double mean,
                      double deviation);
/* n images by their numbers, into room for n * d->size elements. */
void image_input_fill(const ImageInput *in, const Dataset *d, const int64_t *index, int64_t n, void *to);
dlvk_status image_input_set(const ImageInput *in, dlvk_session *s, int64_t n, const Dataset *d, const void *data,
                            dlvk_error *err);

/* The order of the images in an epoch: a permutation that depends on seed and epoch alone. */
void dataset_shuffle(int64_t *order, int64_t n, uint64_t seed, int epoch);

#endif
