# SPDX-License-Identifier: Apache-2.0
"""The benchmark: load generators and the runner of the table of figures. Nothing that ships may import it."""
