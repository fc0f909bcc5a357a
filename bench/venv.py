"""The peers' own virtual environment, in the user's cache: `python -m bench --install` fills it."""

import os
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aigate-bench" / "venv"
PACKAGES = ("gunicorn", "flask", "requests", "aiohttp", "uvloop", "fastapi", "uvicorn", "httpx", "litellm[proxy]")


def script(name: str) -> str:
    """The path of a command there."""
    return str(HOME / "bin" / name)


def missing(*packages: str) -> str:
    """Why a peer that needs these cannot run, "" where it can."""
    for name in packages:
        if not any(HOME.glob(f"lib/python*/site-packages/{name.replace('-', '_')}")):
            return f"{name} is not installed; `python -m bench --install` does it"
    return ""


def install() -> None:
    """Makes the environment. Each package alone, so that one that does not install costs only its own peer."""
    HOME.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    for package in PACKAGES:
        if not missing(package.partition("[")[0]):
            continue
        subprocess.run([script("pip"), "install", "--quiet", package], check=False)
