"""A model that gives back its first tensor, on KServe's server at its quietest. Runs where ``kserve`` is installed."""

import logging

from kserve import InferOutput, InferResponse, Model, ModelServer, model_server


class Identity(Model):
    def load(self):
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None):
        array = payload.inputs[0].as_numpy()
        output = InferOutput("output-0", list(array.shape), payload.inputs[0].datatype)
        raw = any(one.parameters and "binary_data_size" in one.parameters for one in payload.inputs)
        output.set_data_from_numpy(array, binary_data=raw)
        return InferResponse(payload.id, self.name, [output], use_binary_outputs=raw)


model_server.parser.add_argument("--model_dir")
arguments, _ = model_server.parser.parse_known_args()
logging.disable(logging.INFO)
model = Identity(arguments.model_name)
model.load()
ModelServer(enable_grpc=False, enable_latency_logging=False).start([model])
