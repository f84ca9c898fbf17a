# ruff: noqa: RUF013, B905
"""The shortest there is: V1 alone, loaded by its own constructor."""

from kserve import Model, ModelServer


class Rows(Model):
    def __init__(self, name: str):
        super().__init__(name)
        self.name = name
        self.load()

    def load(self):
        self.weights = [1.0, -1.0]
        self.ready = True

    def predict(self, payload: dict, headers: dict[str, str] = None) -> dict:
        if payload.get("boom"):
            raise RuntimeError("the model broke")
        rows = payload["instances"]
        return {"predictions": [sum(w * x for w, x in zip(self.weights, row)) for row in rows]}


if __name__ == "__main__":
    ModelServer().start([Rows("rows")])
