# What CLEAR's papers train a linear head on extracted features with. The strategies' files beside this one build on it.
cl_strategy = dict(
    train_mb_size=256,
    eval_mb_size=256,
    train_epochs=100,
    optimizer=dict(type="SGD", lr=1.0, momentum=0.9, weight_decay=0.0),
    scheduler=dict(type="StepLR", step_size=60, gamma=0.1),
    loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
)
