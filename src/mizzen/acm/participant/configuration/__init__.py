"""What a participant is told before it starts, read from the files and variables that Spring's participants have."""

from mizzen.acm.participant.configuration.read import Configuration, Credentials, KafkaAccess, read
from mizzen.acm.participant.configuration.settings import Settings
from mizzen.acm.participant.configuration.sources import load

__all__ = ["Configuration", "Credentials", "KafkaAccess", "Settings", "load", "read"]
