# SGD on the features of a foundation model, whose squared length is some hundreds: far more than that of the published
# features, so that a learning rate of 1 would not come to rest.
dialect = "clearctl"
cl_strategy = dict(
    train_mb_size=256,
    eval_mb_size=256,
    train_epochs=100,
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0),
    scheduler=dict(type="StepLR", step_size=60, gamma=0.1),
    loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
    plugins=[dict(type="RestoreBestEpoch", metric="train_accuracy")],
)
