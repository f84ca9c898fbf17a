"""What the API says, without the values that it says it about."""

import pytest

from mizzen.acm.participant.kserve.trouble import reason
from mizzen.kube.errors import ApiError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ApiError(403, "Forbidden", "you may not"), "403 Forbidden: you may not"),
        (ApiError(502, "", "Bad Gateway"), "502: Bad Gateway"),
        (
            ApiError(422, "Invalid", 'a is invalid: spec.x: Invalid value: "hunter2": must be a number'),
            "422 Invalid: a is invalid: spec.x: Invalid value: must be a number",
        ),
        (
            ApiError(422, "Invalid", 'spec.x: Unsupported value: "hunter2": supported values: "a", "b"'),
            '422 Invalid: spec.x: Unsupported value: supported values: "a", "b"',
        ),
        (ApiError(422, "Invalid", 'spec.x: Duplicate value: "hunter2"'), "422 Invalid: spec.x: Duplicate value"),
        (
            ApiError(422, "Invalid", 'spec.x: Invalid value: map[string]interface {}{"a":"hunter2"}: no'),
            "422 Invalid: spec.x: Invalid value: no",
        ),
        (
            ApiError(
                422,
                "Invalid",
                "long",
                {"causes": [{"field": "spec.x", "message": "Required value"}, {"field": "", "message": "more"}]},
            ),
            "422 Invalid: spec.x: Required value; more",
        ),
        (ApiError(409, "AlreadyExists", "it is", {"causes": "odd"}), "409 AlreadyExists: it is"),
    ],
)
def test_without_the_value(error, told):
    assert reason(error) == told


def test_without_any_variable_of_a_container():
    env = [{"name": "A", "value": "hunter2"}, {"name": "B", "value": "hunter2-longer"}, {"name": "C", "value": "1"}]
    payload = {"spec": {"predictor": {"containers": [{"env": env}]}}}
    error = ApiError(400, "BadRequest", "denied: hunter2-longer and hunter2 are weak, 1 is fine")
    assert reason(error, payload) == "400 BadRequest: denied: *** and *** are weak, 1 is fine"
