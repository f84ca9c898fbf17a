"""What can keep a container from being started, in words for the pod's status."""

from __future__ import annotations

from mizzen.errors import MizzenError


class NodeError(MizzenError):
    """The root of this package's errors."""


class RecipeError(NodeError):
    """A file of recipes that cannot be used; the message names the file and the line."""


class NotStartable(NodeError):
    """A container that cannot be started now and may be later.

    Attributes:
        reason: the one word of its waiting state, and of the event.
    """

    reason = "CreateContainerError"
    event = "Failed"


class ImageUnavailable(NotStartable):
    """An image that no recipe knows, or whose recipe needs what is not installed."""

    reason = "ErrImagePull"


class ConfigMissing(NotStartable):
    """A config map, a secret or a field that the container's settings refer to is not there."""

    reason = "CreateContainerConfigError"


class VolumeUnavailable(ConfigMissing):
    """A volume that cannot be set up yet."""

    event = "FailedMount"
