# SPDX-License-Identifier: Apache-2.0
"""Metrics: what the machine is doing.

collectors/ has one file a collector; model is what they give, places where they read. What is done with the samples
(columns, records, Prometheus text) never comes in there, and no collector knows of another.
"""
