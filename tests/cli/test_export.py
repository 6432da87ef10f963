"""`clearctl export` as a user meets it."""

import json

from typer.testing import CliRunner

from clearctl.cli import app


def test_a_line_and_json(trained, tmp_path) -> None:
    file = tmp_path / "net.safetensors"
    words = ["export", str(trained.run), "--output", str(file)]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.stderr
    assert (
        answer.stdout
        == f"{file}: safetensors, {file.stat().st_size / 1000:.1f} kB, [B, 3, 14, 14] to scores of 3 classes\n"
    )
    found = json.loads(CliRunner().invoke(app, [*words, "--bucket", "0", "--json"]).stdout)
    assert (found["metadata"]["bucket"], found["bytes"]) == ("0", file.stat().st_size)
    refused = CliRunner().invoke(app, [*words, "--bucket", "7"])
    assert refused.exit_code == 2
    assert "error: --bucket 7: the run has trained on 0, 1 and 2" in refused.stderr
