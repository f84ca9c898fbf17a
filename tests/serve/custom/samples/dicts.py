"""A V2 answer as a dict, made by hand."""

from kserve import InferRequest, Model, ModelServer
from kserve.utils.utils import generate_uuid


class Dicts(Model):
    def __init__(self, name):
        super().__init__(name)
        self.load()

    def preprocess(self, payload: InferRequest, headers=None):
        return payload.inputs[0].as_numpy()

    def predict(self, values, headers=None):
        return {
            "id": generate_uuid(),
            "model_name": self.name,
            "outputs": [
                {
                    "name": "output-0",
                    "datatype": "FP64",
                    "shape": list(values.shape),
                    "data": (values + 1).ravel().tolist(),
                }
            ],
        }


if __name__ == "__main__":
    ModelServer().start([Dicts("dicts")])
