# SPDX-License-Identifier: Apache-2.0
"""The hub's HTTP: intake (batches in), app (routes), answers and page (what is shown), connection and server (sockets).

What a record is and how it is kept is decided elsewhere.
"""
