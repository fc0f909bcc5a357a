"""Builds aigate; what is shipped beside the code (plugins, examples) is copied into the package."""

from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("plugins", "conf", "certs")


class BuildWithShipped(build_py):
    """Copies the shipped folders to `edge/shipped/`, where an installed gate looks for them."""

    def run(self) -> None:
        super().run()
        # An editable install runs from the checkout, where the folders themselves are found.
        if self.editable_mode:
            return
        here = Path(__file__).parent
        target = Path(self.build_lib, "edge", "shipped")
        rmtree(target, ignore_errors=True)
        for name in SHIPPED:
            copytree(here / name, target / name, ignore=ignore_patterns("__pycache__", "*.pem", "*.key", "*.crt"))


setup(cmdclass={"build_py": BuildWithShipped})
