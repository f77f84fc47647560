"""The programs that wheels bring."""

import importlib.metadata


def program(distribution: str, name: str) -> str:
    """The path of a program that a wheel has put among the environment's scripts."""
    for file in importlib.metadata.files(distribution) or ():
        if file.name == name and "bin" in file.parts:
            return str(file.locate().resolve())  # type: ignore[attr-defined]
    raise FileNotFoundError(f"the wheel {distribution} brings no program {name}")
