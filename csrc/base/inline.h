/* SPDX-License-Identifier: Apache-2.0 */
/* For the files that hold the one external definition of each function that a header defines
 * inline: for callers in other languages and for compilers that do not inline. A DLL exports it.
 * Such a file includes first what that header includes, then this, and then the header whose
 * functions it defines. Each header has a file of its own, so that a program whose compiler does
 * not inline links no more than it calls. With the rules of C99, a function that is `extern inline`
 * gets a symbol. With those of GNU's C89, which -fgnu89-inline selects for any C, one that is
 * `inline` without `extern` does. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_INLINE_H
#define AEGIS_MEMORY_I_BASE_INLINE_H

#include "aegis_memory/base.h"

#undef AEGIS_INLINE
#if defined(__GNUC_GNU_INLINE__)
#define AEGIS_INLINE AEGIS_API inline
#else
#define AEGIS_INLINE AEGIS_API extern inline
#endif

#endif
