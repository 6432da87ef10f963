"""Model zoos: the backbones of torchvision, mmcls, timm and open_clip, each as its library means it."""
