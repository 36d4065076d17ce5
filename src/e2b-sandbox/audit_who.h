/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/audit_who: who asks. */
#pragma once

/* Who asks, as the line says it; "" is null. A plain value. */
struct audit_who {
    char ip_address[48];
    char user_id[128];
    char agent_id[64]; /* header X-Agent-Id, if it is 1 to 63 of [A-Za-z0-9._-] */
};
