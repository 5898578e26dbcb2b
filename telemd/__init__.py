# SPDX-License-Identifier: Apache-2.0
"""telemd: takes records from this machine's probes, keeps them safe, delivers them.

The way of a record is the order to read the modules in: intake, admission, spool, delivery, courier, transport.
daemon wires them together; nothing here imports daemon.
"""

__version__ = "0.1.0"
