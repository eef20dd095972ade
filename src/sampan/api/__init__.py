"""Docker's Engine API over HTTP: connections, routes, versions, streams and hijacking. No logic of
containers.

`serve` (in `sampan.api.server`) is the way in. The engine below knows nothing of HTTP: handlers translate a
request into one call of the engine and its answer into Docker's JSON for the version that the client asked
for.
"""
