"""Removes all objects under a prefix, in portions: a listing may be long."""

from shared.objects.port import Store

PORTION = 1000


async def remove(store: Store, prefix: str) -> int:
    """Removes all objects under a prefix; how many. Harmless when repeated."""
    keys: list[str] = []
    removed = 0
    async for one in store.list(prefix):
        keys.append(one.key)
        removed += 1
        if len(keys) == PORTION:
            await store.delete(keys)
            keys.clear()
    if keys:
        await store.delete(keys)
    return removed
