"""What is read from a store: counted, since how long it takes depends on who else is at work."""

import pytest
from zarr.storage import LocalStore


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are read from local stores from now on, in order."""
    keys: list[str] = []
    get = LocalStore.get

    async def noted(self, key, *args, **kwargs):
        keys.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "get", noted)
    return keys
