"""Model zoos: the backbones of torchvision, mmcls, timm and open_clip, as their libraries define them."""
