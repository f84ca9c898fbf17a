from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.cluster.node.runtime.spec import Mount
from mizzen.cluster.node.runtime.substitution import substituted

MOUNTS = [
    Mount("/real/models", "/mnt/models"),
    Mount("/real/inner", "/mnt/models/inner/"),
    Mount("/real/cfg.json", "/etc/app/cfg.json"),
    Mount("/mnt/models", "/swap"),
    Mount("/", "/host"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/mnt/models", "/real/models"),
        ("/mnt/models/", "/real/models/"),
        ("/mnt/models/iris/model.joblib", "/real/models/iris/model.joblib"),
        ("--model_dir=/mnt/models", "--model_dir=/real/models"),
        ("file:///mnt/models/x", "file:///real/models/x"),
        ("/a:/mnt/models:/b", "/a:/real/models:/b"),
        ('{"path": "/mnt/models"}', '{"path": "/real/models"}'),
        ("cp /mnt/models/a '/mnt/models/b'", "cp /real/models/a '/real/models/b'"),
        # The longest target wins, and a replacement is not replaced again.
        ("/mnt/models/inner/x", "/real/inner/x"),
        ("/swap/x", "/mnt/models/x"),
        ("/etc/app/cfg.json", "/real/cfg.json"),
        ("/host/etc", "//etc"),
        # Not whole segments, or parts of other paths.
        ("/mnt/models2", "/mnt/models2"),
        ("/mnt/models.bak", "/mnt/models.bak"),
        ("/mnt/models-v1", "/mnt/models-v1"),
        ("/srv/mnt/models", "/srv/mnt/models"),
        ("http://host/mnt/models", "http://host/mnt/models"),
        ("mnt/models", "mnt/models"),
        ("/mnt/models/inner2", "/real/models/inner2"),
        ("", ""),
    ],
)
def test_container_paths_become_real_ones(text: str, expected: str) -> None:
    assert substituted(text, MOUNTS) == expected


@given(st.text(alphabet="/mntodels.=: x", max_size=40))
def test_what_names_no_target_stays_as_it_is(text: str) -> None:
    if "/mnt/models" not in text:
        assert substituted(text, MOUNTS[:2]) == text
    assert substituted(text, []) == text


@given(st.lists(st.sampled_from(["/mnt/models", "/mnt/models/inner", " ", "=", "x", "/y", ":"]), max_size=12))
def test_no_target_is_left_at_the_beginning_of_a_path(parts: list[str]) -> None:
    done = substituted("".join(parts), MOUNTS[:2])
    for word in done.replace("=", " ").replace(":", " ").split():
        assert not (word + "/").startswith("/mnt/models/")
