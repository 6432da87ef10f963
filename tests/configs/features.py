# A linear head on features of 5 numbers called `tiny`.
dialect = "clearctl"
scenario = dict(dataset_type="CLEAR", evaluation_protocol="iid", seed=0, feature_type="tiny")
model = dict(head=dict(type="LinearClsHead", num_classes=3, in_channels=5))
cl_strategy = dict(type="Naive", train_mb_size=8, eval_mb_size=16, train_epochs=2, optimizer=dict(type="SGD", lr=0.1))
metrics = [dict(type="accuracy_metrics", experience=True)]
loggers = []
