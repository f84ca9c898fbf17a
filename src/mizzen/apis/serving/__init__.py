"""The resources of ``serving.kserve.io``, one module a version."""

GROUP = "serving.kserve.io"
