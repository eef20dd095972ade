"""The verbs of `sampan-runtime`, one module each; each module has a `COMMAND`."""
