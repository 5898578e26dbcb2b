# SPDX-License-Identifier: Apache-2.0
"""telemctl: one file a verb.

A verb is a module of this package with VERB ("config show" in config_show.py), SUMMARY, NEEDS_ROOT, options() and
run(); there is no list to add it to. The others are what verbs share. Nothing here may be imported by telemd, and its
files are only changed where it isn't running; where it is, it is asked.
"""
