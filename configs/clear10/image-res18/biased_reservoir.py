# Biased reservoir: CLEAR-10, images with ResNet-18, streaming protocol.
_base_ = ["../../_base_/clear10.py", "../../_base_/metrics.py", "../../_base_/biased_reservoir.py"]

model = dict(
    backbone=dict(type="ResNet", depth=18),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=512),
)
cl_strategy = dict(
    buffer=dict(alpha_mode="Dynamic", alpha_value=1.0),
    train_mb_size=64,
    eval_mb_size=64,
    train_epochs=70,
    optimizer=dict(lr=0.01, weight_decay=1e-5),
    scheduler=dict(step_size=30),
)
data = dict(workers=2)
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/clear10/image-res18_biased_reservoir"
