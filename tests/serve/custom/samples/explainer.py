# ruff: noqa: RUF013
"""Asks its predictor with each column left out, and tells what that changes."""

import kserve


class LeaveOneOut(kserve.Model):
    def __init__(self, name: str):
        super().__init__(name)
        self.ready = True

    async def explain(self, payload: dict, headers: dict[str, str] = None) -> dict:
        (row,) = payload["instances"]
        rows = [row] + [[0 if at == left else x for at, x in enumerate(row)] for left in range(len(row))]
        answer = await self.predict({"instances": rows}, headers)
        whole, *without = answer["predictions"]
        return {"explanations": [whole - one for one in without]}


if __name__ == "__main__":
    kserve.ModelServer().start([LeaveOneOut("rows")])
