/* SPDX-License-Identifier: Apache-2.0 */
/* The one external definition of each function that the headers define inline, for callers in other
 * languages and for compilers that do not inline. A DLL exports it. GNU's C89, which -fgnu89-inline
 * asks for in any C, makes a symbol of what is `inline` without `extern`; C99 of what has both. */
#if defined(__GNUC_GNU_INLINE__)
#define AEGIS_INLINE AEGIS_API inline
#else
#define AEGIS_INLINE AEGIS_API extern inline
#endif

#include "aegis_memory.h"
