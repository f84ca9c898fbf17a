"""KServe's scikit-learn server at its quietest, for comparison. Runs in an environment of its own that has ``kserve``.

The ``sklearnserver`` module is not on PyPI; this is the same thing on the package's public interface: joblib, the
package's helpers between payloads and arrays, its ModelServer. Logs and latency lines are off, uvloop is on.
"""

import argparse
import logging
import pathlib

import joblib
from kserve import Model, ModelServer, model_server
from kserve.utils.utils import get_predict_input, get_predict_response


class SKLearnModel(Model):
    def __init__(self, name, path):
        super().__init__(name)
        self.path = path

    def load(self):
        self.estimator = joblib.load(self.path)
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None):
        return get_predict_response(payload, self.estimator.predict(get_predict_input(payload)), self.name)


parser = argparse.ArgumentParser(parents=[model_server.parser])
parser.add_argument("--model_dir", required=True)
arguments, _ = parser.parse_known_args()
logging.disable(logging.INFO)
model = SKLearnModel(arguments.model_name, next(pathlib.Path(arguments.model_dir).glob("*.joblib")))
model.load()
ModelServer(enable_grpc=arguments.enable_grpc, enable_latency_logging=False).start([model])
