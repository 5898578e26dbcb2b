# SPDX-License-Identifier: Apache-2.0
"""How the last boot ended, how this one went, and what was changed in between: bootprobe's parts.

`collecting` reads what there is, each source in a module of its own; `verdict` judges it; `payload` writes it down.
What is done with it (consent, sending, keeping) is bootprobe's affair and must never come in here.
"""
