"""The client's side of registries: OCI distribution 1.1, and Docker's registry API v2 with its tokens.

A library of its own: it knows neither the image store nor the engine. Blocking: called in threads. No secret
is ever part of an error or a log line.
"""
