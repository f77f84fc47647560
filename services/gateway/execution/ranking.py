"""Which of the sites' offers is best, and the reasons of those that made none."""

from collections.abc import Iterable

from shared.contracts.execution import MessageItem, Offer, OfferReply


def rank(offers: Iterable[Offer]) -> list[Offer]:
    """Best first: where the data are already, then who starts first, then who has most cores free; then by name."""
    return sorted(offers, key=lambda o: (o.prepare_seconds > 0, o.starts_in_seconds, -o.cores_free, o.site))


def messages(answers: Iterable[OfferReply], live: Iterable[str], now: str, within: float) -> list[MessageItem]:
    """Why there is no offer of a site: the reason that it gave, or that it did not answer. `live`: the sites whose brokers live."""
    answered = {answer.site: answer for answer in answers}
    refused = sorted((site, one.reason) for site, one in answered.items() if one.result == "NO")
    silent = sorted(set(live) - answered.keys())
    reasons = [MessageItem("INFO", now, f"{site}: {reason}") for site, reason in refused]
    reasons += [MessageItem("WARN", now, f"{site}: no answer within {within:g} s") for site in silent]
    if not answered and not silent:
        reasons.append(MessageItem("WARN", now, "no site's broker is there"))
    return reasons
