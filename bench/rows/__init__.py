# SPDX-License-Identifier: Apache-2.0
"""One file per row of the table, found by walking this package; each has ORDER and measure(setup) -> figures."""
