"""Images are opened at one place, by decoders that run nothing; a damaged image is an error that names its file."""

import io
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError
from report.folders import make_run

import clearctl
from clearctl.data.samples import ImageSamples
from clearctl.dataset.verify import verify
from clearctl.errors import DatasetError
from clearctl.images import FORMATS, open_image
from clearctl.report.runs import read_run
from clearctl.report.thumbnails import sample_images

PACKAGE = Path(clearctl.__file__).parent
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(ran) (w) file\nshowpage\n"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once Ghostscript, of which this is a stand-in on the PATH, has been started."""
    folder, ran = tmp_path / "bin", tmp_path / "ran"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (folder / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # Pillow looks for it once
    return ran


def test_postscript_called_jpg_runs_nowhere(clear_folder: Callable[..., Path], tmp_path: Path, ran: Path) -> None:
    with Image.open(io.BytesIO(POSTSCRIPT)) as image, pytest.raises(OSError, match=".+"):
        image.load()
    assert ran.exists()  # as Pillow alone does
    ran.unlink()

    root = clear_folder()
    clearctl.prepare_avalanche(root, test_ratio=0)
    images = sorted(path.relative_to(root) for path in root.rglob("*.jpg"))
    for path in images:
        (root / path).write_bytes(POSTSCRIPT)
    with pytest.raises(
        DatasetError, match=r"\.jpg \(bucket 1\) cannot be decoded: not a JPEG, PNG, .* b'%!PS-Adobe-3'"
    ):
        ImageSamples(root, "1", [(str(images[0]), 0)])[0]
    found = [finding.check for finding in verify(root, images=True).findings]
    assert found.count("images") == len(images)
    assert sample_images([read_run(make_run(tmp_path / "run", **{"scenario.dataset_root": str(root)}))]) == []
    assert not ran.exists()


def test_pillow_opens_files_at_one_place() -> None:
    places = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\b(Image|Pillow|PIL)\.open\(|import open\b|ImageFile\.Parser", path.read_text())
    }
    assert places == {"images.py"}


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_images_of_the_formats_that_datasets_have(kind: str, tmp_path: Path) -> None:
    image = Image.linear_gradient("L").convert("RGB")
    image.save(tmp_path / "image.jpg", kind, **({"save_all": True, "append_images": [image]} if kind == "MPO" else {}))
    with open_image(tmp_path / "image.jpg") as image:
        assert (image.format, image.size) == (kind, (256, 256))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"GIF?", "it begins with b'GIF?'"),
        (b"  <HTML>", "it is a web page: download the file again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
    ],
)
def test_what_is_no_image(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "image.jpg").write_bytes(content)
    with pytest.raises(UnidentifiedImageError, match=re.escape(reason)), open_image(tmp_path / "image.jpg"):
        pass


@pytest.mark.parametrize("kind", FORMATS)
def test_no_damaged_image_ends_in_another_error(kind: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.effect_noise((24, 24), 80).convert("RGB").save(data, kind)
    draw, samples = random.Random(kind), ImageSamples(tmp_path, "1", [("image.jpg", 0)])
    errors = []
    for _ in range(60):
        damaged = bytearray(data.getvalue())
        for _ in range(draw.randint(1, 8)):
            damaged[min(int(draw.expovariate(1 / 60)), len(damaged) - 1)] = draw.randrange(256)
        (tmp_path / "image.jpg").write_bytes(damaged[: draw.choice((None, draw.randrange(len(damaged))))])
        try:
            image, _ = samples[0]
            assert image.mode == "RGB"
        except DatasetError as error:
            errors.append(str(error))
    assert len(errors) > 5
    assert all(re.fullmatch(f"{tmp_path}/image.jpg \\(bucket 1\\) cannot be decoded: .+", text) for text in errors)
