/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reason: why a record was refused, as an errno value and as a name (the table of docs/protocol.md, section 2).
 */
#include <errno.h>

#include "telemetry.h"

static const struct {
        int error;
        const char *name;
} reasons[TM_REASON_COUNT] = {
        [TM_REASON_NONE] = {0, "none"},
        [TM_REASON_MALFORMED] = {EINVAL, "malformed"},
        [TM_REASON_TOO_LARGE] = {EMSGSIZE, "too-large"},
        [TM_REASON_CLASSIFICATION] = {EINVAL, "classification"},
        [TM_REASON_SEVERITY] = {EINVAL, "severity"},
        [TM_REASON_ATTRIBUTE] = {EINVAL, "attribute"},
        [TM_REASON_PAYLOAD_KIND] = {EINVAL, "payload-kind"},
        [TM_REASON_HEADER] = {EINVAL, "header"},
        [TM_REASON_TIMEOUT] = {ETIMEDOUT, "timeout"},
        [TM_REASON_RECORD_ID] = {EINVAL, "record-id"},
        [TM_REASON_CREATED] = {EINVAL, "created"},
        [TM_REASON_NO_SPACE] = {ENOSPC, "no-space"},
        [TM_REASON_RATE_LIMIT] = {EBUSY, "rate-limit"},
        [TM_REASON_NOT_OPTED_IN] = {ECONNREFUSED, "not-opted-in"},
        [TM_REASON_IO] = {EIO, "io"},
        [TM_REASON_ANONYMOUS] = {EPERM, "anonymous"},
};

/* A telemd newer than this library may give a reason that isn't in the table: refused all the same. */
int tm_reason_errno(uint16_t reason)
{
        return reason < TM_REASON_COUNT && reasons[reason].name ? reasons[reason].error : EPROTO;
}

const char *tm_reason_name(uint16_t reason)
{
        return reason < TM_REASON_COUNT && reasons[reason].name ? reasons[reason].name : "unknown";
}
