"""A model that gives back its first tensor, for MLServer. Runs where ``mlserver`` is installed."""

from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Identity(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        one = payload.inputs[0]
        output = ResponseOutput(name="output-0", shape=one.shape, datatype=one.datatype, data=one.data)
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=[output])
