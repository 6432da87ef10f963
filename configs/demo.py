# The published demo: ResNet-50 from scratch on CLEAR-10's images, bucket after bucket.
# Momentum 0.9 is that of the predecessor's base and of the papers' code; its README has none.
#   clearctl train configs/demo.py --device cuda
_base_ = ["_base_/clear10.py", "_base_/naive.py", "_base_/metrics.py"]

name = "clear10_r50"
batch_size = 64

model = dict(
    backbone=dict(type="ResNet", depth=50),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=2048),
)

cl_strategy = dict(
    train_mb_size=batch_size,
    eval_mb_size=batch_size,
    optimizer=dict(lr=0.01 * batch_size / 64),
)

work_dir = f"./work_dirs/{name}"
data = dict(workers=2)
loggers = [
    dict(type="TextLogger"),
    dict(type="InteractiveLogger"),
    dict(type="WandBLogger", project_name="avalanche", run_name=name),
]
