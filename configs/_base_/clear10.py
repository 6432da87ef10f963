# CLEAR-10 on images, streaming protocol: train and test stream are all of each bucket. Bucket i has the task label i,
# as in the published experiments.
# The folder is --dataset-root, else $CLEARCTL_DATASET_ROOT, else dataset/CLEAR-10-PUBLIC.
img_norm_cfg = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
train_pipeline = [
    dict(type="Resize", size=224),
    dict(type="RandomCrop", size=224),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="ToTensor"),
    dict(type="Normalize", **img_norm_cfg),
]
test_pipeline = [
    dict(type="Resize", size=256),
    dict(type="CenterCrop", size=224),
    dict(type="ToTensor"),
    dict(type="Normalize", **img_norm_cfg),
]

scenario = dict(
    dataset_type="CLEAR",
    data_name="clear10",
    evaluation_protocol="streaming",
    task_labels="bucket",
    train_transform=train_pipeline,
    eval_transform=test_pipeline,
)
