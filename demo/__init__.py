# SPDX-License-Identifier: Apache-2.0
"""The demo: hub, daemon, probes, and records of this machine on their way. Met from outside, by programs and HTTP."""
