# What the published experiments train a linear head on extracted features with; the strategies' files next to this one
# build on it. Each bucket ends with the epoch of the highest training accuracy, and the next begins with that. Memories
# have the images of one bucket of CLEAR-10: 3,300, of which the iid protocol trains on 2,310.
dialect = "clearctl"
cl_strategy = dict(
    train_mb_size=256,
    eval_mb_size=256,
    train_epochs=100,
    optimizer=dict(type="SGD", lr=1.0, momentum=0.9, weight_decay=0.0),
    scheduler=dict(type="StepLR", step_size=60, gamma=0.1),
    loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
    plugins=[dict(type="RestoreBestEpoch", metric="train_accuracy")],
)
