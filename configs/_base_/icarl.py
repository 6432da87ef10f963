# iCaRL: exemplars by herding, sigmoid outputs, nearest mean of exemplars. It has its own loss.
dialect = "clearctl"
cl_strategy = dict(
    type="ICaRL",
    memory_size=3300,
    fixed_memory=True,
    train_mb_size=256,
    eval_mb_size=256,
    train_epochs=100,
    optimizer=dict(type="SGD", lr=1.0, momentum=0.9, weight_decay=0.0),
    scheduler=dict(type="StepLR", step_size=60, gamma=0.1),
)
