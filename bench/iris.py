"""The model that most measurements ask, scikit-learn's SVC on iris, and workloads with the model's own answers."""

from __future__ import annotations

import json
from pathlib import Path

ROWS = 500


def train(folder: Path) -> Path:
    """Save the model in ``model``, and ``v1.json`` and ``v2.json`` beside it: one row in a request, each another.

    Returns:
        the model's folder.
    """
    import joblib
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.svm import SVC

    features, labels = load_iris(return_X_y=True)
    model = SVC(gamma="scale").fit(features, labels)
    (folder / "model").mkdir()
    joblib.dump(model, folder / "model" / "model.joblib")
    random = np.random.default_rng(7)
    rows = features[random.integers(0, len(features), ROWS)] + random.normal(0, 0.1, (ROWS, 4))
    rows = np.round(rows, 2)
    v1, v2 = [], []
    for row, first, second in zip(rows, model.predict(rows), model.predict(rows.astype(np.float32)), strict=True):
        tensor = {"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": row.tolist()}
        v2.append({"path": "/v2/models/iris/infer", "body": json.dumps({"inputs": [tensor]}), "expect": [int(second)]})
        body = json.dumps({"instances": [row.tolist()]})
        v1.append({"path": "/v1/models/iris:predict", "body": body, "expect": [int(first)]})
    (folder / "v1.json").write_text(json.dumps(v1))
    (folder / "v2.json").write_text(json.dumps(v2))
    return folder / "model"
