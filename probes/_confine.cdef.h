/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of confine.h, in the subset of C that cffi reads. */

int confine_rights(void);
int confine_files(const char *const *paths, size_t n);
int confine_time(unsigned int seconds);
int confine_calls(void);
