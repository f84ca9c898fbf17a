"""What runtime and participants say to each other over Kafka, message by message.

Every message is a typed structure with the names that Java gives its fields; :mod:`mizzen.acm.messages.codec` reads and
writes them under Jackson's rules. Two dialects are in use. The newest sends what an order is about as ``...DtoList``;
release 9.1.0 and older send ``participantUpdatesList`` and leave the rest to the participant's memory. A structure
holds both, and :mod:`mizzen.acm.messages.dialects` takes one away.
"""
