"""``serving.kserve.io/v1beta1``. Source: reference of the KServe control plane, section 1."""
