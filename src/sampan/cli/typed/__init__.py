"""The engine's documents as Go's types, for templates: `{{.NetworkSettings.Ports}}` prints what Docker
prints.

A template sees a struct where JSON has an object: fields in Go's order and under Go's names, zero values for
what the document left out. `schema` holds the types as text, `decode` turns a document into values of the
template engine. Imported only for a `--format`.
"""
