// SPDX-License-Identifier: Apache-2.0
// The same plugin as C++. Here each inline function of the headers that is not inlined becomes a
// weak copy in the plugin.
#include "plugin.c"
