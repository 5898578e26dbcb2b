# SPDX-License-Identifier: Apache-2.0
"""One file a collector, each with a class `Collector` (metrics/model); the folder's listing is the list of them."""
