#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [NAME]: the fault suite, or the parts of it whose file or test name has NAME in it.
exec "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh" fault "${1:-}"
