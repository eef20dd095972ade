"""One verb, one file: each module defines `COMMAND`, and `main` imports the module only when the verb is
called.
"""
