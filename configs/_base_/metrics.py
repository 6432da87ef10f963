metrics = [
    dict(type="accuracy_metrics", minibatch=True, epoch=True, experience=True, stream=True),
    dict(type="loss_metrics", minibatch=True, epoch=True, experience=True, stream=True),
    dict(type="forgetting_metrics", experience=True, stream=True),
]
