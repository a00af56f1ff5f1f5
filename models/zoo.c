#include "zoo.h"

const ZooModel zoo[] = {
    {"lenet", "LeNet-5 for 28x28 grey images and 10 classes", zoo_lenet},
    {"mlp", "one hidden layer for 784 numbers and 10 classes", zoo_mlp},
    {"resnet18", "ResNet for 224x224 colour images and 1000 classes, as are the next", zoo_resnet18},
    {"resnet34", "", zoo_resnet34},
    {"resnet50", "with bottlenecks, as are the next", zoo_resnet50},
    {"resnet101", "", zoo_resnet101},
    {"resnet152", "", zoo_resnet152},
    {NULL, NULL, NULL},
};
