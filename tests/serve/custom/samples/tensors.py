"""Both protocols, by the helpers, with KServe's errors, its logger and its numpy types."""

import kserve
import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferResponse, logging
from kserve.errors import InferenceError, InvalidInput
from kserve.logging import logger
from kserve.protocol.infer_type import RequestedOutput
from kserve.utils.numpy_codec import from_np_dtype
from kserve.utils.utils import generate_uuid, get_predict_input, get_predict_response


class Tensors(kserve.Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = False

    def load(self) -> bool:
        logger.info("loading %s", self.name)
        self.ready = True
        return self.ready

    def get_input_types(self):
        return [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]

    def get_output_types(self):
        return [{"name": "total", "datatype": "FP32", "shape": [-1]}]

    async def preprocess(self, payload, headers=None):
        if isinstance(payload, InferRequest) and payload.inputs[0].datatype == "BOOL":
            raise InvalidInput("no booleans, please")
        return payload

    async def predict(self, payload, headers=None):
        if isinstance(payload, dict):
            values = get_predict_input(payload)
            return get_predict_response(payload, np.asarray(values) * 2, self.name)
        first = payload.inputs[0]
        if first.datatype == "BYTES":
            return get_predict_response(payload, [text.upper() for text in get_predict_input(payload)], self.name)
        values = first.as_numpy()
        if values.size == 0:
            raise InferenceError("nothing to do")
        total = values.sum(axis=1).astype(np.float32)
        outputs = [
            InferOutput(name="total", shape=list(total.shape), datatype=from_np_dtype(total.dtype), data=total.tolist())
        ]
        largest = InferOutput(name="largest", shape=[len(values)], datatype="INT64", parameters={"of": first.name})
        largest.set_data_from_numpy(values.argmax(axis=1), binary_data=False)
        outputs.append(largest)
        wanted = payload.request_outputs
        assert wanted is None or isinstance(wanted[0], RequestedOutput)
        return InferResponse(
            response_id=payload.id or generate_uuid(),
            model_name=self.name,
            infer_outputs=outputs,
            parameters={"rows": len(values)},
            requested_outputs=wanted,
        )


if __name__ == "__main__":
    logging.configure_logging()
    assert InferInput("a", [1], "fp32", [1.0]).as_numpy().dtype == np.float32
    model = Tensors("tensors")
    model.load()
    kserve.ModelServer(workers=1).start([model])
