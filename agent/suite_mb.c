/* SPDX-License-Identifier: Apache-2.0 */
/* intel-ipsec-mb as an engine. */
#include "agent/suite_engine.h"

#include <errno.h>

#if __has_include(<intel-ipsec-mb.h>)
#include "agent/base/log.h"
#include "agent/base/secret.h"
#include "agent/suite_mb.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MB_INSTRUCTIONS		 (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ)
#define MB_VERSION_MAJOR(number) ((number) >> 16)

/* What is opened of the library; all else are function pointers in a manager. */
static struct {
	void *handle;
	unsigned (*version)(void);
	IMB_MGR *(*alloc)(uint64_t flags);
	void (*free)(IMB_MGR *manager);
	void (*init)(IMB_MGR *manager, IMB_ARCH *arch);
	size_t (*size)(void);
	IMB_MGR *shared;
	pthread_key_t thread_end;
} mb;

static pthread_once_t mb_once = PTHREAD_ONCE_INIT;
static __thread IMB_MGR *mb_own;

/* ---- the library --------------------------------------------------------------------------------------------- */

/* A manager holds key schedules and packets of the jobs it did last. */
static void manager_free(void *memory)
{
	IMB_MGR *manager = memory;

	secret_wipe(manager, mb.size());
	mb.free(manager);
}

/* NULL if the processor lacks what makes the library worth it, or if the library failed its own test. */
static IMB_MGR *manager_new(void)
{
	IMB_MGR *manager = mb.alloc(0);
	IMB_ARCH arch = IMB_ARCH_NONE;

	if (!manager)
		return NULL;
	mb.init(manager, &arch);
	if (arch != IMB_ARCH_NONE && (manager->features & MB_INSTRUCTIONS) == MB_INSTRUCTIONS &&
		(!(manager->features & IMB_FEATURE_SELF_TEST) || manager->features & IMB_FEATURE_SELF_TEST_PASS))
		return manager;
	mb.free(manager);
	return NULL;
}

static bool symbols_found(void)
{
	mb.version = (unsigned (*)(void))dlsym(mb.handle, "imb_get_version");
	mb.alloc = (IMB_MGR * (*)(uint64_t)) dlsym(mb.handle, "alloc_mb_mgr");
	mb.free = (void (*)(IMB_MGR *))dlsym(mb.handle, "free_mb_mgr");
	mb.init = (void (*)(IMB_MGR *, IMB_ARCH *))dlsym(mb.handle, "init_mb_mgr_auto");
	mb.size = (size_t(*)(void))dlsym(mb.handle, "imb_get_mb_mgr_size");
	return mb.version && mb.alloc && mb.free && mb.init && mb.size;
}

/* Managers only grow at their end within one major version, so an older library than the header's is none for us. */
static bool version_fits(unsigned version)
{
	return MB_VERSION_MAJOR(version) == MB_VERSION_MAJOR(IMB_VERSION_NUM) && version >= IMB_VERSION_NUM;
}

static void library_open(void)
{
	char name[32]; /* the library's ABI is numbered as its major version */

	snprintf(name, sizeof(name), "libIPSec_MB.so.%d", MB_VERSION_MAJOR(IMB_VERSION_NUM));
	mb.handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!mb.handle)
		return;
	if (symbols_found() && version_fits(mb.version()) && pthread_key_create(&mb.thread_end, manager_free) == 0)
		mb.shared = manager_new();
	if (!mb.shared)
		log_info("%s is there but of no use here: OpenSSL does all the work", name);
}

const IMB_MGR *mb_functions(void)
{
	pthread_once(&mb_once, library_open);
	return mb.shared;
}

IMB_MGR *mb_manager(void)
{
	if (mb_own || !mb_functions())
		return mb_own;
	mb_own = manager_new();
	if (mb_own && pthread_setspecific(mb.thread_end, mb_own) != 0) {
		manager_free(mb_own);
		mb_own = NULL;
	}
	return mb_own;
}

/* ---- key schedules ------------------------------------------------------------------------------------------- */

void *mb_alloc(size_t size)
{
	size_t whole = (size + 2 * MB_ALIGN - 1) / MB_ALIGN * MB_ALIGN;
	uint8_t *memory = aligned_alloc(MB_ALIGN, whole);

	if (!memory)
		return NULL;
	memset(memory, 0, whole);
	memcpy(memory, &whole, sizeof(whole));
	return memory + MB_ALIGN;
}

void mb_free(void *memory)
{
	uint8_t *start = (uint8_t *)memory - MB_ALIGN;
	size_t whole;

	memcpy(&whole, start, sizeof(whole));
	secret_wipe(start, whole);
	free(start);
}

bool mb_icv_equal(const uint8_t *a, const uint8_t *b, uint32_t len)
{
	uint32_t differ = 0, left, right;

	for (uint32_t at = 0; at < len; at += 4) {
		memcpy(&left, a + at, 4);
		memcpy(&right, b + at, 4);
		differ |= left ^ right;
	}
	return differ == 0;
}

/* ---- the engine ---------------------------------------------------------------------------------------------- */

/* All but one: the library's CCM has no keys of 192 bits. */
static bool serves(const struct esp_suite *suite)
{
	return !(suite->mode == SUITE_CCM && suite->encr_key_bits == 192) && mb_functions();
}

static int init(struct esp_cipher *cipher, const struct sa *sa)
{
	const struct esp_suite *suite = cipher->suite;

	if (suite->mode == SUITE_GCM || suite->mode == SUITE_GMAC || (suite->mode == SUITE_AH && suite->iv_len))
		return mb_gcm_init(cipher, sa);
	return mb_burst_init(cipher, sa);
}

const struct suite_engine suite_mb = {.name = "ipsec-mb", .serves = serves, .init = init, .clear = mb_free};

#else

static bool serves(const struct esp_suite *suite)
{
	(void)suite;
	return false;
}

static int init(struct esp_cipher *cipher, const struct sa *sa)
{
	(void)cipher;
	(void)sa;
	return -EOPNOTSUPP;
}

static void clear(void *state)
{
	(void)state;
}

const struct suite_engine suite_mb = {.name = "ipsec-mb", .serves = serves, .init = init, .clear = clear};

#endif
