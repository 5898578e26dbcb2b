# SPDX-License-Identifier: Apache-2.0
"""telemhub: where the records of many machines arrive, are kept and asked for.

The way of a batch is the order to read the modules in: web.intake (bytes off the network), decompress, ingest (bytes
to records), store (durable), and back out: query, store, web.answers and web.page. main and web.server put them
together; no room imports those two.
"""

__version__ = "0.1.0"
