"""The model server: models in files become answers over KServe's protocols.

One process, one event loop. A request is parsed, decoded straight into typed structures, joined with others that wait
for the same model, answered by one ``predict``, and written; nothing on that way waits for a timer or costs a task.
"""
