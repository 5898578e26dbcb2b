# SPDX-License-Identifier: Apache-2.0
"""What journalprobe makes of the journal, a module a step: `source` reads it, `trusted` says whom of it to believe,
`incidents` joins what belongs to one failure, `failure`, `coredump` and `loud` say what it was, `payload` what is sent
of it, `place` how far all of that has come.
"""
