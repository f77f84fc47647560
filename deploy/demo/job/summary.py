"""What the main job says at its end."""

import io
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text


def show_offers(made: dict[str, Any]) -> RenderableType:
    """The sites' offers, best first, with their reasons, and the refusals with theirs."""
    view = Table("site", "starts in", "cores", "reasons", title="Offers", title_justify="left", box=None)
    for place, offer in enumerate(made["offers"]):
        site = f"[green]{offer['site']} ✓[/]" if place == 0 else offer["site"]
        view.add_row(
            site, f"{offer['starts_in_seconds']:.1f} s", str(offer["cores"]), escape("; ".join(offer["reasons"]))
        )
    for message in made["meta"]["messages"]:
        view.add_row("[dim]–[/]", "", "", f"[dim]{escape(message['message'])}[/]")
    return view


def summary(
    dataset: dict[str, Any],
    accepted: dict[str, Any],
    catalogue: bytes,
    seconds: dict[str, float],
    out: Path,
    address: dict[str, Any],
) -> RenderableType:
    """What the main job prints in the end: the dataset, the site, the products, the seconds of each stage."""
    from astropy.table import Table as Rows

    rows = Rows.read(io.BytesIO(catalogue), format="ascii.ecsv")
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("dataset", f"{dataset['pid']}: {dataset['numberOfFiles']} files, {dataset['size']:,} bytes"),
        ("storage", f"{dataset['numberOfDatablocks']} datablocks, {dataset['packedSize']:,} bytes"),
        ("site", f"{accepted['site']}, {dataset['numberOfFiles'] + 1} tasks"),
        ("catalogue", f"{len(rows)} HDUs, {int(rows['sources'].sum() or 0)} sources → {out / 'catalogue.ecsv'}"),
        ("picture", f"{out / 'contact-sheet.png'}"),
        ("errors", f"{len(rows.meta['unreadable'])} files cannot be read"),
        *(("", f"{one['file']}: {one['error'].splitlines()[0]}") for one in rows.meta["unreadable"]),
        ("seconds", ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())),
        ("http", address["http"]),
        ("nats", address["nats"]),
    ):
        facts.add_row(Text(name, style="bold"), Text(value))
    return Group(Text(""), facts)
