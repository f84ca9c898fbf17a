"""A model that gives back its first tensor, on KServe's server at its quietest. Runs where ``kserve`` is installed."""

import logging

from kserve import Model, ModelServer, model_server
from kserve.utils.utils import get_predict_response


class Identity(Model):
    def load(self):
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None):
        return get_predict_response(payload, payload.inputs[0].as_numpy(), self.name)


model_server.parser.add_argument("--model_dir")
arguments, _ = model_server.parser.parse_known_args()
logging.disable(logging.INFO)
model = Identity(arguments.model_name)
model.load()
ModelServer(enable_grpc=False, enable_latency_logging=False).start([model])
