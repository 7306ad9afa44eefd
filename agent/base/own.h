/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership made visible: a cleanup attribute on the owner, one word on the move, -1 for a closed descriptor. */
#ifndef ESPALIER_BASE_OWN_H
#define ESPALIER_BASE_OWN_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void own_free_(void *p)
{
	free(*(void **)p);
}

static inline void own_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void own_fclose_(FILE **file)
{
	if (*file)
		fclose(*file);
	*file = NULL;
}

#define OWN_PTR	 __attribute__((cleanup(own_free_)))
#define OWN_FD	 __attribute__((cleanup(own_close_)))
#define OWN_FILE __attribute__((cleanup(own_fclose_)))

/* Move: gives the value and leaves nothing behind for the cleanup to free. */
#define TAKE_PTR(p)                                                                                                    \
	({                                                                                                             \
		__typeof__(p) taken_ = (p);                                                                            \
		(p) = NULL;                                                                                            \
		taken_;                                                                                                \
	})
#define TAKE_FD(fd)                                                                                                    \
	({                                                                                                             \
		int taken_ = (fd);                                                                                     \
		(fd) = -1;                                                                                             \
		taken_;                                                                                                \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
