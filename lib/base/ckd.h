/* SPDX-License-Identifier: Apache-2.0 */
/* ckd: checked arithmetic under the C23 names. True means overflow; *r is then unspecified. */
#pragma once

#define ckd_add(r, a, b) __builtin_add_overflow((a), (b), (r))
#define ckd_sub(r, a, b) __builtin_sub_overflow((a), (b), (r))
#define ckd_mul(r, a, b) __builtin_mul_overflow((a), (b), (r))
