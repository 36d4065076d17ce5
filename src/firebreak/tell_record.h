/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak/tell_record: what root does here goes into the record, too. */
#pragma once
#include "firebreak/place.h"
#include "ipc/recorder_proto.h"

/* Gives the recorder of an instance one event with words for a reason, and waits up to two seconds until it is durable. 0 or -errno: there is no
 * recorder, or it could not. */
int tell_record(const struct place *p, enum audit_event event, const char *reason);
