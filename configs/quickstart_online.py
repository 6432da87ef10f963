"""Online learning: a linear head with experience replay that sees each sample once, tested after every 4 steps.

`clearctl report` then has its anytime accuracy. Run `clearctl demo` once, then
    clearctl train quickstart_online --dataset-root clearctl-demo/dataset
"""

_base_ = ["quickstart_feature.py"]
name = "quickstart_online"

cl_strategy = dict(
    _delete_=True,
    type="Replay",
    mem_size=100,
    batch_size_mem=16,
    train_mb_size=16,
    eval_mb_size=256,
    train_epochs=1,
    eval_every_steps=4,
    optimizer=dict(type="SGD", lr=0.05),
)

work_dir = f"./work_dirs/{name}"
metrics = [dict(type="accuracy_metrics", experience=True, stream=True), dict(type="calibration_metrics")]
