"""From the flags of `create` and `run` to the body of POST /containers/create.

`flags` is the table, `config` builds the body; the other modules read one kind of value each, with Docker's
checks and texts. All of it is on the path of `run`: no imports beyond the program's own and builtins.
"""
