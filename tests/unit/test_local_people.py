"""People of the bus whose coming or going the server did not take over at first."""

import json
from pathlib import Path

import pytest

from deploy.local import people
from deploy.local.home import Home, HomeError
from deploy.nats.reload import ReloadError


@pytest.mark.parametrize(("change", "stays"), [(people.add, True), (people.remove, False)])
async def test_again_makes_the_server_take_it_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object, stays: bool
) -> None:
    """The list was written, the server refused; then it was only said that there is nothing to do."""
    home, refuses, reloads = Home(tmp_path), True, 0

    async def reload(url: str, password: str) -> None:
        nonlocal reloads
        if refuses:
            raise ReloadError("the server keeps its configuration")
        reloads += 1

    monkeypatch.setattr(people, "reload", reload)
    address = {"nats": "nats://127.0.0.1:4222", "nats_monitor": "http://127.0.0.1:8222"}
    home.set_people(("alice",) if stays else ("alice", "bob"))
    (tmp_path / "address.json").write_text(json.dumps(address))
    with pytest.raises(ReloadError):
        await change(home, "bob")  # type: ignore[operator]
    refuses = False
    with pytest.raises(HomeError):
        await change(home, "bob")  # type: ignore[operator]
    assert reloads == 1
    assert ("bob" in home.people()) == stays
