/* SPDX-License-Identifier: Apache-2.0 */
/* assert: ASSERT is always compiled in and is for our own mistakes only, never for input. It
 * prints the expression and ends the process with abort(). */
#pragma once

_Noreturn void assert_failed(const char *what, const char *file, int line);

#define ASSERT(cond) ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))
