# SPDX-License-Identifier: Apache-2.0
"""From a core to a report: one module a step of the way; `examine` is the wiring diagram.

- `stream` reads the core once (`reader`, `loads`, `plan`, `windows`), `notes` says who ran;
- `modules` says what was mapped (`elf`, `identity`, `linkmap`, `sysroot`);
- `unwind` says who called whom: by tables (`cfi`, `rules`, `expressions`), by Go's (`gostack`), by the code (`guesses`,
  `calls`, `prologue`); `process` remembers, `undo`, `frames` and `recursion` are its parts;
- `naming` says what that is called: `symbols`, `debugfiles`, `demangle`, `lines` (`dwarf…`), `interpreter`, `gotable`;
- `report` is what is sent (`fingerprint`, `signals`, `circumstances`, `packages`), `privacy` what isn't.

When the kernel hands over a core, `handler` comes before all of this. The values that pass from one step to the next
are in `model`.
"""
