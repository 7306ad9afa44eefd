/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent makes the maps. The daemon looks for them until they are there, puts its policies in, and only then starts
 * the engine: no SA is negotiated that could not be used.
 */
#include "agent/base/log.h"
#include "ike/daemon.h"

#include <errno.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define SPI_TELL_EVERY_NS (10 * NS_PER_S)

static const char *pin_dir(const struct daemon *d)
{
	return d->config->agent && d->config->agent->pin_dir ? d->config->agent->pin_dir : PIN_DIR_DEFAULT;
}

/* Names the pinned map: another number, another map. */
static unsigned long pin_identity(const struct daemon *d)
{
	char path[PATH_MAX];
	struct stat info;

	snprintf(path, sizeof(path), "%s/sa", pin_dir(d));
	return stat(path, &info) == 0 ? (unsigned long)info.st_ino : 0;
}

static void random_fill(void *context, void *out, size_t len)
{
	(void)context;
	/* Without randomness there is no safe key, nonce or SPI. */
	if (RAND_bytes(out, (int)len) != 1) {
		log_error("the random number generator failed; ending");
		abort();
	}
}

/* ---- XDP's events ---------------------------------------------------------------------------------------------- */
static void xdp_event(const struct event *event, void *context)
{
	struct daemon *d = context;
	struct endpoint source = {0};
	char text[128], from[ADDR_TEXT_LEN];
	uint64_t now = clock_now_ns();

	if (event->kind != EVENT_SPI_UNKNOWN || (d->spi_told_ns && now - d->spi_told_ns < SPI_TELL_EVERY_NS))
		return;
	d->spi_told_ns = now;
	addr_from_mapped(event->source.bytes, &source.addr);
	snprintf(text, sizeof(text), "ESP with SPI 0x%08x from %s: no SA here has it (see the drop reason SPI_UNKNOWN)",
		be32toh(event->spi), addr_format(&source.addr, from));
	log_warn("%s", text);
	history_add(&d->history, "spi-unknown", "", "", &source, text);
}

static int on_ring(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct daemon *d = context;

	(void)source;
	(void)fd;
	(void)events;
	sadb_events_read(d->db, xdp_event, d);
	return 0;
}

static uint16_t admit(void *context, const struct child_install *install, char *why, size_t why_size)
{
	struct daemon *d = context;

	return installer_admit(d->installer, install, why, why_size);
}

/* ---- attaching ------------------------------------------------------------------------------------------------- */
static int engine_start(struct daemon *d)
{
	struct child_place failed;
	char error[CONFIG_ERROR_LEN];
	unsigned old;
	int rc = installer_new(d->db, d->link, &d->installer);

	if (rc)
		return rc;
	installer_clamp_mss(d->installer, config_mss_clamp(d->config));
	rc = installer_configure(d->installer, d->waiting, &failed);
	if (rc) {
		daemon_config_unfit(d->config, &failed, rc, error, sizeof(error));
		log_error("%s", error);
		return rc;
	}
	old = installer_clean(d->installer);
	if (old)
		log_info("%u SAs of an earlier run are removed; their tunnels come up anew", old);
	d->engine = engine_new(d->waiting, random_fill, NULL, clock_now_ns());
	d->waiting = NULL;
	if (!d->engine)
		return -ENOMEM;
	engine_admit(d->engine, admit, d);
	return 0;
}

static void attach_tell(struct daemon *d, int reason)
{
	if (d->attach_told)
		return;
	d->attach_told = true;
	if (reason == -ENOENT)
		log_info("waiting for the agent: no maps are pinned in %s yet", pin_dir(d));
	else if (reason == -EPROTO)
		log_error(
			"the maps in %s are of another version than this program; update agent and IKE daemon together",
			pin_dir(d));
	else
		log_error("the maps in %s cannot be opened: %s", pin_dir(d), strerror(-reason));
	sd_notifyf(0, "STATUS=Waiting for espalier-agent");
}

static void attach_done(struct daemon *d)
{
	int fd = sadb_events_fd(d->db);

	d->pin_id = pin_identity(d);
	if (fd >= 0)
		sd_event_add_io(d->event, &d->ring, fd, EPOLLIN, on_ring, d);
	log_info("the maps in %s are open: %u SA slots, %u tunnels, %u connections", pin_dir(d), sadb_sa_count(d->db),
		sadb_tunnel_count(d->db), d->config->connections_count);
	sd_notifyf(0, "STATUS=%u connections", d->config->connections_count);
	daemon_drain(d);
}

/* An agent that was detached and started again has made new maps; what is in the old ones has no effect. */
static void attached_check(struct daemon *d)
{
	unsigned long now = pin_identity(d);

	if (now && now != d->pin_id) {
		log_error("the agent has made new maps in %s; ending, to start anew with them", pin_dir(d));
		sd_event_exit(d->event, 1);
	}
}

static int on_attach(sd_event_source *source, uint64_t usec, void *context)
{
	struct daemon *d = context;
	int rc = 0;

	(void)usec;
	if (d->engine) {
		attached_check(d);
	} else {
		rc = sadb_open(pin_dir(d), true, &d->db);
		if (rc) {
			attach_tell(d, rc);
		} else if ((rc = engine_start(d)) != 0) {
			log_error("cannot start with the maps in %s: %s", pin_dir(d), strerror(-rc));
			sd_event_exit(d->event, 1);
		} else {
			attach_done(d);
		}
	}
	sd_event_source_set_time_relative(source, d->engine ? DAEMON_CHECK_US : DAEMON_ATTACH_RETRY_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int daemon_attach_begin(struct daemon *d)
{
	return sd_event_add_time_relative(d->event, &d->attach, CLOCK_MONOTONIC, 0, 0, on_attach, d);
}
