"""The current place of classes in state files of earlier versions, which had other modules or names.

A class whose objects are in states gets a row here when it moves or gets another name. A row may lead to another one:
the name of a version before both leads to that of today.
"""

_PACKAGE = "clearctl.strategies"

# Module then, module now, the classes; `Old:New` for one that got another name.
_ROWS = (
    ("augment", "stepping.augment", "BatchAugment SoftLabelLoss"),
    ("averaging", "stepping.averaging", "ExponentialMovingAverage"),
    ("batch", "watching.batch", "Batch BatchRecord Batches"),
    ("bic", "methods.bic", "BiCPlugin"),
    ("buffers", "methods.buffers", "BiasedReservoirSamplingBuffer"),
    ("clipping", "stepping.clipping", "GradientClipping"),
    ("closed_form", "methods.prototype", "Prototype"),
    ("closed_form", "methods.streaming_lda", "StreamingLDA"),
    ("epochs", "stepping.epochs", "Epochs GoingOn Place _Batches _Then"),
    ("evaluator", "watching.evaluator", "Evaluator _Phase"),
    ("ewc", "methods.ewc", "SampleEWCPlugin"),
    ("gather", "loading.gather", "CollatingLoader GatherBatches GatheringLoader _InOrder _Pixels"),
    ("head", "methods.head", "Embedding"),
    ("hooks", "watching.hooks", "_Trigger"),
    ("icarl", "methods.icarl", "ICaRL ICaRLLoss ICaRLPlugin NearestMean"),
    ("lockstep", "lockstep", "Anchors:QuadraticTerm Distillation:LwFTerm"),
    ("loggers", "loggers.csv", "CSVLogger"),
    ("loggers", "loggers.run_logger", "RunLogger"),
    ("loggers", "loggers.tensorboard", "TensorboardLogger _EventFile"),
    ("loggers", "loggers.text", "InteractiveLogger TextLogger _CurrentStderr"),
    ("loggers", "loggers.wandb", "WandBLogger"),
    ("memory", "methods.agem", "AGEMPlugin"),
    ("memory", "methods.gdumb", "GDumbPlugin"),
    ("observe", "watching.observe", "BucketAccuracy ProgressReporter"),
    ("positions", "loading.positions", "Batches Endless Pass SideBySide"),
    ("prefetch", "loading.prefetch", "Prefetch"),
    ("replay", "loading.resumable", "KnownPosition"),
    ("replay", "methods.der", "DER"),
    ("replay", "methods.er_ace", "ER_ACE"),
    ("replay", "methods.feature_replay", "FeatureReplay"),
    ("replay", "methods.mir", "MIR MIRPlugin"),
    ("replay", "methods.rar", "RARPlugin"),
    ("restore", "stepping.best_epoch", "RestoreBestEpoch"),
    ("rows", "loading.rows", "Rows _Leaves"),
    ("rwalk", "methods.rwalk", "RWalkPlugin"),
    ("schedule", "stepping.schedule", "SchedulerPlugin _Mean"),
    ("scratch", "methods.from_scratch", "FromScratchTrainingPlugin"),
    ("synaptic", "methods.synaptic", "SynapticIntelligencePlugin"),
    ("warmup", "stepping.warmup", "WarmUp"),
    # Since the modules are in folders.
    ("watching.batch", "watching.batch", "Batch:BatchResult Batches:BatchResults"),
    ("loading.gather", "loading.gather", "_Pixels:_TransformedRows"),
    ("loading.gather", "loading.in_order", "_InOrder:InOrder"),
    ("loading.positions", "loading.positions", "Batches:BatchIterator"),
    (
        "stepping.epochs",
        "stepping.epochs",
        "GoingOn:ResumePoint Place:BucketProgress _Batches:_CountingLoader _Then:_CallInTurn",
    ),
    ("stepping.lockstep", "lockstep", "Anchors:QuadraticTerm Distillation:LwFTerm Lockstep"),
    ("recipes", "recipes", "Split:SplitNetwork"),
)

_MOVED = {
    f"{_PACKAGE}.{before}.{old}": f"{_PACKAGE}.{now}.{new or old}"
    for before, now, names in _ROWS
    for old, _, new in (name.partition(":") for name in names.split())
}


def current_name(name: str) -> str:
    """The dotted name that a class has now, of the one that it had when a state was saved."""
    while name in _MOVED:
        name = _MOVED[name]
    return name
