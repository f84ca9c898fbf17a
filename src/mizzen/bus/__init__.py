"""Kafka, for those who only want to say a thing and to hear a thing.

:class:`~mizzen.bus.client.Bus` is one process's connection: ``send`` ends when the broker has the record, ``group`` and
``tail`` call a coroutine for every record. The broker may be away at any time; nobody who uses a bus has to notice.
:class:`~mizzen.bus.broker.Broker` is a broker of one's own for where there is none. The client library is an extra
(``mizzen[acm]``), and is looked for when a bus is made, not when this package is imported.
"""

from mizzen.bus.broker import Broker
from mizzen.bus.client import Bus
from mizzen.bus.errors import BusError
from mizzen.bus.java import of_java
from mizzen.bus.listener import Listener
from mizzen.bus.record import Handler, Record
from mizzen.bus.settings import BusSettings

__all__ = ["Broker", "Bus", "BusError", "BusSettings", "Handler", "Listener", "Record", "of_java"]
