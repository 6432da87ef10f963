"""The tests that need a GPU, by pytest."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from benchmarks.gpu.check import ROOT, Check
from benchmarks.gpu.findings import Findings


def run(check: Check, findings: Findings) -> None:
    """All of them pass, and on a GPU none of them skips itself."""
    files = sorted(str(file) for file in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in file.read_text())
    report = check.folder / "tests.xml"
    options = ["-m", "gpu", "-v", "-ra", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={report}"]
    code = subprocess.run([sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, check=False).returncode
    findings.equal("exit code", code, 0)
    counts, not_passed = read(report)
    findings.figure("tests", counts)
    findings.figure("not passed", not_passed)
    if check.on_gpu:
        findings.equal("skipped", counts["skipped"], 0)


def read(report: Path) -> tuple[dict[str, int], dict[str, str]]:
    """How many there are, failed and were skipped, and {name: why} of those that did not pass, of a JUnit file."""
    [suite] = ElementTree.parse(report).getroot().iter("testsuite")
    counts = {name: int(suite.attrib[name]) for name in ("tests", "errors", "failures", "skipped")}
    why = {
        f"{case.attrib['classname']}::{case.attrib['name']}": f"{found.tag}: {found.attrib.get('message', '')}"[:300]
        for case in suite.iter("testcase")
        for found in case
        if found.tag in ("error", "failure", "skipped")
    }
    return counts, why
