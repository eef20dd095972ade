"""Images: their layers on the disk, names and documents, archives in and out; containers' root file systems.

The engine uses `store.ImageStore`. Below it, each on its own: `catalog` (what there is, in SQLite), `content`
(blobs by digest), `layers` (the interface of a driver) and `overlay2` (the driver, with `unpack`, `record`,
`reassembly`, `initlayer`, `overlay`, `tree`), `archive`, `loading` and `saving` (`docker load` and `save`),
`changes` (`--change`), `removal`, `filters` and `documents` (Docker's rules and JSON).
"""
