/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts: the eight facts of the host that a record of format 4 carries and that telemd adds to those of format 5. Reads
 * each file once, at most a few KiB of it. Must never run for a record that doesn't need them: they cost file reads.
 */
#ifndef TELEMETRY_FACTS_H
#define TELEMETRY_FACTS_H

#include "wire.h"

struct host_facts;

/* Read them below root ("" for the real host). What can't be read has the value that telemetrics-client gave it
 * (`no_sv_file`, `blank`, `unknown`, `0`). NULL where there is no memory. */
struct host_facts *host_facts_read(const char *root);

/* The slices point into *facts. */
struct wire_facts host_facts_view(const struct host_facts *facts);

/* NULL is allowed. */
void host_facts_free(struct host_facts *facts);

#endif
