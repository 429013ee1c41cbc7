"""Put the recipes into the wheel, where `r1kit init` finds them; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithRecipes(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "r1kit" / "recipes"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("recipes", target, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": WithRecipes})
