"""NATS's wildcards."""


def covers(pattern: str, subject: str) -> bool:
    """NATS's matching: `*` one token, `>` one or more at the end."""
    wanted, given = pattern.split("."), subject.split(".")
    for number, token in enumerate(wanted):
        if token == ">":
            return len(given) > number
        if number >= len(given) or token not in ("*", given[number]):
            return False
    return len(wanted) == len(given)
