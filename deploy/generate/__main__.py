"""`python -m deploy.generate [--check]`"""

import argparse
import difflib
import sys
from collections.abc import Callable
from typing import Final

from deploy.generate import ROOT, Missing, asyncapi, endpoints, logs, permissions, states

MAKERS: Final[tuple[Callable[[], dict[str, str]], ...]] = (
    states.files,
    asyncapi.files,
    endpoints.files,
    permissions.files,
    logs.files,
)
"""Each gives texts by their path from the root."""


def stale() -> dict[str, tuple[str, str]]:
    """The files that differ: path → (the text that is there, the text that should be)."""
    made = {path: text for make in MAKERS for path, text in make().items()}
    found = {path: _read(path) for path in made}
    # A machine that is gone leaves its diagram behind.
    extra = {
        f"docs/states/{path.name}" for path in (ROOT / "docs/states").glob("*.md")
    } - made.keys()  # fmt: skip
    return {
        **{path: (found[path], text) for path, text in made.items() if found[path] != text},
        **{path: (_read(path), "") for path in extra},
    }


def _read(path: str) -> str:
    file = ROOT / path
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _check(path: str, there: str, made: str) -> None:
    diff = difflib.unified_diff(there.splitlines(True), made.splitlines(True), path, f"{path} (as the code is)")
    sys.stdout.writelines(diff)


def _write(path: str, made: str) -> None:
    file = ROOT / path
    if not made:
        file.unlink()
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made, encoding="utf-8")
    print(f"wrote {path}")


def main() -> None:
    """Writes what is stale, or fails if something is (`--check`)."""
    parser = argparse.ArgumentParser(prog="python -m deploy.generate", description="Makes what in docs/ is generated.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if something is stale")
    options = parser.parse_args()
    found = stale()
    for path, (there, made) in found.items():
        if options.check:
            _check(path, there, made)
        else:
            _write(path, made)
    try:
        logs.explained()
    except Missing as error:
        raise SystemExit(str(error)) from None
    if options.check and found:
        raise SystemExit(f"stale: {', '.join(found)}; run: python -m deploy.generate")


if __name__ == "__main__":
    main()
