"""The workload controllers: what turns a Deployment into pods, a Service into endpoints, and a deletion into an end.

Each controller is two rooms. The pure one decides on values (how many pods to create, which node fits, who is garbage)
and is tested with tables; the other reads copies of the API's objects and writes what was decided. They know only the
API, so they behave as kube-controller-manager and kube-scheduler do, on one machine.
"""
