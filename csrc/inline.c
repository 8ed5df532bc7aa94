/* SPDX-License-Identifier: Apache-2.0 */
/* The one external definition of each function that the headers define inline, for callers in other
 * languages and for compilers that do not inline. A DLL exports it. With the rules of C99, a
 * function that is `extern inline` gets a symbol. With those of GNU's C89, which -fgnu89-inline
 * selects for any C, one that is `inline` without `extern` does. */
#if defined(__GNUC_GNU_INLINE__)
#define AEGIS_INLINE AEGIS_API inline
#else
#define AEGIS_INLINE AEGIS_API extern inline
#endif

#include "aegis_memory.h"
