# Plain fine-tuning on one bucket after another, with the settings of the published image experiments: each bucket ends
# with the epoch of the highest training accuracy.
dialect = "clearctl"
cl_strategy = dict(
    type="Naive",
    train_mb_size=64,
    eval_mb_size=64,
    train_epochs=70,
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-5),
    scheduler=dict(type="StepLR", step_size=30, gamma=0.1),
    loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
    plugins=[dict(type="RestoreBestEpoch", metric="train_accuracy")],
)
