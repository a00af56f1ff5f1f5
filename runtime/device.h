/* Finding devices: between device_find.c, which looks, and device.c, which opens. */
#ifndef DLVK_RUNTIME_DEVICE_H
#define DLVK_RUNTIME_DEVICE_H

#include "runtime/vk.h"

typedef struct DeviceFeatures {
    VkPhysicalDeviceFeatures2 base;
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceVulkan13Features v13;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat;
    VkPhysicalDeviceShaderObjectFeaturesEXT shader_object;
} DeviceFeatures;

/* Links the structs for vkGetPhysicalDeviceFeatures2 and vkCreateDevice, those of extensions where they are there. */
void device_chain(DeviceFeatures *f, bool coopmat, bool shader_object);
/* user: the device that counts validation messages (its messenger is set), or NULL for no validation. */
dlvk_status device_make_instance(dlvk_device *user, VkInstance *out, dlvk_error *err);
/* Finds the device that `which` names (dlvk_device_open) and fills in what depends on it alone; *f: what it supports. */
dlvk_status device_choose(dlvk_device *d, const char *which, DeviceFeatures *f, dlvk_error *err);

#endif
