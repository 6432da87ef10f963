"""Predictions are the answers of the run's tests, without its dataset; what cannot be answered is refused by name."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predicting import BUCKETS, OnFeatures, accuracy, make_on_features, matrix, test_images
from rehearsal.gpu import RehearsalGpu

from clearctl import predict, rundir, train
from clearctl.errors import ClearctlError, DatasetError, RunError, UsageError
from clearctl.progress import Counted, Message

test_images.__test__ = False


@pytest.fixture
def moved(trained, prepared, tmp_path):
    """A run whose dataset is gone, and the images of one class on their own."""
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    text = rundir.config_file(run).read_text()
    rundir.config_file(run).write_text(text.replace(str(prepared), str(tmp_path / "gone")))
    shutil.copytree(prepared / "labeled_images/0/camera", tmp_path / "photos")
    return run


def photos(folder: Path) -> list[Path]:
    return sorted((folder / "photos").glob("*.jpg"))


def test_the_answers_are_those_of_the_runs_tests(trained, prepared) -> None:
    assert matrix(trained.run, prepared) == trained.matrix.tolist()


def test_the_dataset_is_not_needed(moved, tmp_path) -> None:
    events = []
    result = predict(moved, tmp_path / "photos", device="cpu", listener=events.append)
    assert result.images == photos(tmp_path)
    assert (result.bucket, result.class_names) == ("2", ["BACKGROUND", "camera", "cup of tea"])
    assert result.scores.shape == (12, 3)
    assert np.allclose(result.probabilities.sum(axis=1), 1)
    indices, values = result.top(2)
    assert [result.class_names[index] for index in indices[:, 0]] == result.labels
    assert (values[:, 0] >= values[:, 1]).all()
    assert repr(result).startswith("PredictResult(12 images, 3 classes, bucket '2': ")
    assert len(repr(result)) < 100
    assert events[-1] == Counted("predict", 12, 12, "images")


def test_a_bucket_by_its_name_and_a_checkpoint_in_the_run(moved, tmp_path) -> None:
    files = photos(tmp_path)
    first = predict(moved, files, bucket="0", device="cpu")
    by_file = predict(moved / "checkpoints/exp_1.pth", files, device="cpu")
    history = predict(moved, files, all_buckets=True, device="cpu")
    assert list(history.history) == list(BUCKETS)
    for found in (by_file.scores, history.history["0"]):
        assert np.array_equal(found, first.scores)
    assert by_file.bucket == "0"
    assert not np.array_equal(history.history["2"], first.scores)


def test_a_checkpoint_outside_of_a_run(moved, tiny_config, prepared, tmp_path) -> None:
    shutil.copy(moved / "checkpoints/exp_3.pth", tmp_path / "last.pth")
    expected = predict(moved, photos(tmp_path), device="cpu").scores
    with pytest.raises(UsageError, match=r"is not in a run folder.*\n.*--config RUN\|FILE"):
        predict(tmp_path / "last.pth", photos(tmp_path), device="cpu")
    for config in (moved, tiny_config):
        messages = []
        result = predict(tmp_path / "last.pth", photos(tmp_path), config=config, device="cpu", listener=messages.append)
        assert np.array_equal(result.scores, expected)
        assert result.bucket == "last"
        warned = [event.text for event in messages if isinstance(event, Message) and event.warning]
        # The config alone does not know the names, and there is no dataset.
        assert (warned == []) == (config == moved)
        assert result.class_names[1] == ("camera" if config == moved else "class 1")


def test_files_folders_and_patterns(moved, tmp_path) -> None:
    files = photos(tmp_path)
    (tmp_path / "photos/below").mkdir()
    shutil.move(files[0], tmp_path / "photos/below/b10.jpg")
    shutil.move(files[1], tmp_path / "photos/below/b9.JPG")
    shutil.copy(files[2], tmp_path / "noname")
    (tmp_path / "photos/notes.txt").write_text("no image")
    sources = [tmp_path / "noname", str(tmp_path / "photos/be*/*"), tmp_path / "photos", files[2]]
    found = predict(moved, sources, device="cpu").images
    names = ["noname", "photos/below/b9.JPG", "photos/below/b10.jpg", *(f"photos/{file.name}" for file in files[2:])]
    assert [str(file.relative_to(tmp_path)) for file in found] == names


def test_bad_images_are_counted_and_named(moved, tmp_path) -> None:
    files = photos(tmp_path)
    for number in range(4):
        (tmp_path / f"photos/bad{number}.jpg").write_text("no image")
    files[0].write_bytes(files[0].read_bytes()[:200])
    Image.new("RGB", (9, 9)).save(tmp_path / "photos/small.png")  # CenterCrop fills it up
    with pytest.raises(DatasetError) as caught:
        predict(moved, [*files, tmp_path / "photos"], device="cpu")
    text = str(caught.value)
    assert text.startswith(f"5 of 17 images cannot be read: {files[0]}: it cannot be decoded: ")
    assert text.splitlines()[0].count(": it cannot be decoded: ") == 3
    assert "and 2 more\n" in text
    result = predict(moved, tmp_path / "photos", skip_bad=True, device="cpu")
    assert len(result.images) == len(result.scores) == 12
    assert len(result.unreadable) == 5
    good = predict(moved, result.images, device="cpu")
    assert np.array_equal(good.labels, result.labels)


@pytest.mark.parametrize("name", ["nowhere.jpg", "photos/*.tiff", "empty"])
def test_names_without_an_image(name, moved, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no such file|without images") as caught:
        predict(moved, [*photos(tmp_path)[:1], tmp_path / name], device="cpu")
    assert str(tmp_path / name) in str(caught.value)


def test_images_of_several_sizes(tmp_path, trained) -> None:
    """Where the transform leaves their sizes each is answered as it would be alone."""
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    config = rundir.config_file(run)
    config.write_text(re.sub(r"\{'type': 'CenterCrop', 'size': 14\},\s*", "", config.read_text()))
    assert "CenterCrop" not in config.read_text()
    generator = np.random.default_rng(0)
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for file, size in zip(files, (16, 20, 16, 33), strict=True):
        Image.fromarray(generator.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(file)
    together = predict(run, files, device="cpu").scores
    alone = np.concatenate([predict(run, file, device="cpu").scores for file in files])
    assert np.allclose(together, alone, atol=1e-5)


def test_generators_stay_as_they_are(moved, tmp_path) -> None:
    before = torch.get_rng_state()
    predict(moved, photos(tmp_path)[0], device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


# What is refused


def test_weights_that_are_not_there(moved, tmp_path) -> None:
    (moved / "checkpoints/exp_2.pth").unlink()
    with pytest.raises(RunError, match=r"no weights after bucket 1: checkpoints/exp_2.pth .*\n.*after bucket 0 and 2"):
        predict(moved, photos(tmp_path), bucket="1", device="cpu")
    messages = []
    result = predict(moved, photos(tmp_path), all_buckets=True, device="cpu", listener=messages.append)
    assert (list(result.history), result.without_weights) == (["0", "2"], ["1"])
    assert Message("there are no weights after bucket 1", warning=True) in messages
    shutil.rmtree(moved / "checkpoints")
    with pytest.raises(RunError, match="has no weights"):
        predict(moved, photos(tmp_path), device="cpu")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"bucket": "7"}, UsageError, "--bucket 7: the run has trained on 0, 1 and 2"),
        ({"bucket": "1", "all_buckets": True}, UsageError, "--bucket and --all-buckets exclude each other"),
        ({"batch_size": 0}, UsageError, "--batch-size 0"),
        ({"images": []}, UsageError, "no images given"),
        ({"target": "photos"}, RunError, "photos is not a run folder"),
        ({"target": "run/checkpoints/exp_9.pth"}, RunError, r"no run folder or checkpoint at .*exp_9.pth"),
        ({"config": "run"}, UsageError, "--config is for a checkpoint outside a run folder"),
        ({"extractor_weights": "x.pth"}, UsageError, "--extractor-weights is for runs on features"),
    ],
)
def test_what_makes_no_sense(arguments, error, text, moved, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"target": moved, "images": photos(tmp_path), "device": "cpu", **arguments}
    with pytest.raises(error, match=text):
        predict(given.pop("target"), given.pop("images"), **given)


@pytest.mark.parametrize("kept", [10, 0.5])
def test_damaged_and_diverged_weights(kept, moved, tmp_path) -> None:
    file = moved / "checkpoints/exp_3.pth"
    whole = file.read_bytes()
    weights = torch.load(file, weights_only=True)
    file.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(RunError, match=str(file)):
        predict(moved, photos(tmp_path), device="cpu")
    (moved / "checkpoints/SHA256SUMS").unlink()
    weights["head.fc.bias"][0] = float("nan")
    torch.save(weights, file)
    with pytest.raises(RunError, match=r"not finite: head.fc.bias"):
        predict(moved, photos(tmp_path), device="cpu")


# Runs on features


@pytest.fixture(scope="module")
def on_features(tmp_path_factory: pytest.TempPathFactory) -> OnFeatures:
    """Not to be changed."""
    return make_on_features(tmp_path_factory.mktemp("features"))


@pytest.fixture
def apart(on_features, tmp_path):
    """The run and the weights without the dataset, whose place is empty; and an image."""
    run = tmp_path / "run"
    shutil.copytree(on_features.trained.run, run)
    for file in (rundir.config_file(run), rundir.environment_file(run)):
        text = file.read_text().replace(str(on_features.weights), str(tmp_path / "weights.pth"))
        file.write_text(text.replace(str(on_features.root), str(tmp_path / "gone")))
    shutil.copy(on_features.weights, tmp_path / "weights.pth")
    return run


def an_image(on_features) -> Path:
    return test_images(on_features.root, "2")[0][0]


def test_features_are_made_as_they_were(on_features) -> None:
    assert matrix(on_features.trained.run, on_features.root) == on_features.trained.matrix.tolist()
    assert len({tuple(row) for row in on_features.trained.matrix.tolist()}) > 1


def test_the_dataset_and_its_features_are_not_needed(apart, on_features) -> None:
    found = predict(apart, an_image(on_features), device="cpu")
    there = predict(on_features.trained.run, an_image(on_features), device="cpu")
    assert np.array_equal(found.scores, there.scores)


def test_weights_that_lie_elsewhere_are_named(apart, on_features, tmp_path) -> None:
    expected = predict(apart, an_image(on_features), device="cpu").scores
    shutil.move(tmp_path / "weights.pth", tmp_path / "moved.pth")
    with pytest.raises(DatasetError, match=r"weights.pth, which no longer exists\n.*--extractor-weights FILE"):
        predict(apart, an_image(on_features), device="cpu")
    found = predict(apart, an_image(on_features), extractor_weights=tmp_path / "moved.pth", device="cpu")
    assert np.array_equal(found.scores, expected)


def test_other_weights_are_refused(apart, on_features, tmp_path) -> None:
    weights = torch.load(tmp_path / "weights.pth", weights_only=True)
    weights["conv1.weight"][0, 0, 0, 0] += 1e-3
    torch.save(weights, tmp_path / "weights.pth")
    with pytest.raises(DatasetError, match=r"have the sha256 \w{12}\.\.\., expected \w{12}\.\.\.") as caught:
        predict(apart, an_image(on_features), device="cpu")
    assert caught.value.exit_code == 4


def test_a_run_of_before_it_noted_how_its_features_were_made(on_features, tmp_path) -> None:
    root, run = tmp_path / "clear", tmp_path / "run"
    shutil.copytree(on_features.root, root)
    shutil.copytree(on_features.trained.run, run)
    environment = json.loads(rundir.environment_file(run).read_text())
    del environment["extraction"]
    rundir.environment_file(run).write_text(json.dumps(environment))
    rundir.config_file(run).write_text(rundir.config_file(run).read_text().replace(str(on_features.root), str(root)))
    expected = predict(on_features.trained.run, an_image(on_features), device="cpu").scores
    assert np.array_equal(predict(run, an_image(on_features), device="cpu").scores, expected)
    features = root / "training_folder/features/small"
    for bucket in BUCKETS:  # made again, otherwise
        x, labels = torch.load(features / bucket / "all.pth", weights_only=True)
        torch.save((x + 1, labels), features / bucket / "all.pth")
    record = json.loads((features / "extraction.json").read_text())
    (features / "extraction.json").write_text(json.dumps({**record, "buckets": {}}))
    with pytest.raises(DatasetError, match="the run was trained on others"):
        predict(run, an_image(on_features), device="cpu")
    (features / "extraction.json").unlink()
    with pytest.raises(DatasetError, match=r"extraction.json, which does not exist\n"):
        predict(run, an_image(on_features), device="cpu")


# Strategies whose answers are not the softmax of a network

METHODS = {
    "ICaRL": ("nearness to class means", dict(memory_size=9, optimizer=dict(type="SGD", lr=0.5), train_epochs=2)),
    "Prototype": ("nearness to class means", {}),
    "NCM": ("nearness to class means", {}),
    "Ridge": ("regressions onto one-hot labels", dict(ridge_lambda=1.0)),
    "FeCAM": ("nearness to class means", {}),
    "StreamingLDA": (None, {}),
    "BatchSLDA": (None, dict(shrinkage_param=0.1)),
}


@pytest.mark.parametrize("strategy", METHODS)
def test_other_strategies_answer_as_in_their_tests(strategy, on_features, tmp_path) -> None:
    what, arguments = METHODS[strategy]
    head = "FeCAMHead" if strategy == "FeCAM" else "LinearClsHead"
    given = {"type": strategy, "train_mb_size": 8, "eval_mb_size": 16, **arguments}
    values = {"model": {"head": {"type": head, "num_classes": 3, "in_channels": "features"}}, "cl_strategy": given}
    file = tmp_path / "other.py"
    lines = on_features.config.read_text().splitlines()
    lines = [line for line in lines if not line.startswith(("model", "cl_strategy"))]
    file.write_text("\n".join([*lines, *(f"{key} = {value!r}" for key, value in values.items())]))
    run = train(file, device="cpu", work_dir=tmp_path / "runs", dataset_root=on_features.root)
    images, labels = zip(*test_images(on_features.root, "2"), strict=True)
    result = predict(run.run, images, all_buckets=True, device="cpu")
    assert [accuracy(result, list(labels), bucket) for bucket in BUCKETS] == run.matrix[:, 2].tolist()
    if what is None:
        assert result.no_probabilities is None
    else:
        assert f"the scores of {strategy} are {what}" in result.no_probabilities
        assert result.probabilities is None
        assert np.array_equal(result.top(3)[1].astype(np.float32), -np.sort(-result.scores, axis=1))


def test_a_strategy_that_changes_answers_in_tests_is_refused(on_features, tmp_path) -> None:
    overrides = [
        "cl_strategy.plugins=[{'type': 'BiCPlugin', 'mem_size': 20, 'val_percentage': 0.2, 'stage_2_epochs': 1}]"
    ]
    run = train(on_features.config, device="cpu", work_dir=tmp_path, dataset_root=on_features.root, overrides=overrides)
    with pytest.raises(RunError, match="BiCPlugin changes the network's outputs in tests"):
        predict(run.run, an_image(on_features), device="cpu")


def test_the_weights_that_a_run_began_with_are_not_needed(trained, prepared, tiny_config, tmp_path) -> None:
    first = tmp_path / "first.pth"
    shutil.copy(trained.run / "checkpoints/exp_1.pth", first)
    overrides = [
        f"model.init_cfg={[{'type': 'Pretrained', 'checkpoint': str(first)}]!r}",
        f"load_from={str(first)!r}",
        "cl_strategy.train_epochs=1",
        "scenario.buckets=['0','1']",
    ]
    run = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=overrides).run
    image = test_images(prepared, "0")[0][0]
    expected = predict(run, image, device="cpu").scores
    first.unlink()
    assert np.array_equal(predict(run, image, device="cpu").scores, expected)


def test_python_users_are_warned_of_nothing(moved, tmp_path, recwarn) -> None:
    predict(moved, photos(tmp_path)[0], device="cpu")
    assert [str(warning.message) for warning in recwarn if "logger" in str(warning.message)] == []


# On a GPU, rehearsed


@pytest.mark.parametrize("kind", ["images", "features"])
def test_everything_that_meets_lies_on_the_gpu(kind, trained, prepared, on_features) -> None:
    run, root = (trained.run, prepared) if kind == "images" else (on_features.trained.run, on_features.root)
    images = [file for file, _ in test_images(root, "1")]
    with RehearsalGpu() as gpu:
        result = predict(run, images, all_buckets=True, device="cuda", workers=0, batch_size=4)
    expected = predict(run, images, all_buckets=True, device="cpu", batch_size=4)
    for bucket in BUCKETS:
        assert np.array_equal(result.history[bucket], expected.history[bucket])
    assert gpu.touched == {0}
    assert not gpu.unpinned


def test_a_checkpoint_whose_name_alone_was_noted(apart, on_features, tmp_path) -> None:
    """Earlier versions noted no path."""
    environment = json.loads(rundir.environment_file(apart).read_text())
    del environment["extraction"]["about"]["weights"]["file"]
    rundir.environment_file(apart).write_text(json.dumps(environment))
    with pytest.raises(DatasetError, match=r"the weights of a file called weights.pth\ngive the file with"):
        predict(apart, an_image(on_features), device="cpu")
    assert predict(apart, an_image(on_features), extractor_weights=tmp_path / "weights.pth", device="cpu").images


def test_a_note_that_no_run_writes(apart, on_features) -> None:
    environment = json.loads(rundir.environment_file(apart).read_text())
    whole = environment["extraction"]["settings"]
    for settings, text in (
        ({**whole, "weights_sha256": 5}, "extraction: settings.weights_sha256: found 5, expected str"),
        ({**whole, "transform": [{"type": "no_such_module:Class"}]}, "module 'no_such_module' cannot be imported"),
        ({**whole, "arch": "nothing"}, "nothing"),
    ):
        environment["extraction"]["settings"] = settings
        rundir.environment_file(apart).write_text(json.dumps(environment))
        with pytest.raises(ClearctlError, match=text):
            predict(apart, an_image(on_features), device="cpu")
