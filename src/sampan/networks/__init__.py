"""Networks: the default bridge, addresses, published ports, and the files that tell a container about them.

A library of its own: it knows neither engine nor containers, only endpoints, which are plain data that the
caller keeps. What a network holds in the kernel (bridge, rules, reserved ports) can be made again from them
at any time.

Start reading at `bridge`, which puts the others together; `rules` shows how a packet goes.
"""
