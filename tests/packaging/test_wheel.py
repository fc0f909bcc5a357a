"""What a user installs: the wheel in a fresh environment, and the checkout installed editable in the same one."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.live.gate import ROOT, Gate

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

SERVICES = {"chat": {"plugin": "demo", "route": "/chat/api"}}
LEFT = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__", "shipped")


def run(*command: object, **environ: str) -> str:
    """Standard output of a command that must succeed, with nothing of this checkout in its way."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    told = subprocess.run(
        [str(part) for part in command], env={**clean, **environ}, cwd="/", capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout without what was built or cached in it, so that building leaves no trace here."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "aigate", ignore=LEFT))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source)
    (made,) = folder.glob("aigate-*.whl")
    return made


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment with the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("venv") / "venv"
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", wheel)
    return folder / "bin"


def answers(gate: Gate) -> None:
    """It serves, and an unmodified curl gets an answer with the first key."""
    told = run("curl", "-sS", "--max-time", "20", "--cacert", gate.ca, "-H", f"@{gate.header}", gate.url + "/status")
    assert '"user":"first"' in told


def starts(binaries: Path, folder: Path) -> None:
    """Each command that an installation offers starts a gate that answers."""
    assert "aigate" in run(binaries / "twistd", "--help")
    assert run(binaries / "aigate", "--version").startswith("aigate ")
    ways = [("aigate", "run"), ("twistd", "-n", "aigate"), ("python", "-m", "twisted", "aigate")]
    for number, (program, *rest) in enumerate(ways):
        place = folder / str(number)
        place.mkdir()
        with Gate(place, SERVICES, environ={"PYTHONPATH": ""}, command=(str(binaries / program), *rest)) as gate:
            answers(gate)


def test_the_wheel_holds_plugins_examples_schemas_and_types_and_no_secrets(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "twisted/plugins/aigate_plugin.py" in names
    assert "twisted/__init__.py" not in names
    assert "edge/py.typed" in names
    for folder in ("plugins", "conf"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"edge/shipped/{folder}/{file.relative_to(ROOT / folder)}" in names
    for file in (ROOT / "edge").rglob("*"):
        if file.suffix in (".py", ".sql", ".lua") and "shipped" not in file.parts:
            assert str(file.relative_to(ROOT)) in names
    assert not [
        name for name in names if name.startswith(("tests/", "bench/")) or name.endswith((".pem", ".key", ".crt"))
    ]


def test_the_wheel_starts_in_a_fresh_environment(binaries: Path, tmp_path: Path):
    starts(binaries, tmp_path)


def test_an_editable_install_starts(binaries: Path, source: Path, tmp_path: Path):
    run(binaries / "python", "-m", "pip", "install", "-q", "--no-deps", "-e", source)
    where = run(binaries / "python", "-c", "import edge; print(edge.__file__)").strip()
    assert Path(where).is_relative_to(source)
    starts(binaries, tmp_path)
