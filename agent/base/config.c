/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/config.h"

#include "agent/base/config_source.h"
#include "agent/base/own.h"
#include "agent/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* libcyaml's own words, for what the check before it did not see: its first message counts. */
static void loader_log(cyaml_log_t level, void *context, const char *format, va_list args)
{
	char *first = context;

	if (level >= CYAML_LOG_ERROR && !first[0])
		vsnprintf(first, CONFIG_ERROR_LEN, format, args);
}

static cyaml_config_t loader_config(char *first_message)
{
	return (cyaml_config_t){
		.log_fn = loader_log,
		.log_ctx = first_message,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_DEFAULT,
	};
}

static struct config *document_load(const struct config_source *source, const struct config_error *error)
{
	char message[CONFIG_ERROR_LEN] = "";
	cyaml_config_t loader = loader_config(message);
	struct config *config = NULL;
	cyaml_err_t result;
	size_t len;
	char *text = config_normalize(source, &len);

	if (!text) {
		config_fail(error, 1, NULL, "out of memory");
		return NULL;
	}
	result = cyaml_load_data((const uint8_t *)text, len, &loader, &config_schema, (cyaml_data_t **)&config, NULL);
	secret_wipe(text, len);
	free(text);
	if (result == CYAML_OK)
		return config;
	message[strcspn(message, "\n")] = '\0';
	config_fail(error, 1, NULL, "%s (%s)", message, cyaml_strerror(result));
	return NULL;
}

struct config *config_parse(const char *path, const char *text, size_t len, char *error_text, size_t error_size)
{
	struct config_error error = {.path = path, .text = error_text, .size = error_size};
	struct config_source *source = config_source_new(text, len, &error);
	struct config *config = NULL;

	if (source && config_check(source, &error))
		config = document_load(source, &error);
	if (!config) {
		config_source_free(source);
		return NULL;
	}
	config_source_wipe_secrets(source);
	config->source = source;
	config->path = strdup(path);
	if (!config->path) {
		config_fail(&error, 1, NULL, "out of memory");
		config_free(config);
		return NULL;
	}
	source->path = config->path;
	return config;
}

char *config_read_file(const char *path, size_t *len, char *error, size_t error_size)
{
	OWN_PTR char *text = malloc(CONFIG_BYTES_MAX + 1);
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t at = 0;
	ssize_t got = 0;

	if (fd < 0 || !text) {
		snprintf(error, error_size, "%s: cannot be opened: %s", path, strerror(fd < 0 ? errno : ENOMEM));
		return NULL;
	}
	while (at <= CONFIG_BYTES_MAX && (got = read(fd, text + at, CONFIG_BYTES_MAX + 1 - at)) > 0)
		at += (size_t)got;
	if (got < 0 || at > CONFIG_BYTES_MAX) {
		if (got < 0)
			snprintf(error, error_size, "%s: cannot be read: %s", path, strerror(errno));
		else
			snprintf(error, error_size, "%s: larger than %u bytes", path, CONFIG_BYTES_MAX);
		secret_wipe(text, at);
		return NULL;
	}
	*len = at;
	return TAKE_PTR(text);
}

struct config *config_load(const char *path, char *error, size_t error_size)
{
	size_t len;
	OWN_PTR char *text = config_read_file(path, &len, error, error_size);
	struct config *config;

	if (!text)
		return NULL;
	config = config_parse(path, text, len, error, error_size);
	secret_wipe(text, len);
	return config;
}

bool config_file_is_open(const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 && (info.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) != 0;
}

void config_forget_secrets(struct config *config)
{
	for (unsigned i = 0; i < config->secrets_count; i++)
		if (config->secrets[i].secret)
			secret_wipe(config->secrets[i].secret, strlen(config->secrets[i].secret));
}

bool config_mss_clamp(const struct config *config)
{
	return !config->agent || !config->agent->mss_clamp || *config->agent->mss_clamp;
}

void config_free(struct config *config)
{
	char message[CONFIG_ERROR_LEN] = "";
	cyaml_config_t loader = loader_config(message);

	if (!config)
		return;
	config_forget_secrets(config);
	config_source_free(config->source);
	free(config->path);
	cyaml_free(&loader, &config_schema, config, 0);
}

void config_error_at(
	const struct config *config, const char *key_path, char *error_text, size_t error_size, const char *format, ...)
{
	struct config_error error = {.path = config->path, .text = error_text, .size = error_size};
	va_list args;

	va_start(args, format);
	config_vfail(&error, config_source_line(config->source, key_path), key_path, format, args);
	va_end(args);
}
