/* SPDX-License-Identifier: Apache-2.0 */
/* What the generated extension is compiled with. */
#include "confine.h"
