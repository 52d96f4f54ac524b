"""A number of bytes that all requests together may hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """So many ``bytes_left``; whoever would exceed it waits until others have given back theirs."""

    def __init__(self, bytes_left: int) -> None:
        self.bytes_left = bytes_left
        self._given_back = asyncio.Condition()

    @asynccontextmanager
    async def reserved(self, count: int, patience: float) -> AsyncIterator[None]:
        """Hold ``count`` bytes, at most the whole budget, as long as the block lasts.

        Raises ``TimeoutError`` where there is no room for them within ``patience`` seconds.
        """
        async with asyncio.timeout(patience), self._given_back:
            await self._given_back.wait_for(lambda: self.bytes_left >= count)
            self.bytes_left -= count
        try:
            yield
        finally:
            self.bytes_left += count
            # A request that is cancelled must not be cancelled again before the others know.
            await asyncio.shield(self._tell())

    async def _tell(self) -> None:
        async with self._given_back:
            self._given_back.notify_all()
