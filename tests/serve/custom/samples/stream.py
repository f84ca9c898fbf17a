"""An answer that comes in pieces, and one that waits for others."""

import asyncio

from kserve import Model, ModelServer


class Counting(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    async def predict(self, payload, headers=None):
        async def pieces():
            for number in range(payload["count"]):
                await asyncio.sleep(0.001)
                yield f"{number},"

        if payload.get("stream"):
            return pieces()
        return await asyncio.gather(*(self.one(number) for number in range(payload["count"])))

    async def one(self, number):
        await asyncio.sleep(0.001)
        return number


if __name__ == "__main__":
    ModelServer().start([Counting("counting")])
